/**
 * Patience with a large first sync: y-websocket leaves a connection that brings no whole message for 30 s.
 *
 * A browser tells nothing of a message before all of it is there, and 5 MB take 40 s at 1 Mbit/s: the provider would
 * come back and be sent the same again, for ever. Until a connection's first sync it gets three minutes; then the 30 s
 * hold, because the server says something every 20. Source: y-websocket 3.1, messageReconnectTimeout.
 */
import type { WebsocketProvider } from "y-websocket";

export const FIRST_SYNC_MS = 180_000;
/** The provider looks every 3 s. */
const LOOK_MS = 3_000;

/** Call it before `connect()`; it ends with the provider. */
export function bePatient(provider: WebsocketProvider, now: () => number = Date.now): void {
  let since = 0;
  let timer: ReturnType<typeof setInterval> | undefined;
  const stop = () => clearInterval(timer);
  const look = () => {
    if (provider.synced || now() - since > FIRST_SYNC_MS) stop();
    else provider.wsLastMessageReceived = now();
  };
  provider.on("status", ({ status }) => {
    stop();
    if (status !== "connected") return;
    since = now();
    timer = setInterval(look, LOOK_MS);
  });
  provider.doc.on("destroy", stop);
}
