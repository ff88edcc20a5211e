/** Looking at something of the server's now and then, while somebody looks at the page. */
import { useEffect } from "react";

const EVERY_MS = 30_000;

/** `look` must be the same function from one render to the next; what it can't have is no news. */
export function useLooking(look: (signal: AbortSignal) => Promise<void>): void {
  useEffect(() => {
    const stop = new AbortController();
    const again = () => {
      if (document.visibilityState === "visible") void look(stop.signal).catch(() => undefined);
    };
    again();
    const timer = setInterval(again, EVERY_MS);
    document.addEventListener("visibilitychange", again);
    return () => {
      stop.abort();
      clearInterval(timer);
      document.removeEventListener("visibilitychange", again);
    };
  }, [look]);
}
