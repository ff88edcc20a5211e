/** The JSON of the REST interface, as /api/v1/openapi.json describes it. */

export interface Person {
  readonly id: string;
  readonly name: string;
}

export type Visibility = "public" | "unlisted";
export type Scope = "mine" | "public" | "trash";

export interface Room {
  readonly id: string;
  readonly title: string;
  readonly visibility: Visibility;
  readonly schema: "canvas" | "open";
  readonly epoch: number;
  readonly created_at: string;
  readonly updated_at: string;
  readonly deleted_at: string | null;
  readonly purge_at: string | null;
  readonly creator: Person;
  readonly role: "owner" | "editor";
  /** How many people are in the room now. */
  readonly participant_count: number;
  /** The first of them, at most eight. */
  readonly participants: readonly Person[];
}

export interface Page<T> {
  readonly items: readonly T[];
  readonly next_cursor: string | null;
}

export interface Grant {
  readonly token: string;
  /** RFC 3339, in the server's time. */
  readonly expires_at: string;
  readonly user: Person;
}

export interface ServerConfig {
  readonly guests: boolean;
  /** An identity provider to sign in at; servers before 0.2 don't say. */
  readonly sign_in?: { readonly text: string; readonly href: string } | null;
  readonly max_asset_bytes: number;
  readonly version: string;
}

export interface FieldError {
  readonly field?: string;
  readonly pointer?: string;
  readonly code?: string;
  readonly message: string;
}

/** application/problem+json, RFC 9457. */
export interface Problem {
  readonly title?: string;
  readonly status?: number;
  readonly detail?: string;
  readonly code?: string;
  readonly request_id?: string;
  readonly errors?: readonly FieldError[];
  readonly retry_after_s?: number;
}
