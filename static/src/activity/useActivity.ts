/** A room's audit log, newest first, page by page. */
import { useCallback, useEffect, useRef, useState } from "react";
import type { AuditEntry } from "../api/audit";
import type { Api } from "../api/client";
import { wordsFor, type Words } from "../api/errors";
import { mergeEntries } from "./words";

const PAGE = 30;

export interface Activity {
  readonly items: readonly AuditEntry[];
  readonly stage: "loading" | "ready" | "more" | "failed";
  readonly hasMore: boolean;
  readonly words: Words | null;
  readonly more: () => void;
  /** From the newest on. */
  readonly again: () => void;
}

export function useActivity(api: Api, room: string, noun: string): Activity {
  const [items, setItems] = useState<readonly AuditEntry[]>([]);
  const [stage, setStage] = useState<Activity["stage"]>("loading");
  const [cursor, setCursor] = useState<string | null>(null);
  const [words, setWords] = useState<Words | null>(null);
  const abort = useRef<AbortController | null>(null);

  const load = useCallback(
    async (from: string | null) => {
      abort.current?.abort();
      const own = (abort.current = new AbortController());
      setStage(from === null ? "loading" : "more");
      setWords(null);
      try {
        const page = await api.audit.list(room, { noun, cursor: from, limit: PAGE }, own.signal);
        if (own.signal.aborted) return;
        setItems((before) => mergeEntries(before, page.items, from !== null));
        setCursor(page.next_cursor);
        setStage("ready");
      } catch (error) {
        if (own.signal.aborted) return;
        setWords(wordsFor(error));
        setStage("failed");
      }
    },
    [api, noun, room],
  );

  useEffect(() => {
    setItems([]);
    setCursor(null);
    void load(null);
    return () => abort.current?.abort();
  }, [load]);

  return { items, stage, hasMore: cursor !== null, words, more: () => void load(cursor), again: () => void load(null) };
}
