/**
 * A list from the server that is read page by page.
 *
 * Owns: loading, more of it, loading anew. What is shown stays while it is loaded anew, so that nothing jumps.
 */
import { useCallback, useEffect, useRef, useState } from "react";
import { wordsFor, type Words } from "../api/errors";
import type { Page } from "../api/types";

export interface Pages<T> {
  readonly items: readonly T[];
  /** `loading` only while there is nothing to show yet. */
  readonly stage: "loading" | "ready" | "failed";
  readonly words: Words | null;
  /** An answer is on its way: the first page, anew, or more of it. */
  readonly isAsking: boolean;
  readonly hasMore: boolean;
  readonly more: () => void;
  readonly reload: () => void;
}

type Load<T> = (cursor: string | null, signal: AbortSignal) => Promise<Page<T>>;

interface Shown<T> {
  /** What was asked: with another function it is another list. */
  readonly load: Load<T>;
  readonly items: readonly T[];
  readonly cursor: string | null;
  readonly stage: Pages<T>["stage"];
  readonly words: Words | null;
  readonly isAsking: boolean;
}

/** `load` must be the same function from one render to the next, or it is asked again; not `wanted`: asks for nothing. */
export function usePages<T>(load: Load<T>, wanted = true): Pages<T> {
  const empty: Shown<T> = { load, items: [], cursor: null, stage: "loading", words: null, isAsking: wanted };
  const [stored, setShown] = useState(empty);
  const shown = stored.load === load ? stored : empty;
  const [asked, setAsked] = useState(0);
  const stop = useRef(new AbortController());

  const ask = useCallback(
    (from: string | null, signal: AbortSignal) => {
      const answered = (change: (now: Shown<T>) => Shown<T>) => {
        if (!signal.aborted) setShown((now) => ({ ...change(now), isAsking: false }));
      };
      setShown((now) => asking(now.load === load ? now : { ...now, load, items: [], cursor: null, stage: "loading" }));
      load(from, signal).then(
        ({ items, next_cursor }) =>
          answered((now) => ({ ...now, items: from === null ? items : [...now.items, ...items], cursor: next_cursor ?? null, stage: "ready" })),
        (error: unknown) => answered((now) => ({ ...now, stage: "failed", words: wordsFor(error) })),
      );
    },
    [load],
  );

  useEffect(() => {
    if (!wanted) return;
    stop.current = new AbortController();
    ask(null, stop.current.signal);
    return () => stop.current.abort();
  }, [ask, wanted, asked]);

  const { items, cursor, stage, words, isAsking } = shown;
  const more = useCallback(() => {
    if (cursor !== null && !isAsking) ask(cursor, stop.current.signal);
  }, [ask, cursor, isAsking]);
  const reload = useCallback(() => setAsked((times) => times + 1), []);

  return { items, stage, words, isAsking, hasMore: cursor !== null, more, reload };
}

/** What is shown stays; what went wrong is being mended. */
function asking<T>(now: Shown<T>): Shown<T> {
  const stage = now.stage === "failed" ? (now.items.length > 0 ? "ready" : "loading") : now.stage;
  return { ...now, stage, words: null, isAsking: true };
}
