/**
 * What happens beside the document: type 65, one JSON object in a message.
 *
 * Owns: reading them, and handing each to whoever asked for its kind. They are hints, which may be lost: who hears one
 * asks the server. Nothing is ever sent.
 */
import * as decoding from "lib0/decoding";
import type { WebsocketProvider } from "y-websocket";

export const EVENT = 65;

/** `people`: members, links or the room's settings; a newer server may say more. */
export interface RoomEvent {
  readonly kind: string;
  readonly [field: string]: unknown;
}

/** What follows the type in a message; null for what is no event. */
export function readEvent(decoder: decoding.Decoder): RoomEvent | null {
  const text = decoding.readVarString(decoder);
  try {
    const value: unknown = JSON.parse(text);
    if (value === null || typeof value !== "object") return null;
    return typeof (value as Partial<RoomEvent>).kind === "string" ? (value as RoomEvent) : null;
  } catch {
    return null;
  }
}

/** Calls `onEvent` for each; call it before `connect()`. */
export function hearEvents(provider: WebsocketProvider, onEvent: (event: RoomEvent) => void): void {
  provider.messageHandlers[EVENT] = (_encoder, decoder) => {
    const event = readEvent(decoder);
    if (event) onEvent(event);
  };
}
