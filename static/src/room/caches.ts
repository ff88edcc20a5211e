/**
 * What this browser keeps of rooms, so that they open without a network.
 *
 * Owns: the names of the databases, what is known of a room's head, and clearing. One database per user, room and
 * epoch: another epoch is another past and is dropped, never merged; another person never sees mine.
 */
import type { Room } from "../api/types";
import { forget, keysWith, readJson, writeJson } from "../app/storage";

const PREFIX = "kanvas";
const REGISTRY = "kanvas.databases";

export interface CacheName {
  readonly user: string;
  readonly room: string;
  readonly epoch: number;
}

export function databaseName({ user, room, epoch }: CacheName): string {
  return `${PREFIX}:${encodeURIComponent(user)}:${encodeURIComponent(room)}:${epoch}`;
}

/** The parts of a database's name, or null when it is not a room of ours. */
export function parseDatabaseName(name: string): CacheName | null {
  const parts = name.split(":");
  if (parts.length !== 4 || parts[0] !== PREFIX) return null;
  const [, user, room, epoch] = parts;
  if (!user || !room || !epoch || !/^\d+$/.test(epoch)) return null;
  try {
    return { user: decodeURIComponent(user), room: decodeURIComponent(room), epoch: Number(epoch) };
  } catch {
    return null;
  }
}

export function assetsDatabaseName(user: string): string {
  return `${PREFIX}-assets:${encodeURIComponent(user)}`;
}

function registered(): string[] {
  const value = readJson(REGISTRY);
  return Array.isArray(value) ? value.filter((name): name is string => typeof name === "string") : [];
}

/** Remembered beside the databases themselves, for browsers that can't list them. */
export function registerDatabase(name: string): void {
  const names = registered();
  if (!names.includes(name)) writeJson(REGISTRY, [...names, name]);
}

async function databaseNames(): Promise<string[]> {
  const names = new Set(registered());
  try {
    for (const { name } of (await indexedDB.databases?.()) ?? []) if (name) names.add(name);
  } catch {
    // The registry is enough.
  }
  return [...names];
}

/** Resolves also when the deletion is held up by another tab; it then happens as soon as that tab lets go. */
function deleteDatabase(name: string): Promise<void> {
  return new Promise((resolve) => {
    try {
      const request = indexedDB.deleteDatabase(name);
      request.onsuccess = request.onerror = request.onblocked = () => resolve();
    } catch {
      resolve();
    }
    writeJson(REGISTRY, registered().filter((kept) => kept !== name));
  });
}

async function deleteWhere(matches: (name: string) => boolean): Promise<void> {
  await Promise.all((await databaseNames()).filter(matches).map(deleteDatabase));
}

export async function dropOtherEpochs(user: string, room: string, epoch: number): Promise<void> {
  await deleteWhere((name) => {
    const parsed = parseDatabaseName(name);
    return parsed !== null && parsed.user === user && parsed.room === room && parsed.epoch !== epoch;
  });
}

/** Forgets one room: after it was deleted, or its access withdrawn, and the local copy dealt with. */
export async function clearRoom(user: string, room: string): Promise<void> {
  forget(headKey(user, room));
  await deleteWhere((name) => {
    const parsed = parseDatabaseName(name);
    return parsed !== null && parsed.user === user && parsed.room === room;
  });
}

/** Forgets everything of one person: at sign-out. */
export async function clearUser(user: string): Promise<void> {
  for (const key of [...keysWith(`kanvas.room:${user}:`), ...keysWith(`kanvas.lobby:${user}:`)]) forget(key);
  await deleteWhere((name) => parseDatabaseName(name)?.user === user || name === assetsDatabaseName(user));
}

const headKey = (user: string, room: string) => `kanvas.room:${user}:${room}`;

/** What was last known of a room (title, epoch, role): enough to open it offline. */
export function keptHead(user: string, room: string): Room | null {
  const value = readJson(headKey(user, room));
  if (value === null || typeof value !== "object") return null;
  const head = value as Partial<Room>;
  return typeof head.id === "string" && typeof head.epoch === "number" && typeof head.title === "string" ? (head as Room) : null;
}

export function keepHead(user: string, room: Room): void {
  writeJson(headKey(user, room.id), room);
}

export function forgetHead(user: string, room: string): void {
  forget(headKey(user, room));
}
