/**
 * Who I am in this browser, for all its tabs.
 *
 * Owns: the token in localStorage, its renewal at 80 % of its life (one tab does it for all), renaming, signing out,
 * what the server says of me.
 * Does not own: the caches of rooms (room/caches.ts clears them when told who left).
 */
import { Api } from "../api/client";
import { ApiError, wordsFor } from "../api/errors";
import type { Grant, Me, Person } from "../api/types";
import { forget, readJson, storage, writeJson } from "../app/storage";
import { inherit } from "../room/caches";
import { readLanding } from "./landing";
import { isFinal, isGuest, isOperator, lifeOf, renewDelay } from "./token";

const KEY = "kanvas.session";
/** Somebody signed out while the server could not be told, which has to be made up for: the cookie is still here. */
const LEAVING = "kanvas.leaving";
/** After a renewal that found no server; the next one that is needed comes with a 401 or a 4401 anyway. */
const RETRY_MS = 30_000;

export interface Session {
  readonly token: string;
  readonly user: Person;
  /** When this browser got the token, in its own clock. */
  readonly receivedAt: number;
  readonly lifeMs: number;
  /** The sign-in ends with this token: renewing it brings no more time. */
  readonly final?: boolean;
  /** The server counts me as an operator, whatever the token says. */
  readonly operator?: boolean;
}

function sessionOf(grant: Grant, now: number): Session {
  return {
    token: grant.token,
    user: grant.user,
    receivedAt: now,
    lifeMs: lifeOf(grant.token, grant.expires_at, now),
    final: isFinal(grant.token),
    operator: grant.is_admin === true,
  };
}

function isSession(value: unknown): value is Session {
  if (value === null || typeof value !== "object") return false;
  const session = value as Partial<Session>;
  return (
    typeof session.token === "string" &&
    typeof session.user?.id === "string" &&
    typeof session.user.name === "string" &&
    typeof session.receivedAt === "number" &&
    typeof session.lifeMs === "number"
  );
}

export type Renewal = "renewed" | "refused" | "unreachable";

