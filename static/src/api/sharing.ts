/**
 * Members, invitations and links of a room, over the REST interface.
 *
 * Owns: addresses and shapes. Every method throws ApiError. A link's token is in one answer only, the one that made it.
 */
import type { Call } from "./client";
import type { GivenRole, Page, Person, Role } from "./types";

export interface Member {
  readonly user: Person;
  readonly role: Role;
  readonly since: string;
  /** How they came in: owner, invitation, link. */
  readonly via: string;
  readonly link_id: string | null;
}

/** Of the room, as its owner sees it. */
export interface Invitation {
  readonly id: string;
  readonly email: string | null;
  readonly user_id: string | null;
  readonly role: GivenRole;
  readonly created_at: string;
  readonly expires_at: string;
}

/** Waiting for me. */
export interface MyInvitation {
  readonly id: string;
  readonly room: RoomHead;
  readonly role: GivenRole;
  readonly invited_by: Person;
  readonly created_at: string;
  readonly expires_at: string;
}

export interface RoomHead {
  readonly id: string;
  readonly title: string;
}

export interface ShareLink {
  readonly id: string;
  readonly role: GivenRole;
  readonly label: string;
  readonly created_at: string;
  readonly expires_at: string | null;
  readonly max_uses: number | null;
  readonly uses: number;
  readonly has_password: boolean;
  /** Whether it lets anybody new in: not expired, not used up. */
  readonly is_open: boolean;
}

export interface NewLink {
  readonly role: GivenRole;
  readonly label?: string;
  readonly expires_at?: string;
  readonly max_uses?: number;
  readonly password?: string;
}

export interface MadeLink extends ShareLink {
  readonly url: string;
}

/** What a link would open. */
export interface LinkLook {
  /** null while it needs a password. */
  readonly room: RoomHead | null;
  readonly role: GivenRole;
  readonly needs_password: boolean;
}

export interface Entry {
  readonly room_id: string;
  readonly role: Role;
}

export type Invitee = { readonly email: string } | { readonly user_id: string };

const BASE = "/api/v1";
const PAGE = 50;
const part = encodeURIComponent;

export class SharingApi {
  readonly #call: (path: string, call?: Call) => Promise<Response>;

  constructor(call: (path: string, call?: Call) => Promise<Response>) {
    this.#call = call;
  }

  async #json<T>(path: string, call: Call = {}): Promise<T> {
    return (await (await this.#call(BASE + path, call)).json()) as T;
  }

  async #done(path: string, call: Call): Promise<void> {
    await this.#call(BASE + path, call);
  }

  #page<T>(path: string, cursor: string | null, signal: AbortSignal): Promise<Page<T>> {
    const query = new URLSearchParams({ limit: String(PAGE), ...(cursor === null ? {} : { cursor }) });
    return this.#json(`${path}?${query}`, { signal });
  }

  members(room: string, cursor: string | null, signal: AbortSignal): Promise<Page<Member>> {
    return this.#page(`/rooms/${part(room)}/members`, cursor, signal);
  }

  setRole(room: string, user: string, role: GivenRole): Promise<void> {
    return this.#done(`/rooms/${part(room)}/members/${part(user)}`, { method: "PATCH", json: { role } });
  }

  /** Somebody else out, or oneself. */
  removeMember(room: string, user: string): Promise<void> {
    return this.#done(`/rooms/${part(room)}/members/${part(user)}`, { method: "DELETE" });
  }

  transfer(room: string, user: string): Promise<void> {
    return this.#done(`/rooms/${part(room)}/transfer`, { method: "POST", json: { user_id: user } });
  }

  invitations(room: string, cursor: string | null, signal: AbortSignal): Promise<Page<Invitation>> {
    return this.#page(`/rooms/${part(room)}/invitations`, cursor, signal);
  }

  invite(room: string, invitee: Invitee, role: GivenRole, message: string): Promise<void> {
    const json = { ...invitee, role, ...(message ? { message } : {}) };
    return this.#done(`/rooms/${part(room)}/invitations`, { method: "POST", json });
  }

  withdraw(room: string, invitation: string): Promise<void> {
    return this.#done(`/rooms/${part(room)}/invitations/${part(invitation)}`, { method: "DELETE" });
  }

  myInvitations(signal: AbortSignal): Promise<Page<MyInvitation>> {
    return this.#page("/invitations", null, signal);
  }

  accept(invitation: string): Promise<Entry> {
    return this.#json(`/invitations/${part(invitation)}/accept`, { method: "POST" });
  }

  decline(invitation: string): Promise<void> {
    return this.#done(`/invitations/${part(invitation)}/decline`, { method: "POST" });
  }

  /** The one that came by mail; looking at it accepts nothing. */
  lookAtInvitation(token: string, signal: AbortSignal): Promise<MyInvitation> {
    return this.#json("/invitations/look", { method: "POST", json: { token }, signal });
  }

  acceptByToken(token: string): Promise<Entry> {
    return this.#json("/invitations/accept", { method: "POST", json: { token } });
  }

  links(room: string, cursor: string | null, signal: AbortSignal): Promise<Page<ShareLink>> {
    return this.#page(`/rooms/${part(room)}/links`, cursor, signal);
  }

  makeLink(room: string, link: NewLink): Promise<MadeLink> {
    return this.#json(`/rooms/${part(room)}/links`, { method: "POST", json: link });
  }

  revoke(room: string, link: string): Promise<void> {
    return this.#done(`/rooms/${part(room)}/links/${part(link)}`, { method: "DELETE" });
  }

  look(token: string, signal: AbortSignal): Promise<LinkLook> {
    return this.#json("/links/look", { method: "POST", json: { token }, signal });
  }

  redeem(token: string, password: string | null): Promise<Entry> {
    return this.#json("/links/redeem", { method: "POST", json: { token, ...(password === null ? {} : { password }) } });
  }
}
