/**
 * What the operator sees, kept up to date while the page is looked at.
 *
 * Owns: the operator's token in this tab, the look every two seconds, and what is shown when one fails. Does not own:
 * orders (AdminPage) and words. The token stays in this tab: it is gone when the tab is.
 */
import { useCallback, useEffect, useState } from "react";
import type { LiveRooms, Node } from "../api/admin";
import { ApiError, wordsFor, type Words } from "../api/errors";
import { useApi, useSession } from "../app/context";
import { isOperator } from "../identity/token";

const EVERY_MS = 2_000;
const KEY = "kanvas.operator";

/** The session's token when it is an operator's, else the one that was given in this tab. */
export function useOperator(): Operator {
  const session = useSession();
  const [given, setGiven] = useState<string | null>(() => kept((store) => store.getItem(KEY)));
  const own = session && isOperator(session.token) ? session.token : null;
  const give = useCallback((token: string) => {
    kept((store) => store.setItem(KEY, token));
    setGiven(token);
  }, []);
  const forget = useCallback(() => {
    kept((store) => store.removeItem(KEY));
    setGiven(null);
  }, []);
  return { token: given ?? own, given: given !== null, own: own !== null, give, forget };
}

export interface Operator {
  readonly token: string | null;
  /** It was given in this tab. */
  readonly given: boolean;
  /** The session's would do, too. */
  readonly own: boolean;
  give(token: string): void;
  forget(): void;
}

/** What this tab keeps, where it may keep anything: else a token lives as long as the page. */
function kept<T>(work: (store: Storage) => T): T | null {
  try {
    return work(window.sessionStorage);
  } catch {
    return null;
  }
}

export interface Overview {
  readonly rooms: LiveRooms | null;
  readonly nodes: readonly Node[];
  /** When it was so, in this browser's clock. */
  readonly at: number;
  readonly problem: Words | null;
  /** True when the token is not an operator's, or has ended. */
  readonly refused: boolean;
  look(): void;
}

const NOTHING = { rooms: null, nodes: [], at: 0, problem: null, refused: false } as const;

export function useOverview(token: string | null): Overview {
  const api = useApi();
  const [seen, setSeen] = useState<Omit<Overview, "look">>(NOTHING);
  const [asked, setAsked] = useState(0);

  useEffect(() => {
    if (token === null) {
      setSeen(NOTHING);
      return;
    }
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let looking = false;
    const look = async () => {
      // One at a time: each ends by setting the timer of the next.
      if (looking) return;
      looking = true;
      clearTimeout(timer);
      try {
        const [rooms, nodes] = await Promise.all([api.admin.rooms(token, stop.signal), api.admin.nodes(token, stop.signal)]);
        setSeen({ rooms, nodes: nodes.items, at: Date.now(), problem: null, refused: false });
      } catch (error) {
        if (stop.signal.aborted) return;
        const refused = error instanceof ApiError && (error.status === 401 || error.status === 403);
        setSeen((before) => ({ ...before, problem: wordsFor(error), refused }));
        if (refused) return;
      } finally {
        looking = false;
      }
      if (!stop.signal.aborted) timer = setTimeout(whenSeen, EVERY_MS);
    };
    const whenSeen = () => {
      if (document.visibilityState === "visible") void look();
    };
    void look();
    document.addEventListener("visibilitychange", whenSeen);
    return () => {
      stop.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", whenSeen);
    };
  }, [api, token, asked]);

  const look = useCallback(() => setAsked((times) => times + 1), []);
  return { ...seen, look };
}
