/** Numbers and states of rooms and nodes in words. Pure. */
import type { LiveRoom } from "../api/admin";

/** A node's name as one can tell it from the others: the end of the long ones they give themselves. */
export function shortNode(node: string): string {
  return node.length > 12 ? `…${node.slice(-6)}` : node;
}

const UNITS = ["B", "kB", "MB", "GB", "TB"] as const;

/** "0 B", "12.3 kB", "4 MB": three digits at most. */
export function size(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : 1;
  return `${value.toFixed(digits).replace(/\.0$/, "")} ${UNITS[unit]}`;
}

/** "0", "0.4", "12"; a dash while nobody knows. */
export function rate(perSecond: number | null): string {
  if (perSecond === null) return "–";
  if (perSecond > 0 && perSecond < 0.05) return "<0.1";
  return perSecond >= 9.95 ? Math.round(perSecond).toLocaleString("en") : perSecond.toFixed(1).replace(/\.0$/, "");
}

/** "just now", "5 min", "3 h", "12 days": since then. */
export function since(iso: string, now: number): string {
  const minutes = Math.floor((now - Date.parse(iso)) / 60_000);
  if (!Number.isFinite(minutes) || minutes < 1) return "just now";
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h`;
  return `${Math.floor(hours / 24)} days`;
}

/** "just started", "up 5 min". */
export function uptime(iso: string, now: number): string {
  const words = since(iso, now);
  return words === "just now" ? "just started" : `up ${words}`;
}

export interface Badge {
  readonly text: string;
  readonly tone: "cold" | "bad" | "warn";
  readonly detail: string;
}

/** What an operator has to know of a room at a glance, the worst first. */
export function badges(room: LiveRoom, now: number): readonly Badge[] {
  const found: Badge[] = [];
  if (room.waits_for_journal) {
    found.push({ text: "not saving", tone: "bad", detail: "The database does not take its last edits; they are tried again." });
  }
  if (room.quarantine === "room") found.push({ text: "quarantine", tone: "bad", detail: "Opening it made the server fail, so it stays shut for a while." });
  if (room.quarantine === "somebody") {
    found.push({ text: "quarantine", tone: "warn", detail: "Somebody's edits made the server fail and are not taken for a while." });
  }
  if (room.closed_until !== null) found.push({ text: `closed ${until(room.closed_until, now)}`, tone: "warn", detail: "Nobody is let in." });
  if (room.frozen_at !== null) found.push({ text: "frozen", tone: "cold", detail: `It takes no edits; frozen ${ago(room.frozen_at, now)}.` });
  if (room.kept_out > 0) found.push({ text: `${room.kept_out} kept out`, tone: "warn", detail: "People who were sent out for a time." });
  if (room.lagging > 0) found.push({ text: `${room.lagging} slow`, tone: "warn", detail: "Connections that can't keep up; they catch up when they can." });
  return found;
}

function ago(iso: string, now: number): string {
  const words = since(iso, now);
  return words === "just now" ? words : `${words} ago`;
}

/** "for 12 min", "for 3 h", "for 12 days": what is left. */
export function until(iso: string, now: number): string {
  const minutes = Math.max(1, Math.ceil((Date.parse(iso) - now) / 60_000));
  if (minutes < 60) return `for ${minutes} min`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `for ${hours} h` : `for ${Math.round(hours / 24)} days`;
}

/** How long a restraint can be asked for; 0 is not at all. */
export const TERMS: readonly { readonly seconds: number; readonly label: string }[] = [
  { seconds: 0, label: "They may come back at once" },
  { seconds: 3600, label: "For an hour" },
  { seconds: 86_400, label: "For a day" },
  { seconds: 365 * 86_400, label: "For a year, or until you open the room" },
];
