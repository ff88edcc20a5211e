/**
 * That somebody asked for a link here: so that the page it opens knows its own browser again.
 *
 * Owns: what is kept of it, and the words that follow. Pure but for storage. Nothing here is a proof: the link is.
 */
import { forget, readJson, writeJson } from "../app/storage";

const KEY = "kanvas.asked";
/** A link lives as long. */
const LIFE_MS = 15 * 60_000;

export interface Asked {
  readonly email: string;
  /** As which guest. */
  readonly guest: string | null;
  readonly at: number;
}

export function noteAsked(email: string, guest: string | null, now: number = Date.now()): void {
  writeJson(KEY, { email: email.trim(), guest, at: now } satisfies Asked);
}

export function forgetAsked(): void {
  forget(KEY);
}

/** The last one, while its link can be good. */
export function readAsked(now: number = Date.now()): Asked | null {
  return parseAsked(readJson(KEY), now);
}

export function parseAsked(value: unknown, now: number): Asked | null {
  if (value === null || typeof value !== "object") return null;
  const { email, guest, at } = value as Partial<Asked>;
  if (typeof email !== "string" || typeof at !== "number" || now - at > LIFE_MS || now < at) return null;
  return { email, guest: typeof guest === "string" ? guest : null, at };
}

/** What follows from pressing the button, for who is here as `me`. */
export function linkWords(asked: Asked | null, me: { id: string; name: string; guest: boolean } | null): string {
  if (me === null) return asked ? "You asked for this link in this browser." : "It signs in this browser, not the one it was asked for in.";
  if (!me.guest) return `You are here as ${me.name}, and will be whoever the link is for.`;
  if (asked?.guest === me.id) return `You are here as the guest ${me.name}. The rooms and drawings of ${me.name} become your account’s.`;
  return (
    `You are here as the guest ${me.name}, who did not ask for this link: the rooms of ${me.name} stay behind. ` +
    "To take them along, ask for a new link from the menu here."
  );
}
