/**
 * The REST interface as functions.
 *
 * Owns: addresses, headers, deadlines, and one silent renewal when the token has run out.
 * Does not own the token: `Credentials` (identity/session.ts) hands it in and renews it.
 */
import { AccountApi } from "./account";
import { readBase, type Base, type Reading } from "./base";
import { AdminApi } from "./admin";
import { AssetApi } from "./assets";
import { AuditApi } from "./audit";
import { CommentApi } from "./comments";
import { ApiError, problemOf } from "./errors";
import { SharingApi } from "./sharing";
import type { DefaultRole, Grant, Page, Room, Scope, ServerConfig, Visibility } from "./types";

const BASE = "/api/v1";
const DEADLINE_MS = 15_000;

export interface Credentials {
  /** The token to send, or null when signed out. */
  token(): string | null;
  /** Renews the token; false when that is refused (then the 401 stands). */
  renew(): Promise<boolean>;
}

export interface Call {
  readonly method?: "GET" | "POST" | "PATCH" | "PUT" | "DELETE";
  readonly json?: unknown;
  readonly body?: Blob;
  readonly headers?: Record<string, string>;
  readonly signal?: AbortSignal;
  /** The token to send instead of the session's; null sends none. */
  readonly token?: string | null;
  /**
   * The session's cookie alone, at first: the answer may be a redirect to another origin, which a token must not reach
   * and which a header of ours would turn into a request that asks for permission first.
   */
  readonly byCookie?: boolean;
  readonly cache?: RequestCache;
  readonly deadlineMs?: number;
}

export interface RoomChange {
  readonly title?: string;
  readonly visibility?: Visibility;
  readonly default_role?: DefaultRole;
  readonly shows_viewers?: boolean;
}

/** A key no other request has; `crypto.randomUUID` is missing on plain http. */
export function randomKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function send(path: string, call: Call, token: string | null): Promise<Response> {
  const headers: Record<string, string> = { Accept: "application/json", ...call.headers };
  if (token) headers["Authorization"] = `Bearer ${token}`;
  let body: BodyInit | null = call.body ?? null;
  if (call.json !== undefined) {
    headers["Content-Type"] = "application/json";
    body = JSON.stringify(call.json);
  }
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(), call.deadlineMs ?? DEADLINE_MS);
  const stop = () => deadline.abort();
  call.signal?.addEventListener("abort", stop);
  try {
    return await fetch(path, {
      method: call.method ?? "GET",
      headers,
      body,
      signal: deadline.signal,
      credentials: "same-origin",
      cache: call.cache ?? "default",
    });
  } catch (cause) {
    if (call.signal?.aborted) throw cause;
    const late = deadline.signal.aborted;
    throw new ApiError(late ? "The server did not answer in time." : "The server can't be reached.", {
      kind: late ? "timeout" : "offline",
      cause,
    });
  } finally {
    clearTimeout(timer);
    call.signal?.removeEventListener("abort", stop);
  }
}

/** The client; every method throws ApiError, or AbortError when its signal says so. */
export class Api {
  readonly #credentials: Credentials;
  readonly assets = new AssetApi((path, call) => this.#call(path, call));
  readonly comments = new CommentApi((path, call) => this.#call(path, call));
  readonly admin = new AdminApi((path, call) => this.#call(path, call));
  readonly sharing = new SharingApi((path, call) => this.#call(path, call));
  readonly account = new AccountApi((path, call) => this.#call(path, call));
  readonly audit = new AuditApi((path, call) => this.#call(path, call));

  constructor(credentials: Credentials) {
    this.#credentials = credentials;
  }

  async #call(path: string, call: Call = {}): Promise<Response> {
    const fixed = call.token !== undefined;
    const token = call.byCookie ? null : this.#credentials.token();
    let answer = await send(path, call, fixed ? (call.token ?? null) : token);
    if (answer.status === 401 && !fixed && (await this.#credentials.renew())) {
      answer = await send(path, call, this.#credentials.token());
    }
    if (!answer.ok) {
      throw problemOf(answer.status, await answer.text(), answer.headers.get("Content-Type") ?? "");
    }
    return answer;
  }

  async #json<T>(path: string, call: Call = {}): Promise<T> {
    return (await (await this.#call(BASE + path, call)).json()) as T;
  }

  config(): Promise<ServerConfig> {
    return this.#json("/config", { token: null });
  }

  guest(name: string): Promise<Grant> {
    return this.#json("/auth/guest", { method: "POST", json: { name }, token: null });
  }

  refresh(token: string): Promise<Grant> {
    return this.#json("/auth/refresh", { method: "POST", token });
  }

  /** A token for whom the session cookie belongs to. */
  refreshByCookie(): Promise<Grant> {
    return this.#json("/auth/refresh", { method: "POST", token: null });
  }

  async signOut(everywhere = false): Promise<void> {
    await this.#call(`${BASE}/auth/${everywhere ? "signout-everywhere" : "signout"}`, { method: "POST" });
  }

  /** Whom the session cookie belongs to. */
  async signOutByCookie(): Promise<void> {
    await this.#call(`${BASE}/auth/signout`, { method: "POST", token: null });
  }

  renameMe(name: string): Promise<Grant> {
    return this.#json("/me", { method: "PATCH", json: { name } });
  }

  listRooms(query: { scope: Scope; q?: string; cursor?: string | null; limit?: number }, signal?: AbortSignal): Promise<Page<Room>> {
    const params = new URLSearchParams({ scope: query.scope, limit: String(query.limit ?? 24) });
    if (query.q) params.set("q", query.q);
    if (query.cursor) params.set("cursor", query.cursor);
    return this.#json(`/rooms?${params}`, signal ? { signal } : {});
  }

  /** Public rooms with people in them, most people first. */
  listActiveRooms(limit: number, signal: AbortSignal): Promise<{ readonly items: readonly Room[] }> {
    return this.#json(`/rooms/active?limit=${limit}`, { signal });
  }

  createRoom(room: { title: string; visibility: Visibility }, key: string = randomKey()): Promise<Room> {
    return this.#json("/rooms", { method: "POST", json: room, headers: { "Idempotency-Key": key } });
  }

  getRoom(id: string, deadlineMs?: number): Promise<Room> {
    return this.#json(`/rooms/${encodeURIComponent(id)}`, deadlineMs === undefined ? {} : { deadlineMs });
  }

  changeRoom(id: string, change: RoomChange): Promise<Room> {
    return this.#json(`/rooms/${encodeURIComponent(id)}`, { method: "PATCH", json: change });
  }

  async deleteRoom(id: string): Promise<void> {
    await this.#call(`${BASE}/rooms/${encodeURIComponent(id)}`, { method: "DELETE" });
  }

  restoreRoom(id: string): Promise<Room> {
    return this.#json(`/rooms/${encodeURIComponent(id)}/restore`, { method: "POST" });
  }

  /**
   * A recent state of the room as one Yjs update, compressed on the way: what a first sync would bring in one piece.
   *
   * `deadlineMs` is for the answer's beginning; after that only a stall ends it.
   */
  async fetchBase(room: string, call: { deadlineMs: number } & Reading): Promise<Base> {
    const answer = await this.#call(`/parties/${encodeURIComponent(room)}/base`, {
      headers: { Accept: "application/octet-stream" },
      deadlineMs: call.deadlineMs,
      signal: call.signal,
    });
    return readBase(answer, call);
  }
}
