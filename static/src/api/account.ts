/**
 * My account over the REST interface: signing in by e-mail, who I am, where I am signed in, my tokens for scripts.
 *
 * Owns: addresses and shapes. Every method throws ApiError. A token's text is in one answer only, the one that made it.
 * A guest's token goes along when a mailed link is confirmed: what the guest made is then the account's.
 */
import type { Call } from "./client";
import type { Grant, Me, Page } from "./types";

export interface LinkGrant extends Grant {
  /** A path of this server: where to go on. */
  readonly next: string;
}

export interface KeptMail {
  readonly id: string;
  readonly sent_at: string;
  readonly to: string;
  readonly subject: string;
  readonly text: string;
}

export interface SignedInSession {
  readonly id: string;
  /** How; `token` was given by the operator. */
  readonly kind: "guest" | "email" | "provider" | "token";
  readonly address: string;
  readonly user_agent: string;
  readonly created_at: string;
  readonly seen_at: string;
  readonly is_this: boolean;
}

export const SCOPES = ["rooms:read", "rooms:write", "comments:write", "files:write", "share", "account:read", "admin"] as const;
export type TokenScope = (typeof SCOPES)[number];

export interface PersonalToken {
  readonly id: string;
  readonly name: string;
  readonly scopes: readonly TokenScope[];
  readonly created_at: string;
  readonly expires_at: string | null;
  /** To the minute. */
  readonly last_used_at: string | null;
  readonly last_used_from: string | null;
}

export interface NewToken {
  readonly name: string;
  readonly scopes: readonly TokenScope[];
  readonly expires_in_days?: number;
}

export interface MadeToken extends PersonalToken {
  readonly token: string;
}

const BASE = "/api/v1";
const ME = "/me";

export class AccountApi {
  readonly #call: (path: string, call?: Call) => Promise<Response>;

  constructor(call: (path: string, call?: Call) => Promise<Response>) {
    this.#call = call;
  }

  async #json<T>(path: string, call: Call = {}): Promise<T> {
    return (await (await this.#call(BASE + path, call)).json()) as T;
  }

  /** Who I am; `token`: who that one is of. */
  me(token?: string): Promise<Me> {
    return this.#json(ME, token === undefined ? {} : { token });
  }

  /** A mail with a link is on its way, if somebody may sign in with this address. */
  async askLink(email: string, next: string): Promise<void> {
    await this.#call(`${BASE}/auth/email`, { method: "POST", json: { email, next } });
  }

  confirmLink(token: string): Promise<LinkGrant> {
    return this.#json("/auth/email/confirm", { method: "POST", json: { token } });
  }

  /** The mails that stayed on this machine, the newest first. */
  async mailbox(signal: AbortSignal): Promise<readonly KeptMail[]> {
    return (await this.#json<{ items: readonly KeptMail[] }>("/mailbox", { signal, token: null })).items;
  }

  sessions(cursor: string | null, signal: AbortSignal): Promise<Page<SignedInSession>> {
    return this.#json(`${ME}/sessions${after(cursor)}`, { signal });
  }

  async endSession(id: string): Promise<void> {
    await this.#call(`${BASE}${ME}/sessions/${encodeURIComponent(id)}`, { method: "DELETE" });
  }

  tokens(cursor: string | null, signal: AbortSignal): Promise<Page<PersonalToken>> {
    return this.#json(`${ME}/tokens${after(cursor)}`, { signal });
  }

  makeToken(token: NewToken): Promise<MadeToken> {
    return this.#json(`${ME}/tokens`, { method: "POST", json: token });
  }

  async revokeToken(id: string): Promise<void> {
    await this.#call(`${BASE}${ME}/tokens/${encodeURIComponent(id)}`, { method: "DELETE" });
  }
}

function after(cursor: string | null): string {
  return cursor === null ? "" : `?${new URLSearchParams({ cursor })}`;
}
