/**
 * Messages about the token and the role of an open connection: type 64, beside the y-protocols.
 *
 * Owns: their bytes, and answering those about the token: a fresh one goes over the open connection, so that nobody who
 * draws is ever cut off. Does not own: the token (identity/session.ts). Keeps rule I6; the other end is server/identity/signal.py.
 * Nothing is sent before the server has spoken: one of another version would close the connection for good.
 */
import * as decoding from "lib0/decoding";
import * as encoding from "lib0/encoding";
import type { WebsocketProvider } from "y-websocket";
import type { Role } from "../api/types";
import { isRole } from "../share/roles";

export const SIGNAL = 64;
const ENDING = 0;
const RENEWED = 1;
const REFUSED = 2;
const ROLE = 3;
const TOKEN = 0;

export type Signal =
  | { readonly kind: "ending"; readonly seconds: number }
  | { readonly kind: "renewed"; readonly seconds: number }
  | { readonly kind: "refused"; readonly words: string }
  | { readonly kind: "role"; readonly role: Role };

/** What follows the type in a message; null for what a newer server may say. */
export function readSignal(decoder: decoding.Decoder): Signal | null {
  switch (decoding.readVarUint(decoder)) {
    case ENDING:
      return { kind: "ending", seconds: decoding.readVarUint(decoder) };
    case RENEWED:
      return { kind: "renewed", seconds: decoding.readVarUint(decoder) };
    case REFUSED:
      return { kind: "refused", words: decoding.readVarString(decoder) };
    case ROLE: {
      const role = decoding.readVarString(decoder);
      return isRole(role) ? { kind: "role", role } : null;
    }
    default:
      return null;
  }
}

/** A whole message with a fresh token. */
export function tokenMessage(token: string): Uint8Array<ArrayBuffer> {
  const encoder = encoding.createEncoder();
  encoding.writeVarUint(encoder, SIGNAL);
  encoding.writeVarUint(encoder, TOKEN);
  encoding.writeVarString(encoder, token);
  return encoding.toUint8Array(encoder).slice();
}

/** What is due when the token of an open connection, `standing`, is about to end. */
export type Step = "renew" | "send" | "end";

/**
 * `session` is what this browser has now: a token that came since is sent, be it the last of its sign-in or not; the
 * last one can't be renewed.
 */
export function stepAtEnd(session: { readonly token: string; readonly final?: boolean }, standing: string | null): Step {
  if (session.token !== standing) return "send";
  return session.final ? "end" : "renew";
}

/** Calls `onSignal` for each; call it before `connect()`. */
export function hearSignals(provider: WebsocketProvider, onSignal: (signal: Signal) => void): void {
  provider.messageHandlers[SIGNAL] = (_encoder, decoder) => {
    const signal = readSignal(decoder);
    if (signal) onSignal(signal);
  };
}

/** False when there is no open connection to send it over. */
export function sendToken(provider: WebsocketProvider, token: string): boolean {
  if (!provider.wsconnected || provider.ws === null) return false;
  provider.ws.send(tokenMessage(token));
  return true;
}
