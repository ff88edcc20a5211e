/**
 * Signing in by e-mail, as a part of the REST interface.
 *
 * Owns: addresses and shapes. Every method throws ApiError. The guest's token goes along where there is one: what the
 * guest made is then the account's.
 */
import type { Call } from "./client";
import type { Grant } from "./types";

const BASE = "/api/v1";

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

export class AccountsApi {
  readonly #call: (path: string, call?: Call) => Promise<Response>;

  constructor(call: (path: string, call?: Call) => Promise<Response>) {
    this.#call = call;
  }

  /** A mail with a link is on its way, if somebody may sign in with this address. */
  async askLink(email: string, next: string): Promise<void> {
    await this.#call(`${BASE}/auth/email`, { method: "POST", json: { email, next } });
  }

  async confirmLink(token: string): Promise<LinkGrant> {
    const answer = await this.#call(`${BASE}/auth/email/confirm`, { method: "POST", json: { token } });
    return (await answer.json()) as LinkGrant;
  }

  /** The mails that stayed on this machine, the newest first. */
  async mailbox(signal: AbortSignal): Promise<readonly KeptMail[]> {
    const answer = await this.#call(`${BASE}/mailbox`, { signal, token: null });
    return ((await answer.json()) as { items: KeptMail[] }).items;
  }
}
