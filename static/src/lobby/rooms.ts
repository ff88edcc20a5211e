/**
 * The lists of rooms a person looks at.
 *
 * Owns: loading, searching, paging, refreshing while somebody looks, and the rooms last seen for when there is no
 * network. Does not own: what a card looks like, or the changes (lobby/actions.ts calls `patch` and `reload`).
 */
import { useCallback, useEffect, useRef, useState } from "react";
import { wordsFor, type Words, ApiError } from "../api/errors";
import type { Page, Room, Scope } from "../api/types";
import { useApi, useIdentity } from "../app/context";
import { readJson, writeJson } from "../app/storage";

const REFRESH_MS = 10_000;
const PAGE = 24;
const MOST = 50;

export interface RoomList {
  readonly rooms: readonly Room[];
  /** `loading` only while there is nothing to show yet. */
  readonly state: "loading" | "ready" | "failed";
  readonly problem: Words | null;
  /** True when the server does not renew my session: only signing in again helps. */
  readonly ended: boolean;
  /** True when what is shown is what was here last time, and the server can't be reached. */
  readonly stale: boolean;
  readonly more: boolean;
  readonly loadingMore: boolean;
  loadMore(): void;
  reload(): void;
  /** Changes what is shown at once; null removes the room. */
  patch(id: string, change: (room: Room) => Room | null): void;
}

interface Shown {
  readonly key: string;
  readonly rooms: readonly Room[];
  readonly cursor: string | null;
  readonly state: RoomList["state"];
  readonly problem: Words | null;
  readonly ended: boolean;
  readonly stale: boolean;
}

const lastSeenKey = (user: string, scope: Scope) => `kanvas.lobby:${user}:${scope}`;

function lastSeen(user: string, scope: Scope): readonly Room[] | null {
  const value = readJson(lastSeenKey(user, scope));
  return Array.isArray(value) ? (value as Room[]) : null;
}

export function useRooms(scope: Scope, q: string): RoomList {
  const api = useApi();
  const identity = useIdentity();
  const user = identity.session?.user.id ?? "";
  const key = `${scope}?${q}`;
  const fresh = useCallback((): Shown => {
    const kept = q === "" ? lastSeen(user, scope) : null;
    return { key, rooms: kept ?? [], cursor: null, state: kept ? "ready" : "loading", problem: null, ended: false, stale: false };
  }, [key, q, scope, user]);

  const [stored, setShown] = useState<Shown>(fresh);
  const [loadingMore, setLoadingMore] = useState(false);
  const [asked, setAsked] = useState(0);
  const shown = stored.key === key ? stored : fresh();
  const latest = useRef(shown);
  latest.current = shown;

  useEffect(() => {
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;

    const load = async () => {
      clearTimeout(timer);
      const before = latest.current;
      const limit = Math.min(MOST, Math.max(PAGE, before.key === key ? before.rooms.length : 0));
      try {
        const page: Page<Room> = await api.listRooms({ scope, q, limit }, stop.signal);
        // Pages beyond the one that is refreshed stay as they are.
        const known = new Set(page.items.map((room) => room.id));
        const beyond = before.key === key && before.rooms.length > limit ? before.rooms.slice(limit) : [];
        const rooms = [...page.items, ...beyond.filter((room) => !known.has(room.id))];
        const cursor = beyond.length > 0 ? before.cursor : page.next_cursor;
        setShown({ key, rooms, cursor, state: "ready", problem: null, ended: false, stale: false });
        if (q === "") writeJson(lastSeenKey(user, scope), page.items);
      } catch (error) {
        if (stop.signal.aborted) return;
        const unreachable = error instanceof ApiError && error.unreachable;
        const kept = latest.current.key === key ? latest.current : fresh();
        const ended = error instanceof ApiError && error.status === 401;
        const useful = kept.state === "ready" && !ended;
        setShown({
          ...kept,
          state: useful ? "ready" : "failed",
          problem: wordsFor(error),
          ended,
          stale: useful && unreachable,
        });
      }
      if (!stop.signal.aborted) timer = setTimeout(whenSeen, REFRESH_MS);
    };
    const whenSeen = () => {
      if (document.visibilityState === "visible") void load();
    };

    void load();
    document.addEventListener("visibilitychange", whenSeen);
    window.addEventListener("online", whenSeen);
    return () => {
      stop.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", whenSeen);
      window.removeEventListener("online", whenSeen);
    };
  }, [api, asked, fresh, key, q, scope, user]);

  const loadMore = useCallback(() => {
    const from = latest.current;
    if (!from.cursor) return;
    setLoadingMore(true);
    api
      .listRooms({ scope, q, cursor: from.cursor, limit: PAGE })
      .then(
        (page) =>
          setShown((now) => {
            if (now.key !== from.key) return now;
            const known = new Set(now.rooms.map((room) => room.id));
            const rooms = [...now.rooms, ...page.items.filter((room) => !known.has(room.id))];
            return { ...now, rooms, cursor: page.next_cursor, problem: null };
          }),
        (error: unknown) => setShown((now) => ({ ...now, problem: wordsFor(error) })),
      )
      .finally(() => setLoadingMore(false));
  }, [api, q, scope]);

  const patch = useCallback<RoomList["patch"]>((id, change) => {
    setShown((now) => ({
      ...now,
      rooms: now.rooms.flatMap((room) => {
        if (room.id !== id) return [room];
        const next = change(room);
        return next ? [next] : [];
      }),
    }));
  }, []);

  const reload = useCallback(() => {
    setShown((now) => (now.state === "failed" ? { ...now, state: "loading", problem: null } : now));
    setAsked((times) => times + 1);
  }, []);

  return {
    rooms: shown.rooms,
    state: shown.state,
    problem: shown.problem,
    ended: shown.ended,
    stale: shown.stale,
    more: shown.cursor !== null,
    loadingMore,
    loadMore,
    reload,
    patch,
  };
}
