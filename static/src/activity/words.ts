/** What an entry of the audit log says to a person. Pure. */
import type { AuditEntry } from "../api/audit";
import { count } from "../app/time";
import { isRole, ROLE_DOES, ROLE_NAMES } from "../share/roles";

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

const LIST = new Intl.ListFormat("en");

/** What something was changed to. */
function changeOf(details: AuditEntry["details"], name: string): unknown {
  const change = details[name];
  return typeof change === "object" && change !== null ? (change as { to?: unknown }).to : undefined;
}

function roomDeeds(details: AuditEntry["details"]): string[] {
  const [title, visibility, role, shows] = ["title", "visibility", "default_role", "shows_viewers"].map((name) => changeOf(details, name));
  const deeds: string[] = [];
  if (typeof title === "string") deeds.push(`renamed the room to “${title}”`);
  if (typeof visibility === "string") deeds.push(`made the room ${visibility === "public" ? "public: it is listed for everybody" : "unlisted"}`);
  if (role === "none") deeds.push("let in only the room’s people");
  if (typeof role === "string" && isRole(role)) deeds.push(`let whoever has the address ${ROLE_DOES[role]}`);
  if (typeof shows === "boolean") deeds.push(shows ? "showed who only looks" : "hid who only looks");
  return deeds;
}

function commentDeeds({ resolved, moved }: AuditEntry["details"]): string[] {
  const deeds: string[] = moved === true ? ["moved a comment"] : [];
  if (typeof resolved === "boolean") deeds.push(resolved ? "resolved a comment" : "opened a comment again");
  return deeds;
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
  const told = action === "room.change" ? roomDeeds(details) : action === "comment.change" ? commentDeeds(details) : [];
  if (told.length > 0) return LIST.format(told);
  const name = text(details["filename"]) || text(details["title"]);
  return name ? `${entry.words}: ${name}` : entry.words;
}

/** "Refused", "Refused 12 times"; empty for what was done. */
export function refusalOf(entry: AuditEntry): string {
  if (entry.result !== "refused") return "";
  const times = entry.details["times"];
  return typeof times === "number" && times > 1 ? `Refused ${count(times, "time", "times")}` : "Refused";
}
