/** Names of people: what is accepted, how they are shortened, which colour they have, and friendly ones to start with. */

export const NAME_MAX = 40;

const QUALITIES = [
  "Amber", "Brave", "Bright", "Calm", "Clever", "Coral", "Curious", "Gentle", "Golden", "Happy", "Indigo", "Jolly",
  "Kind", "Lucky", "Merry", "Mint", "Nimble", "Olive", "Patient", "Quiet", "Rosy", "Sunny", "Swift", "Witty",
] as const;
const ANIMALS = [
  "Badger", "Beaver", "Crane", "Dolphin", "Falcon", "Finch", "Fox", "Hare", "Hedgehog", "Heron", "Ibis", "Koala",
  "Lark", "Lynx", "Marten", "Otter", "Owl", "Panda", "Puffin", "Robin", "Seal", "Sparrow", "Swan", "Wren",
] as const;

/** A friendly name such as "Curious Otter". `random` gives numbers in [0, 1). */
export function friendlyName(random: () => number = Math.random): string {
  const pick = (list: readonly string[]) => list[Math.floor(random() * list.length)] ?? list[0];
  return `${pick(QUALITIES)} ${pick(ANIMALS)}`;
}

/** Control characters and those that hide or reorder text; joiners stay, emoji are made of them. */
const NOT_IN_NAMES = /[\p{Cc}\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/gu;

export type NameCheck = { readonly ok: true; readonly name: string } | { readonly ok: false; readonly reason: string };

/** Trims, joins inner white space, refuses what nobody could read. */
export function parseName(input: string): NameCheck {
  const name = input
    .normalize("NFC")
    .replace(NOT_IN_NAMES, " ")
    .replace(/\s+/gu, " ")
    .trim();
  if (name === "") return { ok: false, reason: "Type a name others will see." };
  if ([...name].length > NAME_MAX) return { ok: false, reason: `Keep it to ${NAME_MAX} characters.` };
  return { ok: true, name };
}

const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" });

/** One or two letters: first and last word of a name, by what a person sees as a character. */
export function initials(name: string): string {
  const words = name.trim().split(/\s+/u).filter(Boolean);
  const first = words[0];
  if (first === undefined) return "?";
  const last = words.length > 1 ? words[words.length - 1] : undefined;
  const letter = (word: string) => [...graphemes.segment(word)][0]?.segment.toLocaleUpperCase() ?? "";
  return letter(first) + (last ? letter(last) : "");
}

/**
 * The colour of a person as #rrggbb: the same on every screen, since it comes from their id, and the one Excalidraw
 * gives their cursor (clients.ts, getClientColor: a hue in steps of 10 degrees, full saturation, 83 % lightness).
 */
export function tintOf(id: string): string {
  let hash = 0;
  for (let at = 0; at < id.length; at += 1) hash = (hash << 5) - hash + id.charCodeAt(at);
  return hslToHex((Math.abs(hash) % 37) * 10, 1, 0.83);
}

function hslToHex(hue: number, saturation: number, lightness: number): string {
  const reach = saturation * Math.min(lightness, 1 - lightness);
  const channel = (offset: number) => {
    const step = (offset + hue / 30) % 12;
    const value = lightness - reach * Math.max(-1, Math.min(step - 3, 9 - step, 1));
    return Math.round(value * 255).toString(16).padStart(2, "0");
  };
  return `#${channel(0)}${channel(8)}${channel(4)}`;
}
