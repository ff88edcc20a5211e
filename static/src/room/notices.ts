/**
 * What the server says in passing: y-protocols' "permission denied" messages, such as that a room is frozen.
 *
 * Owns: reading them from the socket. Does not own: how they are shown. The stock provider writes them to the console,
 * where nobody looks.
 */
import * as decoding from "lib0/decoding";
import type { WebsocketProvider } from "y-websocket";

/** How the server's sentences about a freeze begin (party/restraints.py). */
const FROZEN = "The operator froze this room";
const THAWED = "The operator thawed this room";

/** Whether the room is frozen after this sentence; null when it is about something else. */
export function readFreeze(words: string): boolean | null {
  if (words.startsWith(FROZEN)) return true;
  return words.startsWith(THAWED) ? false : null;
}

const MESSAGE_AUTH = 2;
const PERMISSION_DENIED = 0;

/** Calls `tell` with the server's sentence, each time one comes. */
export function hearNotices(provider: WebsocketProvider, tell: (words: string) => void): void {
  provider.messageHandlers[MESSAGE_AUTH] = (_encoder, decoder) => {
    if (decoding.readVarUint(decoder) === PERMISSION_DENIED) tell(decoding.readVarString(decoder));
  };
}
