/**
 * My account over the REST interface: who I am, where I am signed in, my tokens for scripts.
 *
 * Owns: addresses and shapes. Every method throws ApiError. A token's text is in one answer only, the one that made it.
 */
import type { Call } from "./client";
import type { Page, Person } from "./types";

export interface Account extends Person {
  readonly email: string | null;
  readonly is_guest: boolean;
  readonly is_admin: boolean;
}

export interface SignedInSession {
  readonly id: string;
  readonly kind: "guest" | "email" | "provider";
  readonly address: string;
  readonly user_agent: string;
  readonly created_at: string;
  readonly seen_at: string;
  readonly is_this: boolean;
}

export const SCOPES = ["rooms:read", "rooms:write", "comments:write", "files:write", "share", "account:read"] as const;
export type TokenScope = (typeof SCOPES)[number];

export interface PersonalToken {
  readonly id: string;
  readonly name: string;
  readonly scopes: readonly TokenScope[];
  readonly created_at: string;
  readonly expires_at: string | null;
  readonly last_used_at: string | null;
}

export interface NewToken {
  readonly name: string;
  readonly scopes: readonly TokenScope[];
  readonly expires_in_days?: number;
}

export interface MadeToken extends PersonalToken {
  readonly token: string;
}

const ME = "/api/v1/me";

export class AccountApi {
  readonly #call: (path: string, call?: Call) => Promise<Response>;

  constructor(call: (path: string, call?: Call) => Promise<Response>) {
    this.#call = call;
  }

  async #json<T>(path: string, call: Call = {}): Promise<T> {
    return (await (await this.#call(ME + path, call)).json()) as T;
  }

  me(signal: AbortSignal): Promise<Account> {
    return this.#json("", { signal });
  }

  sessions(cursor: string | null, signal: AbortSignal): Promise<Page<SignedInSession>> {
    return this.#json(`/sessions${after(cursor)}`, { signal });
  }

  async endSession(id: string): Promise<void> {
    await this.#call(`${ME}/sessions/${encodeURIComponent(id)}`, { method: "DELETE" });
  }

  tokens(cursor: string | null, signal: AbortSignal): Promise<Page<PersonalToken>> {
    return this.#json(`/tokens${after(cursor)}`, { signal });
  }

  makeToken(token: NewToken): Promise<MadeToken> {
    return this.#json("/tokens", { method: "POST", json: token });
  }

  async revokeToken(id: string): Promise<void> {
    await this.#call(`${ME}/tokens/${encodeURIComponent(id)}`, { method: "DELETE" });
  }
}

function after(cursor: string | null): string {
  return cursor === null ? "" : `?${new URLSearchParams({ cursor })}`;
}
