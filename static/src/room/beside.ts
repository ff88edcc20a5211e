/**
 * What changed beside the room's document: messages of type 65, JSON with a `kind`.
 *
 * Owns: reading them from the socket. Does not own: what follows. The other end is server/beside.py. Keeps rule X5.
 */
import * as decoding from "lib0/decoding";
import type { WebsocketProvider } from "y-websocket";

export const BESIDE = 65;

/** What follows the type in a message; null for what is no JSON. */
export function readBeside(decoder: decoding.Decoder): unknown {
  const text = decoding.readVarString(decoder);
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return null;
  }
}

/** Calls `hear` for each; call it once, before `connect()`: there is one handler for a type, and a second took its place. */
export function hearBeside(provider: WebsocketProvider, hear: (told: unknown) => void): void {
  if (provider.messageHandlers[BESIDE]) throw new Error("what is told beside the document is heard already");
  provider.messageHandlers[BESIDE] = (_encoder, decoder) => {
    const told = readBeside(decoder);
    if (told !== null) hear(told);
  };
}
