/**
 * When to come back to a server that restarts: everybody at another moment, which it names in the reason of the close.
 *
 * Source: party/SPEC.md N8; y-websocket waits for 100 ms times two to the power of the attempts, this one counted.
 */
import type { WebsocketProvider } from "y-websocket";

const SERVICE_RESTART = 1012;
const FIRST_MS = 100;
/** A server that asks for more is not believed. */
const MOST_MS = 10_000;

/** Milliseconds; null when the server said nothing of it. */
export function retryAfterMs(event: Pick<CloseEvent, "code" | "reason"> | null): number | null {
  const said = event?.code === SERVICE_RESTART ? /\breconnect in (\d{1,6}) ms/.exec(event.reason) : null;
  return said ? Math.min(MOST_MS, Math.max(FIRST_MS, Number(said[1]))) : null;
}

/** The provider comes back when the server wants it. */
export function heedRestarts(provider: WebsocketProvider): void {
  provider.on("connection-close", (event) => {
    const ms = retryAfterMs(event);
    // it counts this close after it has told of it
    if (ms !== null) provider.wsUnsuccessfulReconnects = Math.log2(ms / FIRST_MS) - 1;
  });
}
