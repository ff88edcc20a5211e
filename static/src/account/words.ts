/** What the account page says about sessions and tokens. Pure. */
import { SCOPES, type PersonalToken, type SignedInSession, type TokenScope } from "../api/account";
import { ago, ahead } from "../app/time";

export const SCOPE_WORDS: Readonly<Record<TokenScope, string>> = {
  "rooms:read": "See my rooms and what is drawn in them",
  "rooms:write": "Make and change rooms, and draw",
  "comments:write": "Comment",
  "files:write": "Add and remove files",
  share: "Invite people, change roles, make links",
  "account:read": "See my name, e-mail and sessions",
  admin: "Run this server: all rooms and the whole audit log",
};

/** What I may give a token: an operator's rights only an operator. */
export function scopesFor(isOperator: boolean): readonly TokenScope[] {
  return isOperator ? SCOPES : SCOPES.filter((scope) => scope !== "admin");
}

export const TOKEN_TERMS: readonly { readonly days: number; readonly label: string }[] = [
  { days: 7, label: "in a week" },
  { days: 30, label: "in 30 days" },
  { days: 90, label: "in 90 days" },
  { days: 365, label: "in a year" },
  { days: 0, label: "never" },
];

// The first that fits: browsers name those they descend from, too.
const BROWSERS: readonly (readonly [RegExp, string])[] = [
  [/\bEdgA?\//, "Edge"],
  [/\bOPR\//, "Opera"],
  [/\bSamsungBrowser\//, "Samsung Internet"],
  [/\b(Firefox|FxiOS)\//, "Firefox"],
  [/(Chrome|Chromium|CriOS)\//, "Chrome"],
  [/\bSafari\//, "Safari"],
];
const SYSTEMS: readonly (readonly [RegExp, string])[] = [
  [/\bAndroid\b/, "Android"],
  [/\b(iPhone|iPad|iPod)\b/, "iOS"],
  [/\bWindows\b/, "Windows"],
  [/\bCrOS\b/, "ChromeOS"],
  [/\bMac OS X\b|\bMacintosh\b/, "macOS"],
  [/\bLinux\b/, "Linux"],
];
const LONGEST = 60;

/** "Firefox on Linux"; what is no browser by the start of what it calls itself. */
export function deviceWords(userAgent: string): string {
  const find = (list: typeof BROWSERS) => list.find(([pattern]) => pattern.test(userAgent))?.[1];
  const browser = find(BROWSERS);
  const system = find(SYSTEMS);
  if (browser) return system ? `${browser} on ${system}` : browser;
  const text = userAgent.trim();
  if (text === "") return "An unknown device";
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
}

const KINDS: Readonly<Record<SignedInSession["kind"], string>> = {
  guest: "as a guest",
  email: "by e-mail",
  provider: "by the sign-in service",
  token: "with a token",
};

/** Since when, how, from where: "signed in yesterday by e-mail, seen just now from 192.0.2.7". */
export function sessionWords(session: SignedInSession, now: number): string {
  const from = session.address ? ` from ${session.address}` : "";
  return `signed in ${ago(session.created_at, now)} ${KINDS[session.kind]}, seen ${ago(session.seen_at, now)}${from}`;
}

/** "ends in 30 days, last used 2 hours ago from 192.0.2.7". */
export function tokenWords(token: PersonalToken, now: number): string {
  const over = token.expires_at !== null && Date.parse(token.expires_at) <= now;
  const end = token.expires_at === null ? "never ends" : over ? "has ended" : `ends ${ahead(token.expires_at, now)}`;
  if (token.last_used_at === null) return `${end}, never used`;
  return `${end}, last used ${ago(token.last_used_at, now)}${token.last_used_from ? ` from ${token.last_used_from}` : ""}`;
}
