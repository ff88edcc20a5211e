/** Looking where a link or an invitation leads, before anybody enters by it. */
import { useCallback, useEffect, useState } from "react";
import { ApiError } from "../api/errors";
import { lineFor } from "../app/work";

export interface Look<T> {
  readonly found: T | null;
  readonly problem: { readonly words: string; readonly retry: boolean } | null;
  readonly again: () => void;
}

/** `look` must be the same function from one render to the next, or it is asked again. */
export function useLook<T>(look: (signal: AbortSignal) => Promise<T>): Look<T> {
  const [found, setFound] = useState<T | null>(null);
  const [problem, setProblem] = useState<Look<T>["problem"]>(null);
  const [asked, setAsked] = useState(0);

  useEffect(() => {
    const stop = new AbortController();
    setProblem(null);
    look(stop.signal).then(
      (it) => {
        if (!stop.signal.aborted) setFound(it);
      },
      (error: unknown) => {
        if (stop.signal.aborted) return;
        setProblem({ words: lineFor(error), retry: !(error instanceof ApiError) || error.unreachable || error.status === 429 });
      },
    );
    return () => stop.abort();
  }, [asked, look]);

  return { found, problem, again: useCallback(() => setAsked((times) => times + 1), []) };
}
