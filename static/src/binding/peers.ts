/**
 * The other people in the room, read from awareness states, and as Excalidraw's collaborators.
 *
 * Owns what of a peer's state is believed. A peer's state is untrusted: only `user.id` and `user.name` are the
 * server's word. Does not own: my own state (presence.ts). Pure. Source: CLIENT.md.
 */
import type { Collaborator, SocketId } from "@excalidraw/excalidraw/types";
import { readPreview, type Preview } from "./previews";
import type { Bounds, Pointer } from "./presence";
import { readId, readIds, readNumber, readObject, readText } from "./values";

/** Somebody else in the room: one per browser tab. */
export interface Peer {
  clientId: number;
  /** The key of Excalidraw's collaborators map, for follow mode. */
  socketId: string;
  /** From the server's stamp, never from the peer. */
  userId: string;
  name: string;
  color: string;
  pointer: Pointer | null;
  button: "up" | "down";
  selection: readonly string[];
  viewport: Bounds | null;
}

/** Cursor colors, dark enough to read white on and light enough to see on black. */
const COLORS = [
  "#e03131", "#c2255c", "#9c36b5", "#6741d9", "#3b5bdb", "#1971c2", "#0c8599", "#099268", "#2f9e44", "#e8590c",
];

/** The color of somebody who chose none. */
export function colorOf(clientId: number): string {
  return COLORS[clientId % COLORS.length]!;
}

/** A peer's state; null when there is nobody in it. */
export function readPeer(clientId: number, state: unknown): Peer | null {
  const fields = readObject(state);
  const user = readObject(fields["user"]);
  const userId = readId(user["id"]);
  if (userId === null) return null;
  const color = user["color"];
  return {
    clientId,
    socketId: String(clientId),
    userId,
    name: readText(user["name"], "Guest", 80).trim() || "Guest",
    color: typeof color === "string" && /^#[0-9a-f]{6}$/i.test(color) ? color : colorOf(clientId),
    pointer: readPointer(fields["pointer"]),
    button: fields["button"] === "down" ? "down" : "up",
    selection: readIds(fields["selection"], 64),
    viewport: readBounds(fields["viewport"]),
  };
}

/** What the peer is in the middle of, null when nothing. */
export function readPeerPreview(state: unknown): Preview | null {
  return readPreview(readObject(state)["preview"]);
}

function readPointer(value: unknown): Pointer | null {
  const pointer = readObject(value);
  if (typeof pointer["x"] !== "number" || typeof pointer["y"] !== "number") return null;
  const tool = pointer["tool"] === "laser" ? "laser" : "pointer";
  return { x: readNumber(pointer["x"], 0), y: readNumber(pointer["y"], 0), tool };
}

function readBounds(value: unknown): Bounds | null {
  if (!Array.isArray(value) || value.length !== 4 || !value.every(Number.isFinite)) return null;
  const [minX, minY, maxX, maxY] = value.map((side) => readNumber(side, 0)) as [number, number, number, number];
  return minX < maxX && minY < maxY ? [minX, minY, maxX, maxY] : null;
}

/** What Excalidraw draws of the peers: cursors, names, selections. */
export function collaboratorsOf(peers: readonly Peer[]): Map<SocketId, Collaborator> {
  const collaborators = new Map<SocketId, Collaborator>();
  for (const peer of peers) {
    collaborators.set(peer.socketId as SocketId, {
      socketId: peer.socketId as SocketId,
      id: peer.userId,
      username: peer.name,
      color: { background: peer.color, stroke: peer.color },
      button: peer.button,
      selectedElementIds: Object.fromEntries(peer.selection.map((id) => [id, true as const])),
      ...(peer.pointer ? { pointer: { ...peer.pointer, renderCursor: true } } : {}),
    });
  }
  return collaborators;
}
