/**
 * What a role allows, and the words for it. Pure.
 *
 * Owns: reading what I may do from a room. The server decides (party/policy.py) and says it in `may`; the table here
 * stands in while only the role is known: a role that changed a moment ago, or a copy kept by an earlier version.
 */
import type { Action, DefaultRole, GivenRole, Role, Room } from "../api/types";

const RANK: Readonly<Record<Role, number>> = { viewer: 0, commenter: 1, editor: 2, owner: 3 };

const LEAST: Readonly<Record<Action, Role>> = {
  see: "viewer",
  present: "viewer",
  comment: "commenter",
  edit: "editor",
  moderate: "owner",
  rename: "owner",
  share: "owner",
  audit: "owner",
  delete: "owner",
  transfer: "owner",
};

export function can(room: Pick<Room, "role" | "may">, action: Action): boolean {
  if (room.may) return room.may.includes(action);
  return room.role !== null && RANK[room.role] >= RANK[LEAST[action]];
}

/** The room as it is for me once my role is another one; what I may do is by the table until the server says it. */
export function withRole(room: Room, role: Role): Room {
  const { may: _, ...rest } = room;
  return { ...rest, role };
}

export function isRole(text: string): text is Role {
  return Object.hasOwn(RANK, text);
}

export const GIVEN_ROLES: readonly GivenRole[] = ["viewer", "commenter", "editor"];

export const ROLE_NAMES: Readonly<Record<Role, string>> = {
  owner: "Owner",
  editor: "Editor",
  commenter: "Commenter",
  viewer: "Viewer",
};

/** After "may": what somebody with this role does in the room. */
export const ROLE_DOES: Readonly<Record<Role, string>> = {
  owner: "draw and decide who else may",
  editor: "draw",
  commenter: "look and comment",
  viewer: "look",
};

/** What I am in a room, as a sentence. */
export const ROLE_HERE: Readonly<Record<Role, string>> = {
  owner: "You own this room",
  editor: "You may draw here",
  commenter: "You may look and comment here",
  viewer: "You may look here",
};

export const EVERYBODY: readonly { readonly value: DefaultRole; readonly label: string }[] = [
  { value: "none", label: "can’t get in" },
  { value: "viewer", label: "may look" },
  { value: "commenter", label: "may look and comment" },
  { value: "editor", label: "may draw" },
];

/** What the address of the room alone opens, as a sentence. */
export function addressWords(room: Pick<Room, "default_role">): string {
  switch (room.default_role ?? "editor") {
    case "none":
      return "Only the people below get in.";
    case "viewer":
      return "Whoever has the address may look.";
    case "commenter":
      return "Whoever has the address may look and comment.";
    case "editor":
      return "Whoever has the address may draw.";
  }
}

/** For the line below the bar, while I can't draw; null while I can. */
export function viewWords(room: Pick<Room, "role" | "may">): string | null {
  if (can(room, "edit")) return null;
  if (can(room, "comment")) return "You may look at this room and comment, but not draw.";
  if (room.role === null) return "You look at this room as the operator of the server; drawing is for its people.";
  return "You may look at this room, but not draw.";
}

/** In passing, when my role in the open room became another one. */
export function changeWords(before: Pick<Room, "role" | "may">, after: Pick<Room, "role" | "may">): string | null {
  if (before.role === after.role) return null;
  if (after.role === "owner") return "You own this room now.";
  if (can(after, "edit")) return can(before, "edit") ? "This room has another owner now; you may still draw." : "You may draw here now.";
  if (can(after, "comment")) return "You may look and comment here now, but not draw.";
  return "You may only look now.";
}
