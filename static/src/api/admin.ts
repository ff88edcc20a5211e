/**
 * The operator's part of the REST interface: live rooms, nodes, and orders.
 *
 * Owns: addresses and shapes. Every method throws ApiError; the token is the operator's, not the session's.
 */
import type { Call } from "./client";
import type { Person, Role, Visibility } from "./types";

const BASE = "/api/v1/admin";

export interface LiveRoom {
  readonly id: string;
  /** null for a room that is not in the database any more. */
  readonly title: string | null;
  readonly visibility: Visibility | null;
  readonly people: number;
  readonly connections: number;
  readonly lagging: number;
  /** null at the first look. */
  readonly edits_per_s: number | null;
  readonly document_bytes: number;
  readonly journal_rows: number;
  readonly journal_bytes: number;
  readonly waits_for_journal: boolean;
  readonly nodes: readonly string[];
  readonly quarantine: "room" | "somebody" | null;
  readonly frozen_at: string | null;
  readonly closed_until: string | null;
  readonly kept_out: number;
}

export interface LiveRooms {
  readonly items: readonly LiveRoom[];
  readonly total: number;
  readonly silent_nodes: readonly string[];
}

export interface PersonInRoom {
  readonly user: Person;
  readonly role: Role;
  readonly connections: number;
  readonly node: string;
}

export interface Node {
  readonly node: string;
  /** The machine, and the process there. */
  readonly host: string;
  readonly pid: number;
  readonly is_this: boolean;
  readonly phase: "starting" | "ready" | "draining";
  /** Not one that does jobs alone. */
  readonly serves: boolean;
  readonly started_at: string;
  readonly rooms: number;
  readonly connections: number;
  readonly edits_per_s: number | null;
}

export class AdminApi {
  readonly #call: (path: string, call?: Call) => Promise<Response>;

  constructor(call: (path: string, call?: Call) => Promise<Response>) {
    this.#call = call;
  }

  async rooms(token: string, signal: AbortSignal): Promise<LiveRooms> {
    return (await (await this.#call(`${BASE}/rooms`, { token, signal })).json()) as LiveRooms;
  }

  async nodes(token: string, signal: AbortSignal): Promise<{ readonly items: readonly Node[] }> {
    return (await (await this.#call(`${BASE}/nodes`, { token, signal })).json()) as { items: Node[] };
  }

  async people(token: string, room: string, signal: AbortSignal): Promise<readonly PersonInRoom[]> {
    const answer = await this.#call(`${BASE}/rooms/${encodeURIComponent(room)}`, { token, signal });
    return ((await answer.json()) as { participants: PersonInRoom[] }).participants;
  }

  kick(token: string, room: string, user: string, forS: number): Promise<void> {
    return this.#order(token, `/rooms/${encodeURIComponent(room)}/kick`, { user_id: user, for_s: forS });
  }

  freeze(token: string, room: string): Promise<void> {
    return this.#order(token, `/rooms/${encodeURIComponent(room)}/freeze`);
  }

  thaw(token: string, room: string): Promise<void> {
    return this.#order(token, `/rooms/${encodeURIComponent(room)}/thaw`);
  }

  close(token: string, room: string, forS: number): Promise<void> {
    return this.#order(token, `/rooms/${encodeURIComponent(room)}/close`, { for_s: forS });
  }

  open(token: string, room: string): Promise<void> {
    return this.#order(token, `/rooms/${encodeURIComponent(room)}/open`);
  }

  drain(token: string, node: string): Promise<void> {
    return this.#order(token, `/nodes/${encodeURIComponent(node)}/drain`);
  }

  async #order(token: string, path: string, json?: unknown): Promise<void> {
    await this.#call(BASE + path, { method: "POST", token, ...(json === undefined ? {} : { json }) });
  }
}
