/** What an entry of the audit log says to a person. Pure. */
import type { AuditEntry } from "../api/audit";
import { count } from "../app/time";
import { isRole, ROLE_NAMES } from "../share/roles";

/** What can be chosen to see: the first word of actions, and what it is called. */
export const NOUNS: readonly (readonly [noun: string, words: string])[] = [
  ["", "Everything"],
  ["room", "The room"],
  ["member", "Members and roles"],
  ["invitation", "Invitations"],
  ["link", "Links"],
  ["asset", "Files"],
  ["comment", "Comments"],
  ["document", "Drawing"],
  ["audit", "This log"],
];

/** Who did it. */
export function whoOf(entry: AuditEntry, myId: string): string {
  if (!entry.actor) return "Somebody who was not signed in";
  if (entry.actor.id === myId) return "You";
  return entry.actor.name || "Somebody";
}

const text = (value: unknown): string => (typeof value === "string" && value ? value : "");

function changeOf(details: AuditEntry["details"], name: string): readonly [from: string, to: string] | null {
  const change = details[name];
  if (typeof change !== "object" || change === null) return null;
  const { from, to } = change as { from?: unknown; to?: unknown };
  return typeof to === "string" ? [text(from), to] : null;
}

const roleOf = (value: unknown): string => (typeof value === "string" && isRole(value) ? ROLE_NAMES[value].toLowerCase() : "");

/** What was done or tried, after the name of who did it; `names` are those known, by id. */
export function deedOf(entry: AuditEntry, names: ReadonlyMap<string, string> = new Map()): string {
  const { action, details } = entry;
  if (entry.result === "refused") return entry.words;
  const whom = names.get(entry.target);
  const role = roleOf(details["to"]) || roleOf(details["role"]);
  if (action === "member.change" && role) return `changed the role of ${whom ?? "somebody"} to ${role}`;
  if (action === "member.remove" && whom) return `removed ${whom}`;
  if (action === "room.transfer" && whom) return `handed the room over to ${whom}`;
  if (action === "invitation.create" && role) return `invited ${text(details["email"]) || (names.get(text(details["user_id"])) ?? "somebody")} as ${role}`;
  if (action === "link.create" && role) return `${entry.words} for the role ${role}`;
  if (action === "room.change") {
    const title = changeOf(details, "title");
    const visibility = changeOf(details, "visibility");
    const told = [
      title && `renamed the room to “${title[1]}”`,
      visibility && `made the room ${visibility[1] === "public" ? "public: it is listed for everybody" : "unlisted"}`,
    ].filter(Boolean);
    if (told.length > 0) return told.join(" and ");
  }
  const name = text(details["filename"]) || text(details["title"]);
  return name ? `${entry.words}: ${name}` : entry.words;
}

/** "Refused", "Refused 12 times"; empty for what was done. */
export function refusalOf(entry: AuditEntry): string {
  if (entry.result !== "refused") return "";
  const times = entry.details["times"];
  return typeof times === "number" && times > 1 ? `Refused ${count(times, "time", "times")}` : "Refused";
}
