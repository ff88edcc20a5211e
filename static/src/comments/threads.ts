/**
 * What follows from threads: what is unread, what an event of the server's says, what mentions somebody.
 *
 * Pure. Does not own: what is known of a room (store.ts), how it is shown.
 */
import type { Remark, SharedThread, Thread } from "../api/comments";
import type { Person, Room } from "../api/types";

/** Microseconds since 1970: the server tells times apart that Date.parse does not. */
export function microseconds(iso: string): number {
  const fraction = /\.(\d+)/.exec(iso)?.[1] ?? "";
  const seconds = Math.floor(Date.parse(iso) / 1000);
  return seconds * 1_000_000 + Number(fraction.padEnd(6, "0").slice(0, 6));
}

/** Whether others wrote in it after what I have seen. */
export function isUnread(thread: Thread, me: string): boolean {
  const read = thread.read_at === null ? Number.NEGATIVE_INFINITY : microseconds(thread.read_at);
  return thread.comments.some((one) => one.author.id !== me && microseconds(one.created_at) > read);
}

/** A message about comments; `thread` is null when it has to be fetched. */
export interface CommentEvent {
  readonly revision: number;
  readonly thread: SharedThread | null;
}

/** The event in what the server told beside the document; null when it is about something else. */
export function readEvent(told: unknown): CommentEvent | null {
  if (typeof told !== "object" || told === null) return null;
  const { kind, revision, thread } = told as Record<string, unknown>;
  if (kind !== "comment" || typeof revision !== "number") return null;
  const whole = typeof thread === "object" && thread !== null && Array.isArray((thread as SharedThread).comments);
  return { revision, thread: whole ? (thread as SharedThread) : null };
}

/** The `@` and the part of a name before the caret, where somebody is about to be mentioned. */
export function mentionAt(text: string, caret: number): { start: number; query: string } | null {
  const found = /(?:^|[\s(])@([^\s@][^@\n]{0,30}|)$/u.exec(text.slice(0, caret));
  if (!found) return null;
  const query = found[1] ?? "";
  return { start: caret - query.length - 1, query };
}

/** The text with the name in it, and where the caret is then. */
export function complete(text: string, start: number, caret: number, name: string): { text: string; caret: number } {
  const before = `${text.slice(0, start)}@${name} `;
  return { text: before + text.slice(caret).replace(/^ /, ""), caret: before.length };
}

/** Who of those that were chosen is still named in the text: with "@Ada Lovelace" it is not Ada. */
export function mentionsIn(text: string, chosen: ReadonlyMap<string, string>): string[] {
  const named = new Set(segments(text, [...chosen.values()]).filter((part) => part.mention).map((part) => part.text));
  return [...chosen].filter(([, name]) => named.has(`@${name}`)).map(([id]) => id);
}

export interface Segment {
  readonly text: string;
  readonly mention: boolean;
}

/** The text in parts: those that name one of `names` after an `@`, and the rest. */
export function segments(body: string, names: readonly string[]): Segment[] {
  // The longest first: "Ada Lovelace" before "Ada".
  const wanted = names.filter(Boolean).sort((a, b) => b.length - a.length).map((name) => `@${name}`);
  const parts: Segment[] = [];
  let rest = body;
  let plain = "";
  while (rest) {
    const mention = wanted.find((name) => rest.startsWith(name));
    if (mention) {
      if (plain) parts.push({ text: plain, mention: false });
      parts.push({ text: mention, mention: true });
      plain = "";
      rest = rest.slice(mention.length);
    } else {
      const next = rest.indexOf("@", 1);
      const end = next === -1 ? rest.length : next;
      plain += rest.slice(0, end);
      rest = rest.slice(end);
    }
  }
  if (plain) parts.push({ text: plain, mention: false });
  return parts;
}

/** Names by id, as far as the threads tell them. */
export function namesOf(threads: readonly SharedThread[]): Map<string, string> {
  const names = new Map<string, string>();
  for (const thread of threads) for (const { author } of thread.comments) names.set(author.id, author.name);
  return names;
}

/** "Comment by Ada: Bigger, please. 2 replies, unread." */
export function labelOf(thread: SharedThread, unread: boolean): string {
  const first = thread.comments[0];
  const short = (first?.body ?? "").replace(/\s+/g, " ").slice(0, 80);
  const replies = thread.comments.length - 1;
  const notes = [replies > 0 && `${replies} ${replies === 1 ? "reply" : "replies"}`, thread.resolved_at && "resolved", unread && "unread"];
  const said = notes.filter(Boolean).join(", ");
  return `Comment by ${first?.author.name ?? "somebody"}: ${short}${said ? `. ${said}` : ""}`;
}

/** What the room lets me do; a server before roles says nothing of it. */
export function rights(room: Room): { comment: boolean; moderate: boolean } {
  const may = (room as Room & { readonly may?: readonly string[] }).may;
  return { comment: may?.includes("comment") ?? true, moderate: may?.includes("moderate") ?? room.role === "owner" };
}

/** Whether I may remove this comment. */
export function mayRemove(remark: Remark, me: Person, may: { comment: boolean; moderate: boolean }): boolean {
  return may.moderate || (may.comment && remark.author.id === me.id);
}
