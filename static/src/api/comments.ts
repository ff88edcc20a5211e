/**
 * The comment part of the REST interface.
 *
 * Owns: addresses and shapes. Does not own: what is known of a room's threads (comments/store.ts). Every method throws
 * ApiError.
 */
import type { Caller } from "./assets";
import type { Call } from "./client";
import type { Page, Person } from "./types";

const BASE = "/api/v1";
const PAGE = 200;

export interface Remark {
  readonly id: string;
  readonly author: Person;
  /** Plain text. */
  readonly body: string;
  readonly created_at: string;
  readonly edited_at: string | null;
  readonly mentions: readonly string[];
}

/** A thread as everybody in the room is told of it. */
export interface SharedThread {
  readonly id: string;
  readonly x: number | null;
  readonly y: number | null;
  readonly element_id: string | null;
  readonly created_by: Person;
  readonly created_at: string;
  readonly updated_at: string;
  readonly resolved_at: string | null;
  readonly resolved_by: Person | null;
  readonly is_deleted: boolean;
  readonly revision: number;
  /** Oldest first. */
  readonly comments: readonly Remark[];
}

/** A thread as I see it: up to when I have read it. */
export interface Thread extends SharedThread {
  readonly read_at: string | null;
}

/** A comment that mentions me, and where it is. */
export interface Mention {
  readonly room: { readonly id: string; readonly title: string };
  readonly thread_id: string;
  readonly comment: Remark;
  readonly is_unread: boolean;
}

export interface ThreadPage extends Page<Thread> {
  readonly revision: number;
}

/** Where a thread is pinned, in the canvas's own units. */
export interface Place {
  readonly x: number;
  readonly y: number;
  readonly element_id: string | null;
}

export interface Words {
  readonly body: string;
  readonly mentions: readonly string[];
}

export class CommentApi {
  readonly #call: Caller;

  constructor(call: Caller) {
    this.#call = call;
  }

  async #json<T>(path: string, call?: Call): Promise<T> {
    return (await (await this.#call(path, call)).json()) as T;
  }

  /** What changed after `since`, a page at a time; all of it with 0. */
  list(room: string, query: { since: number; cursor: string | null }): Promise<ThreadPage> {
    const params = new URLSearchParams({ since: String(query.since), limit: String(PAGE) });
    if (query.cursor) params.set("cursor", query.cursor);
    return this.#json(`${pathOf(room)}?${params}`);
  }

  begin(room: string, place: Place, words: Words, key: string): Promise<Thread> {
    const { element_id, ...point } = place;
    const json = { ...point, ...(element_id === null ? {} : { element_id }), ...words };
    return this.#json(pathOf(room), { method: "POST", json, headers: { "Idempotency-Key": key } });
  }

  reply(room: string, thread: string, words: Words, key: string): Promise<Thread> {
    return this.#json(`${pathOf(room, thread)}/replies`, { method: "POST", json: words, headers: { "Idempotency-Key": key } });
  }

  resolve(room: string, thread: string, resolved: boolean): Promise<Thread> {
    return this.#json(pathOf(room, thread), { method: "PATCH", json: { resolved } });
  }

  edit(room: string, thread: string, comment: string, words: Words): Promise<Thread> {
    return this.#json(`${pathOf(room, thread)}/replies/${encodeURIComponent(comment)}`, { method: "PATCH", json: words });
  }

  async remove(room: string, thread: string, comment: string): Promise<void> {
    await this.#call(`${pathOf(room, thread)}/replies/${encodeURIComponent(comment)}`, { method: "DELETE" });
  }

  async removeThread(room: string, thread: string): Promise<void> {
    await this.#call(pathOf(room, thread), { method: "DELETE" });
  }

  /** I have seen it up to this comment. */
  async read(room: string, thread: string, comment: string): Promise<void> {
    await this.#call(`${pathOf(room, thread)}/read`, { method: "POST", json: { comment_id: comment } });
  }

  /** Where I am mentioned, the newest first. */
  mentions(limit: number, signal: AbortSignal): Promise<Page<Mention>> {
    return this.#json(`${BASE}/me/mentions?limit=${limit}`, { signal });
  }

  /** People who may be mentioned, by name. */
  async people(room: string, q: string): Promise<readonly Person[]> {
    return (await this.#json<{ items: readonly Person[] }>(`${pathOf(room)}/people?${new URLSearchParams({ q })}`)).items;
  }
}

function pathOf(room: string, thread?: string): string {
  const path = `${BASE}/rooms/${encodeURIComponent(room)}/comments`;
  return thread === undefined ? path : `${path}/${encodeURIComponent(thread)}`;
}