export class Identity {
  readonly api: Api;
  #session: Session | null;
  #account: Me | null = null;
  #listeners = new Set<() => void>();
  #renewal: Promise<Renewal> | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    this.api = new Api({
      token: () => this.#session?.token ?? null,
      renew: async () => (await this.renew()) === "renewed",
    });
    this.#session = this.#stored();
    window.addEventListener("storage", (event) => {
      if (event.key === KEY || event.key === null) this.#adopt(this.#stored());
    });
    window.addEventListener("online", () => void this.#leave());
    // Timers sleep with the computer; look again when somebody is back.
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") this.#schedule();
    });
    this.#schedule();
  }

  get session(): Session | null {
    return this.#session;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly current = (): Session | null => this.#session;

  /** What the server says of me, in this tab; null until it was asked (`look`). */
  readonly account = (): Me | null => this.#account;

  /** Asks the server what it knows of me. What fails is no news: the session says who I am. */
  async look(): Promise<void> {
    const asked = this.#session?.user.id;
    if (asked === undefined || !navigator.onLine) return;
    let account: Me;
    try {
      account = await this.api.account.me();
    } catch (error) {
      if (error instanceof ApiError) return;
      throw error;
    }
    if (this.#session?.user.id !== asked) return;
    this.#account = account;
    for (const listener of this.#listeners) listener();
  }

  #stored(): Session | null {
    const value = readJson(KEY);
    return isSession(value) ? value : null;
  }

  #adopt(session: Session | null): void {
    if (session?.user.id !== this.#session?.user.id) this.#account = null;
    this.#session = session;
    this.#schedule();
    for (const listener of this.#listeners) listener();
  }

  #keep(grant: Grant): void {
    const session = sessionOf(grant, Date.now());
    writeJson(KEY, session);
    // The cookie is this one's now.
    forget(LEAVING);
    this.#adopt(session);
  }

  #schedule(delayMs?: number): void {
    clearTimeout(this.#timer);
    const session = this.#session;
    if (!session || session.final) return;
    const wait = delayMs ?? renewDelay(Date.now(), session.receivedAt, session.lifeMs);
    this.#timer = setTimeout(() => void this.#renewWhenDue(), wait);
  }

  async #renewWhenDue(): Promise<void> {
    const session = this.#session;
    if (!session) return;
    if (renewDelay(Date.now(), session.receivedAt, session.lifeMs) > 0) {
      this.#schedule();
      return;
    }
    if ((await this.renew()) !== "renewed") this.#schedule(RETRY_MS);
  }

  /** Why the way back from the identity provider did not end here signed in. */
  problem: string | null = null;

  /** Takes what the server sent along on the way back from the identity provider; call it once, before anything shows. */
  async land(): Promise<void> {
    const landing = readLanding(window.location.hash);
    const left = readJson(LEAVING) === true;
    await this.#leave();
    if (!landing) return;
    // Whole, for a path that begins with // would be another site's.
    history.replaceState(null, "", window.location.href.split("#")[0]);
    if (landing.kind === "failed") {
      this.problem = landing.words;
      return;
    }
    if (left) {
      // Whose cookie that was is not known: it may be of who left.
      this.problem = "Somebody signed out here before. Press the button to sign in.";
      return;
    }
    try {
      await this.#succeed(await this.api.refreshByCookie());
    } catch (error) {
      const words = wordsFor(error);
      this.problem = `${words.title}. ${words.detail}`;
    }
  }

  /**
   * Signs in as whom the mailed link is for; where to go on.
   *
   * A guest who asked for it becomes that account.
   */
  async enterWithLink(secret: string): Promise<string> {
    const grant = await this.api.account.confirmLink(secret);
    await this.#succeed(grant);
    return grant.next;
  }

  /** Keeps the session; what this browser has of a guest who became this account goes on as the account's. */
  async #succeed(grant: Grant): Promise<void> {
    const before = this.#session;
    if (before && isGuest(before.token) && before.user.id !== grant.user.id) {
      try {
        const { aliases } = await this.api.account.me(grant.token);
        if (aliases.includes(before.user.id)) inherit(grant.user.id, before.user.id);
      } catch (error) {
        // Signed in all the same; what waits here under the guest's name is not shown.
        console.warn("What this browser kept as a guest is not taken over.", error);
      }
    }
    this.#keep(grant);
  }

  /** Signs in as a guest. */
  async enter(name: string): Promise<void> {
    this.#keep(await this.api.guest(name));
  }

  /** Signs in with a token somebody gave me; renewing it at once also sets the cookie that images need. */
  async enterWithToken(token: string): Promise<void> {
    this.#keep(await this.api.refresh(token.trim()));
  }

  async rename(name: string): Promise<void> {
    this.#keep(await this.api.renameMe(name));
  }

  /** Renews the token once, however many ask, in one tab for all. */
  renew(): Promise<Renewal> {
    this.#renewal ??= this.#renewLocked().finally(() => {
      this.#renewal = null;
    });
    return this.#renewal;
  }

  async #renewLocked(): Promise<Renewal> {
    const before = this.#session?.token;
    if (before === undefined) return "refused";
    const work = async (): Promise<Renewal> => {
      const stored = this.#stored();
      if (stored && stored.token !== before) {
        // Another tab did it while we waited.
        this.#adopt(stored);
        return "renewed";
      }
      try {
        this.#keep(await this.api.refresh(before));
        return "renewed";
      } catch (error) {
        if (error instanceof ApiError && !error.unreachable && [400, 401, 403, 404, 422].includes(error.status)) {
          return "refused";
        }
        return "unreachable";
      }
    };
    // Locks need a secure context; without them two tabs may renew twice, which is harmless.
    return "locks" in navigator && navigator.locks ? navigator.locks.request("kanvas.renew", work) : work();
  }

  /** True when nobody but this browser knows who I am. */
  get isGuest(): boolean {
    return this.#session !== null && isGuest(this.#session.token);
  }

  /** True for an operator: by the server's own word now, or as it was at the sign-in, or by a claim of the provider. */
  get isOperator(): boolean {
    if (this.#account) return this.#account.is_admin;
    return this.#session !== null && (this.#session.operator === true || isOperator(this.#session.token));
  }

  /**
   * Ends the token here and there, or all of them everywhere; the caller clears the caches.
   *
   * Everywhere it has to succeed, for that is what was asked for: throws ApiError then, and nothing has changed.
   */
  async signOut(everywhere = false): Promise<void> {
    try {
      await this.api.signOut(everywhere);
    } catch (error) {
      if (everywhere) throw error;
      if (error instanceof ApiError && error.status !== 401) writeJson(LEAVING, true);
    }
    forget(KEY);
    this.#adopt(null);
  }

  /** Tells the server of a sign-out it missed, by the cookie that it left here. */
  async #leave(): Promise<void> {
    if (readJson(LEAVING) !== true || this.#session) return;
    try {
      await this.api.signOutByCookie();
      forget(LEAVING);
    } catch {
      // At the next start, or when the network is back.
    }
  }

  /** The session can't be renewed any more (the server's secret changed, or 90 days went by). */
  expire(): void {
    forget(KEY);
    this.#adopt(null);
  }

  /** False when localStorage is forbidden, and a reload will ask for a name again. */
  get persistent(): boolean {
    return storage() !== null;
  }
}
