/**
 * An element as coarse groups: which field lives in which group, cutting, comparing.
 *
 * Owns the field lists of the document. Does not own: reading a stored element back (elements.ts), storing (document.ts).
 * Pure. Source: DESIGN.md "The document"; the element types of Excalidraw 0.18.1.
 */

/** A value as the document holds it. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json | undefined };
export type JsonObject = { readonly [name: string]: Json | undefined };

export const GROUP_NAMES = ["kind", "geometry", "text", "style", "image", "z", "meta", "deleted"] as const;
export type GroupName = (typeof GROUP_NAMES)[number];

/** One element's groups; each is one value in the document, replaced whole. */
export type Groups = Partial<Record<GroupName, Json>>;

/** Anything with Excalidraw's element fields. */
export type ElementLike = { readonly id: string; readonly type: string } & Readonly<Record<string, unknown>>;

/** Local to one browser, derived, or kept under another name; never stored. */
const NEVER_STORED: ReadonlySet<string> = new Set([
  "id", "version", "versionNonce", "updated", "boundElements", "status", "index", "isDeleted",
]);

const KIND = ["type", "seed"];
const GEOMETRY = [
  "x", "y", "width", "height", "angle", "points", "pressures", "simulatePressure", "lastCommittedPoint",
  "startBinding", "endBinding", "elbowed", "fixedSegments", "startIsSpecial", "endIsSpecial",
];
const STYLE = [
  "strokeColor", "backgroundColor", "fillStyle", "strokeWidth", "strokeStyle", "roughness", "opacity",
  "startArrowhead", "endArrowhead",
];
const TEXT = [
  "text", "originalText", "fontSize", "fontFamily", "textAlign", "verticalAlign", "containerId", "autoResize",
  "lineHeight",
];
const IMAGE = ["fileId", "scale", "crop"];

const named = (group: GroupName, fields: readonly string[]) => fields.map((field): [string, GroupName] => [field, group]);
const COMMON = [...named("kind", KIND), ...named("geometry", GEOMETRY), ...named("style", STYLE)];
const OF_ANY: ReadonlyMap<string, GroupName> = new Map(COMMON);
const OF_TEXT: ReadonlyMap<string, GroupName> = new Map([...COMMON, ...named("text", TEXT)]);
const OF_IMAGE: ReadonlyMap<string, GroupName> = new Map([...COMMON, ...named("image", IMAGE)]);

/** Names that would reach an object's prototype. */
const UNSAFE: ReadonlySet<string> = new Set(["__proto__", "constructor", "prototype"]);

function groupsOfType(type: string): ReadonlyMap<string, GroupName> {
  return type === "text" ? OF_TEXT : type === "image" ? OF_IMAGE : OF_ANY;
}

/**
 * True when a field found in the `meta` of an element of this type is shown: its own fields and every unknown one.
 *
 * Fields of a text or an image on anything else are not: the editor takes their presence for their type.
 */
export function isMetaField(type: string, field: string): boolean {
  if (NEVER_STORED.has(field) || UNSAFE.has(field) || groupsOfType(type).has(field)) return false;
  return !OF_TEXT.has(field) && !OF_IMAGE.has(field);
}

/**
 * Cuts an element into its groups.
 *
 * The answer shares nothing with the element: Excalidraw changes elements in place, and the document and
 * the shadow must not change with them. Values that JSON can't carry are left out.
 */
export function split(element: ElementLike): Groups {
  const fields = groupsOfType(element.type);
  const parts: Partial<Record<GroupName, Record<string, Json>>> = { kind: {}, geometry: {}, style: {}, meta: {} };
  if (element.type === "text") parts.text = {};
  if (element.type === "image") parts.image = {};
  for (const field of Object.keys(element)) {
    if (NEVER_STORED.has(field) || UNSAFE.has(field)) continue;
    const value = copy(element[field]);
    if (value === undefined) continue;
    const group = fields.get(field) ?? "meta";
    parts[group]![field] = value;
  }
  const groups: Groups = parts;
  const index = element["index"];
  if (typeof index === "string") groups.z = index;
  groups.deleted = element["isDeleted"] === true;
  return groups;
}

/** A deep copy as JSON would make it, undefined for what JSON can't carry. */
export function copy(value: unknown, depth = 0): Json | undefined {
  if (value === null || typeof value === "string" || typeof value === "boolean") return value;
  // JSON would turn NaN into null, which the reader turns into a default; say so here already.
  if (typeof value === "number") return Number.isFinite(value) ? value : null;
  if (typeof value !== "object" || depth > MAX_DEPTH) return undefined;
  if (Array.isArray(value)) return value.map((item) => copy(item, depth + 1) ?? null);
  const object: Record<string, Json> = {};
  for (const name of Object.keys(value)) {
    if (UNSAFE.has(name)) continue;
    const item = copy((value as Record<string, unknown>)[name], depth + 1);
    if (item !== undefined) object[name] = item;
  }
  return object;
}

/** The server refuses deeper values (party/limits.py, max_value_depth). */
const MAX_DEPTH = 48;

/** Equality as JSON sees it: key order and undefined members don't count. */
export function equal(a: Json | undefined, b: Json | undefined): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false;
    return a.every((item, at) => equal(item, b[at]));
  }
  const left = a as JsonObject;
  const right = b as JsonObject;
  for (const name of Object.keys(left)) if (!equal(left[name], right[name])) return false;
  for (const name of Object.keys(right)) if (right[name] !== undefined && left[name] === undefined) return false;
  return true;
}

/**
 * The groups of `next` that differ from `previous`; empty when nothing does.
 *
 * `kind` is fixed at creation, but Excalidraw converts some types in place (line to arrow): then it is a change like any.
 */
export function changedGroups(previous: Groups, next: Groups): Groups {
  const changed: Groups = {};
  for (const name of GROUP_NAMES) {
    const value = next[name];
    if (value !== undefined && !equal(previous[name], value)) changed[name] = value;
  }
  return changed;
}

/** True when no group is in it. */
export function isEmpty(groups: Groups): boolean {
  return GROUP_NAMES.every((name) => groups[name] === undefined);
}
