/**
 * The audit log of a room over REST. Owns: its addresses and shapes. Every method throws ApiError.
 */
import type { Caller } from "./assets";
import type { Page, Person } from "./types";

export interface AuditEntry {
  readonly id: string;
  readonly at: string;
  /** Null: somebody who had not signed in. */
  readonly actor: Person | null;
  readonly action: string;
  /** The action after a name: "changed the room". */
  readonly words: string;
  readonly target: string;
  readonly result: "done" | "refused";
  /** Where it came from; null where that is not for us. */
  readonly address: string | null;
  readonly room_id: string | null;
  readonly details: Readonly<Record<string, unknown>>;
}

const auditPath = (room: string) => `/api/v1/rooms/${encodeURIComponent(room)}/audit`;

/** Where the browser downloads the whole log, with its session cookie. */
export function exportPath(room: string, format: "csv" | "jsonl"): string {
  return `${auditPath(room)}/export?format=${format}`;
}

export class AuditApi {
  readonly #call: Caller;

  constructor(call: Caller) {
    this.#call = call;
  }

  /** A page, newest first; `noun` is the first word of the actions to show, empty for all. */
  async list(room: string, query: { noun: string; cursor: string | null; limit: number }, signal: AbortSignal): Promise<Page<AuditEntry>> {
    const params = new URLSearchParams({ limit: String(query.limit) });
    if (query.noun) params.set("action", query.noun);
    if (query.cursor) params.set("cursor", query.cursor);
    return (await (await this.#call(`${auditPath(room)}?${params}`, { signal })).json()) as Page<AuditEntry>;
  }
}
