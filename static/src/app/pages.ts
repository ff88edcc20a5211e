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
  /** `loading` only while there is nothing to show yet; `failed` until an answer has come. */
  readonly stage: "loading" | "ready" | "failed";
  readonly words: Words | null;
  /** The first page is on its way, perhaps anew. */
  readonly isLoading: boolean;
  /** A further page is on its way. */
  readonly isLoadingMore: boolean;
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
  readonly isLoading: boolean;
  /** The further page that is on its way. */
  readonly next: string | null;
}

/** `load` must be the same function from one render to the next, or it is asked again; not `wanted`: asks for nothing. */
export function usePages<T>(load: Load<T>, wanted = true): Pages<T> {
  const [stored, setShown] = useState(() => nothing(load));
  const shown = stored.load === load ? stored : nothing(load);
  const [asked, setAsked] = useState(0);
  const stop = useRef(new AbortController());

  useEffect(() => {
    if (!wanted) return;
    const signal = (stop.current = new AbortController()).signal;
    setShown((now) => ({ ...(now.load === load ? now : nothing(load)), isLoading: true, next: null }));
    load(null, signal).then(
      ({ items, next_cursor }) => {
        if (!signal.aborted) setShown({ load, items, cursor: next_cursor ?? null, stage: "ready", words: null, isLoading: false, next: null });
      },
      (error: unknown) => {
        if (!signal.aborted) setShown((now) => ({ ...now, stage: "failed", words: wordsFor(error), isLoading: false }));
      },
    );
    return () => stop.current.abort();
  }, [load, wanted, asked]);

  const { items, cursor, stage, words, next } = shown;
  const more = useCallback(() => {
    if (!wanted || cursor === null || next === cursor) return;
    const { signal } = stop.current;
    // The list may have been loaded anew meanwhile: then the page follows nothing that is shown.
    const follows = (change: (now: Shown<T>) => Shown<T>) => {
      if (!signal.aborted) setShown((now) => (now.next === cursor ? { ...change(now), next: null } : now));
    };
    setShown((now) => ({ ...now, next: cursor }));
    load(cursor, signal).then(
      (page) => follows((now) => ({ ...now, items: [...now.items, ...page.items], cursor: page.next_cursor ?? null })),
      (error: unknown) => follows((now) => ({ ...now, stage: "failed", words: wordsFor(error) })),
    );
  }, [load, wanted, cursor, next]);
  const reload = useCallback(() => setAsked((times) => times + 1), []);

  return {
    items,
    stage,
    words,
    isLoading: wanted && shown.isLoading,
    isLoadingMore: wanted && next !== null,
    hasMore: cursor !== null,
    more,
    reload,
  };
}

function nothing<T>(load: Load<T>): Shown<T> {
  return { load, items: [], cursor: null, stage: "loading", words: null, isLoading: true, next: null };
}
