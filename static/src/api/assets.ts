/**
 * The asset part of the REST interface: uploads, the bytes, and a room's list of files.
 *
 * Owns: addresses and shapes. Does not own: the sending of an upload's bytes to its signed address (assets/transport.ts)
 * or the order of the steps (assets/delivery.ts). Every method throws ApiError.
 */
import type { Call } from "./client";
import { ApiError } from "./errors";
import type { Page } from "./types";

const BASE = "/api/v1";
const UPLOAD_DEADLINE_MS = 120_000;
/** The server checks every byte before it answers. */
const COMPLETE_DEADLINE_MS = 180_000;

export type Form = "thumb" | "web";

export interface Rendition {
  readonly name: Form;
  readonly url: string;
  readonly content_type: string;
  readonly width: number;
  readonly height: number;
  readonly size_bytes: number;
}

/** A checked file of a room. `sha256` is of the bytes as they were uploaded: what documents name it by. */
export interface Asset {
  readonly id: string;
  readonly room_id: string;
  readonly sha256: string;
  readonly filename: string;
  readonly content_type: string;
  readonly size_bytes: number;
  readonly width: number | null;
  readonly height: number | null;
  readonly frames: number | null;
  readonly color: string | null;
  readonly user_id: string | null;
  readonly created_at: string;
  readonly url: string;
  readonly renditions: readonly Rendition[];
}

/** To be sent exactly so; `url` may be relative to the server. */
export interface SignedRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
}

export interface Upload {
  readonly id: string;
  readonly expires_at: string;
  readonly request: SignedRequest | null;
  readonly parts: { readonly part_bytes: number; readonly count: number } | null;
}

export interface NewAsset {
  readonly filename: string;
  readonly content_type: string;
  readonly size: number;
  readonly sha256: string;
}

export interface SignedPart {
  readonly number: number;
  readonly size_bytes: number;
  readonly request: SignedRequest;
}

export interface StoredParts {
  readonly part_bytes: number;
  readonly count: number;
  readonly stored: readonly { readonly number: number; readonly size_bytes: number }[];
}

export type Caller = (path: string, call?: Call) => Promise<Response>;

/** Where the bytes of a room's asset are; `id` is its id or its SHA-256. */
export function assetPath(room: string, id: string): string {
  return `${BASE}/rooms/${encodeURIComponent(room)}/assets/${encodeURIComponent(id)}`;
}

export class AssetApi {
  readonly #call: Caller;

  constructor(call: Caller) {
    this.#call = call;
  }

  async #json<T>(path: string, call?: Call): Promise<T> {
    return (await (await this.#call(path, call)).json()) as T;
  }

  /** `asset` when the room has these bytes already; else the upload, the same one again when it was begun before. */
  begin(room: string, asset: NewAsset, signal?: AbortSignal): Promise<{ asset: Asset | null; upload: Upload | null }> {
    return this.#json(`${BASE}/rooms/${encodeURIComponent(room)}/assets`, { method: "POST", json: asset, ...maybe(signal) });
  }

  async signParts(room: string, id: string, numbers: readonly number[], signal?: AbortSignal): Promise<readonly SignedPart[]> {
    const path = `${assetPath(room, id)}/parts`;
    return (await this.#json<{ parts: SignedPart[] }>(path, { method: "POST", json: { numbers }, ...maybe(signal) })).parts;
  }

  findParts(room: string, id: string, signal?: AbortSignal): Promise<StoredParts> {
    return this.#json(`${assetPath(room, id)}/parts`, maybe(signal));
  }

  complete(room: string, id: string, signal?: AbortSignal): Promise<Asset> {
    const call: Call = { method: "POST", deadlineMs: COMPLETE_DEADLINE_MS, ...maybe(signal) };
    return this.#json(`${assetPath(room, id)}/complete`, call);
  }

  async cancel(room: string, id: string): Promise<void> {
    await this.#call(assetPath(room, id), { method: "DELETE" });
  }

  /** All bytes in one request: for small files. */
  put(room: string, sha256: string, blob: Blob, filename: string, signal?: AbortSignal): Promise<Asset> {
    return this.#json(`${assetPath(room, sha256)}?${new URLSearchParams({ filename })}`, {
      method: "PUT",
      body: blob,
      headers: { "Content-Type": blob.type || "application/octet-stream" },
      deadlineMs: UPLOAD_DEADLINE_MS,
      ...maybe(signal),
    });
  }

  /** The bytes, or a smaller form; the image itself where there is no smaller one (yet). */
  async read(room: string, id: string, form?: Form, signal?: AbortSignal): Promise<Blob> {
    const answer = await this.#read(room, id, form, signal);
    const blob = await answer.blob();
    const bytes = Number(answer.headers.get("Content-Length") ?? blob.size);
    // A cut-off answer must not be kept for the picture.
    if (bytes !== blob.size && !answer.headers.has("Content-Encoding")) {
      throw new ApiError("The file did not arrive whole.", { kind: "offline" });
    }
    return blob;
  }

  /** The same, but null, and nothing loaded, when it is a bitmap of more than so many bytes. */
  async readLight(room: string, id: string, form: Form, mostBytes: number): Promise<Blob | null> {
    const answer = await this.#read(room, id, form);
    const bytes = Number(answer.headers.get("Content-Length") ?? 0);
    if (bytes <= mostBytes || answer.headers.get("Content-Type")?.startsWith("image/svg")) return answer.blob();
    await answer.body?.cancel();
    return null;
  }

  #read(room: string, id: string, form?: Form, signal?: AbortSignal): Promise<Response> {
    const query = form ? `?rendition=${form}` : "";
    // A form that is not made yet is answered with the picture itself, and that answer may be kept for a while.
    const cache = form ? "no-cache" : "default";
    return this.#call(assetPath(room, id) + query, { headers: { Accept: "*/*" }, byCookie: true, cache, ...maybe(signal) });
  }

  /** Newest first. */
  list(room: string, query: { cursor?: string | null; limit?: number }, signal?: AbortSignal): Promise<Page<Asset>> {
    const params = new URLSearchParams({ limit: String(query.limit ?? 40) });
    if (query.cursor) params.set("cursor", query.cursor);
    return this.#json(`${BASE}/rooms/${encodeURIComponent(room)}/assets?${params}`, maybe(signal));
  }

  /** Lets the server fetch a file from elsewhere; it takes as long as the other server does. */
  importFrom(room: string, url: string, signal?: AbortSignal): Promise<Asset> {
    const call: Call = { method: "POST", json: { url }, deadlineMs: COMPLETE_DEADLINE_MS, ...maybe(signal) };
    return this.#json(`${BASE}/rooms/${encodeURIComponent(room)}/assets/import`, call);
  }

  metadata(id: string): Promise<Asset> {
    return this.#json(`${BASE}/assets/${encodeURIComponent(id)}/metadata`);
  }
}

function maybe(signal: AbortSignal | undefined): { signal?: AbortSignal } {
  return signal ? { signal } : {};
}
