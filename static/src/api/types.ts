/** The JSON of the REST interface, as /api/v1/openapi.json describes it. */

export interface Person {
  readonly id: string;
  readonly name: string;
}

export type Visibility = "public" | "unlisted";
/** From the most to the least. */
export type Role = "owner" | "editor" | "commenter" | "viewer";
/** What an invitation or a link can give. */
export type GivenRole = Exclude<Role, "owner">;
/** What everybody may do who has the address. */
export type DefaultRole = GivenRole | "none";
export type Action = "see" | "present" | "comment" | "moderate" | "edit" | "rename" | "share" | "audit" | "delete" | "transfer";
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
  /** Mine; null for the operator, and in a public room that lets nobody in. */
  readonly role: Role | null;
  /** What I may do; a copy kept by an earlier version has none (share/roles.ts). */
  readonly may?: readonly Action[];
  readonly default_role?: DefaultRole;
  /** Whether the others see who only looks. */
  readonly shows_viewers?: boolean;
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
  /** Whether it is an operator's; servers before 0.2 don't say. */
  readonly is_admin?: boolean;
}

/** What only I see of me. */
export interface Me extends Person {
  readonly email: string | null;
  readonly is_guest: boolean;
  readonly is_admin: boolean;
  /** The ids I had as a guest. */
  readonly aliases: readonly string[];
}

export interface ServerConfig {
  readonly guests: boolean;
  /** An identity provider to sign in at; servers before 0.2 don't say. */
  readonly sign_in?: { readonly text: string; readonly href: string } | null;
  /** Whether one can sign in by e-mail. */
  readonly email?: boolean;
  /** Whether the mails are at /mailbox, for this browser. */
  readonly mailbox?: boolean;
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
