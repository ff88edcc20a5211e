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
  readonly hasMore: boolean;
  readonly more: () => void;
  readonly reload: () => void;
}

interface Shown<T> {
  readonly items: readonly T[];
  readonly cursor: string | null;
  readonly stage: Pages<T>["stage"];
  readonly words: Words | null;
}

/** `load` must be the same function from one render to the next, or it is asked again; not `wanted`: asks for nothing. */
export function usePages<T>(load: (cursor: string | null, signal: AbortSignal) => Promise<Page<T>>, wanted = true): Pages<T> {
  const [shown, setShown] = useState<Shown<T>>({ items: [], cursor: null, stage: "loading", words: null });
  const [asked, setAsked] = useState(0);
  const stop = useRef(new AbortController());

  useEffect(() => {
    if (!wanted) return;
    const signal = (stop.current = new AbortController()).signal;
    load(null, signal).then(
      (page) => {
        if (!signal.aborted) setShown({ items: page.items, cursor: page.next_cursor ?? null, stage: "ready", words: null });
      },
      (error: unknown) => {
        if (!signal.aborted) setShown((now) => ({ ...now, stage: "failed", words: wordsFor(error) }));
      },
    );
    return () => stop.current.abort();
  }, [load, wanted, asked]);

  const { cursor } = shown;
  const more = useCallback(() => {
    if (cursor === null) return;
    const { signal } = stop.current;
    load(cursor, signal).then(
      (page) => {
        if (signal.aborted) return;
        setShown((now) => (now.cursor === cursor ? { ...now, items: [...now.items, ...page.items], cursor: page.next_cursor ?? null } : now));
      },
      (error: unknown) => {
        if (!signal.aborted) setShown((now) => ({ ...now, stage: "failed", words: wordsFor(error) }));
      },
    );
  }, [load, cursor]);
  const reload = useCallback(() => setAsked((times) => times + 1), []);

  return { items: shown.items, stage: shown.stage, words: shown.words, hasMore: cursor !== null, more, reload };
}
