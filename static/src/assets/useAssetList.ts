/** A room's files, newest first, page by page; what is stored here in the meantime comes on top. */
import { useCallback, useEffect, useRef, useState } from "react";
import type { Asset } from "../api/assets";
import type { Api } from "../api/client";
import { wordsFor, type Words } from "../api/errors";

const PAGE = 40;
/** After an upload the server may still make its smaller forms. */
const SETTLE_MS = 400;

export interface AssetList {
  readonly items: readonly Asset[];
  readonly stage: "loading" | "ready" | "more" | "failed";
  readonly hasMore: boolean;
  readonly words: Words | null;
  readonly more: () => void;
  readonly again: () => void;
}

export function useAssetList(api: Api, room: string, onStored: (listener: () => void) => () => void): AssetList {
  const [items, setItems] = useState<readonly Asset[]>([]);
  const [stage, setStage] = useState<AssetList["stage"]>("loading");
  const [cursor, setCursor] = useState<string | null>(null);
  const [words, setWords] = useState<Words | null>(null);
  const abort = useRef<AbortController | null>(null);

  const load = useCallback(
    async (from: string | null, quiet = false) => {
      abort.current?.abort();
      const own = (abort.current = new AbortController());
      if (!quiet) setStage(from === null ? "loading" : "more");
      try {
        const page = await api.assets.list(room, { cursor: from, limit: PAGE }, own.signal);
        if (own.signal.aborted) return;
        setItems((before) => merge(before, page.items, from !== null));
        // A quiet look at the first page says nothing of how far the list was read.
        if (!quiet) setCursor(page.next_cursor);
        setStage("ready");
        setWords(null);
      } catch (error) {
        if (own.signal.aborted) return;
        setWords(wordsFor(error));
        setStage("failed");
      }
    },
    [api, room],
  );

  useEffect(() => {
    void load(null);
    let timer: ReturnType<typeof setTimeout> | undefined;
    const off = onStored(() => {
      clearTimeout(timer);
      timer = setTimeout(() => void load(null, true), SETTLE_MS);
    });
    return () => {
      clearTimeout(timer);
      off();
      abort.current?.abort();
    };
  }, [load, onStored]);

  return {
    items,
    stage,
    hasMore: cursor !== null,
    words,
    more: () => void load(cursor),
    again: () => void load(items.length > 0 ? cursor : null),
  };
}

/** `after`: the next page; else the first one, again. Nothing twice. */
export function merge(before: readonly Asset[], page: readonly Asset[], after: boolean): Asset[] {
  const fresh = new Map(page.map((asset) => [asset.id, asset]));
  const kept = before.filter(({ id }) => !fresh.has(id));
  return after ? [...kept, ...page] : [...page, ...kept];
}

/** Every word of the query somewhere in the name, in any case. */
export function matching(items: readonly Asset[], query: string): Asset[] {
  const words = query.toLocaleLowerCase().split(/\s+/).filter(Boolean);
  return items.filter(({ filename }) => words.every((word) => filename.toLocaleLowerCase().includes(word)));
}
