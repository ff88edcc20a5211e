/**
 * Reading one untrusted value: the value when it is usable, else a default.
 *
 * Owns the bounds within which Excalidraw neither crashes nor hangs. Does not own which field needs what
 * (elements.ts). Pure. Source: party/canvas.py (the server mends stored values; a peer offline, an open room or a
 * newer version may still show us others).
 */
import type { JsonObject } from "./groups";

export const MAX_COORDINATE = 1e8;
/** Hachures are drawn line by line: a shape of 1e8 px would hang the tab. */
export const MAX_SIZE = 1e6;
const MAX_TEXT = 100_000;
const MAX_POINTS = 50_000;

/** The object, or an empty one. */
export function readObject(value: unknown): JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as JsonObject) : {};
}

/** The number when it is finite, pulled into [least, most]; else the default. */
export function readNumber(value: unknown, otherwise: number, least = -MAX_COORDINATE, most = MAX_COORDINATE): number {
  if (typeof value !== "number" || !Number.isFinite(value)) return otherwise;
  return value < least ? least : value > most ? most : value;
}

export function readText(value: unknown, otherwise: string, longest = MAX_TEXT): string {
  return typeof value === "string" ? value.slice(0, longest) : otherwise;
}

/** A non-empty string of at most `longest` characters, else null: ids, names of files. */
export function readId(value: unknown, longest = 256): string | null {
  return typeof value === "string" && value !== "" && value.length <= longest ? value : null;
}

export function readFlag(value: unknown, otherwise: boolean): boolean {
  return typeof value === "boolean" ? value : otherwise;
}

export function readOne<T extends string>(value: unknown, choices: readonly T[], otherwise: T): T {
  return choices.includes(value as T) ? (value as T) : otherwise;
}

export type Pair = [number, number];

/** A pair of numbers, else null. */
export function readPair(value: unknown, most = MAX_COORDINATE): Pair | null {
  if (!Array.isArray(value) || value.length < 2) return null;
  const [x, y] = value as unknown[];
  if (typeof x !== "number" || typeof y !== "number" || !Number.isFinite(x) || !Number.isFinite(y)) return null;
  return [readNumber(x, 0, -most, most), readNumber(y, 0, -most, most)];
}

/** The pairs of a list; what is none is left out. */
export function readPairs(value: unknown, most = MAX_SIZE): Pair[] {
  if (!Array.isArray(value)) return [];
  const pairs: Pair[] = [];
  for (const item of value.slice(0, MAX_POINTS)) {
    const pair = readPair(item, most);
    if (pair) pairs.push(pair);
  }
  return pairs;
}

export function readNumbers(value: unknown): number[] {
  if (!Array.isArray(value)) return [];
  return value.slice(0, MAX_POINTS).map((item) => readNumber(item, 0.5));
}

export function readIds(value: unknown, most = 1000): string[] {
  if (!Array.isArray(value)) return [];
  return value.slice(0, most).filter((item): item is string => readId(item) !== null);
}

/** A link that can't run a script: no scheme, or one that only opens or calls; else null. */
export function readLink(value: unknown): string | null {
  if (typeof value !== "string" || value.length > 8192) return null;
  // Browsers ignore control characters and blanks inside a scheme.
  const bare = value.replace(/[\u0000-\u0020\u007f-\u009f\u200b-\u200f\u2028-\u202f\ufeff]/g, "");
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(bare)?.[1]?.toLowerCase();
  if (scheme === undefined) return value;
  // "example.com:8080/x" has no scheme in the reader's sense: a dot never occurs in the schemes that matter.
  if (scheme.includes(".") || scheme === "localhost") return value;
  return SAFE_SCHEMES.has(scheme) ? value : null;
}

const SAFE_SCHEMES: ReadonlySet<string> = new Set([
  "http", "https", "mailto", "tel", "sms", "ftp", "geo", "obsidian", "vscode", "slack", "msteams", "zoommtg", "file",
]);

/**
 * The fractional index when it is one (its form as the fractional-indexing library makes it), else null.
 *
 * Excalidraw computes new indices from the neighbours' and throws on a malformed one.
 */
export function readIndex(value: unknown): string | null {
  if (typeof value !== "string" || value.length > 256 || !/^[A-Za-z][0-9A-Za-z]*$/.test(value)) return null;
  const head = value.charCodeAt(0);
  const wholeLength = head >= 97 ? head - 97 + 2 : 90 - head + 2;
  if (value.length < wholeLength || (value.length > wholeLength && value.endsWith("0"))) return null;
  return value === `A${"0".repeat(26)}` ? null : value;
}

