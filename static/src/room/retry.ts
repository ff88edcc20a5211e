/**
 * When to try again: after a restart everybody at another moment, which the server names in the reason of the close;
 * and when an attempt gets no answer at all.
 *
 * Source: party/SPEC.md N8; y-websocket waits for 100 ms times two to the power of the attempts, this one counted, and
 * leaves an unanswered attempt to the browser: Chromium gives it up after 4 minutes.
 */
import type { WebsocketProvider } from "y-websocket";

const SERVICE_RESTART = 1012;
const FIRST_MS = 100;
/** A server that asks for more is not believed. */
const MOST_MS = 10_000;
/** A server under the rush after a restart answers within a second or two. */
const ANSWER_MS = 15_000;

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

/** An attempt nobody answers is given up and made anew: a line that swallows packets, a proxy that hangs. */
export function giveUpUnanswered(provider: WebsocketProvider, answerMs = ANSWER_MS): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const stop = () => clearTimeout(timer);
  provider.on("status", ({ status }) => {
    stop();
    if (status !== "connecting") return;
    const attempt = provider.ws;
    timer = setTimeout(() => {
      if (provider.ws === attempt) attempt?.close();
    }, answerMs);
  });
  provider.doc.on("destroy", stop);
}
