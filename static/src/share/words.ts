/** What the Share dialog reads and says: invitees, members, links. Pure. */
import type { Invitee, Member, ShareLink } from "../api/sharing";
import { ahead, count } from "../app/time";

export type InviteeCheck = { readonly ok: true; readonly invitee: Invitee } | { readonly ok: false; readonly reason: string };

const EMAIL = /^[^\s@<>,;]+@[^\s@<>,;]+\.?[^\s@<>,;.]$/u;
const USER_ID = /^[A-Za-z0-9._:-]{1,128}$/;

/** An e-mail address has an @, a user id none; `message` goes with a mail. */
export function readInvitee(text: string, message = ""): InviteeCheck {
  const typed = text.trim();
  if (typed === "") return { ok: false, reason: "Type an e-mail address or a user id." };
  if (typed.includes("@")) {
    if (typed.length <= 254 && EMAIL.test(typed)) return { ok: true, invitee: { email: typed } };
    return { ok: false, reason: "This is no e-mail address. Invite people one by one." };
  }
  if (USER_ID.test(typed) && message !== "") return { ok: false, reason: "Your words go with a mail, and a user id gets none. Invite by e-mail, or take them out." };
  if (USER_ID.test(typed)) return { ok: true, invitee: { user_id: typed } };
  return { ok: false, reason: "This is neither an e-mail address nor a user id. People find their id on their account page." };
}

export function viaWords({ via, role }: Pick<Member, "via" | "role">): string {
  if (role === "owner") return "owns the room";
  switch (via) {
    case "link":
      return "came by a link";
    case "invitation":
      return "was invited";
    default:
      return "is a member";
  }
}

/** What a link still does: "2 of 5 uses, ends in 3 days, with a password". */
export function linkWords(link: ShareLink, now: number): string {
  const uses = link.max_uses === null ? count(link.uses, "use", "uses") : `${link.uses} of ${count(link.max_uses, "use", "uses")}`;
  const end = link.expires_at === null ? "no end" : isPast(link.expires_at, now) ? "has ended" : `ends ${ahead(link.expires_at, now)}`;
  return [uses, end, ...(link.has_password ? ["with a password"] : [])].join(", ");
}

function isPast(iso: string, now: number): boolean {
  return Date.parse(iso) <= now;
}

export const LEAST_PASSWORD = 4;

export const LINK_TERMS: readonly { readonly days: number; readonly label: string }[] = [
  { days: 0, label: "never" },
  { days: 1, label: "in a day" },
  { days: 7, label: "in a week" },
  { days: 30, label: "in 30 days" },
  { days: 365, label: "in a year" },
];

/** RFC 3339, so many days from now; undefined for none. */
export function endAfter(days: number, now: number): string | undefined {
  return days > 0 ? new Date(now + days * 86_400_000).toISOString() : undefined;
}
