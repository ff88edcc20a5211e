/**
 * Previews: what an open gesture looks like, small enough to travel on presence.
 *
 * Owns their form, making mine, reading a peer's. Does not own: sending (presence.ts), showing (overlays.ts). Pure.
 * A state is resent whole, so a preview is at most PREVIEW_BYTES: positions are absolute (a lost or late one does
 * no harm, and a commit in the middle of a gesture moves nothing twice) and a stroke sends only its tail.
 * Source: CLIENT.md "Gestures".
 */
import type { ExcalidrawElement } from "@excalidraw/excalidraw/element/types";
import { equal, type Groups, type JsonObject } from "./groups";
import { splitElement, type Shadow } from "./shadow";
import { readId, readIds, readNumber, readObject, readText } from "./values";

/** Elements that keep their form: `ids[0]` now stands at (x, y), the others moved as far. */
export interface Move {
  kind: "move";
  ids: string[];
  x: number;
  y: number;
}

/** Elements of the document with another geometry or text. */
export interface Transform {
  kind: "transform";
  elements: { id: string; groups: Groups }[];
}

/** Too much to say one by one: only where it is, [minX, minY, maxX, maxY]. */
export interface Box {
  kind: "box";
  bounds: [number, number, number, number];
}

/** A freehand stroke being drawn: points `from`... as deltas of STROKE_UNIT, the first one from the stroke's origin. */
export interface Stroke {
  kind: "stroke";
  id: string;
  x: number;
  y: number;
  from: number;
  deltas: number[];
  style: JsonObject;
}

/** A new element other than a stroke. */
export interface Draft {
  kind: "draft";
  id: string;
  groups: Groups;
}

export type PreviewItem = Move | Transform | Box | Stroke | Draft;

export interface Preview {
  /** Tells one gesture of a peer from the next. */
  gesture: string;
  items: PreviewItem[];
}

/** Of 3 KB for a whole state; the rest is pointer, selection and viewport. */
export const PREVIEW_BYTES = 2000;
const MAX_TRANSFORMS = 20;
const MAX_TAIL_POINTS = 220;
/** Scene pixels per step of a stroke's deltas. */
const STROKE_UNIT = 0.25;

const size = (value: unknown) => new TextEncoder().encode(JSON.stringify(value)).length;
const round = (value: number) => Math.round(value * 100) / 100;

/**
 * My preview of these changed elements; null when there is nothing to show.
 *
 * `growing` is the element being drawn right now: a stroke that only gets longer can go by its tail.
 */
export function makePreview(
  gesture: string,
  dirty: readonly ExcalidrawElement[],
  shadow: Shadow,
  inDocument: (id: string) => boolean,
  growing: string | null,
): Preview | null {
  const moved = new Map<string, ExcalidrawElement[]>();
  const items: PreviewItem[] = [];
  const transforms: Transform["elements"] = [];
  const rest: ExcalidrawElement[] = [];
  for (const element of dirty) {
    const known = inDocument(element.id);
    // An image nobody else has the bytes of is nothing to look at yet.
    if (element.isDeleted || (element.type === "image" && !known)) continue;
    if (element.type === "freedraw" && (!known || element.id === growing)) {
      items.push(makeStroke(element));
      continue;
    }
    const trace = shadow.get(element.id);
    if (!known || !trace) {
      items.push({ kind: "draft", id: element.id, groups: draftGroups(element) });
      continue;
    }
    const shift = shiftOf(element, trace.groups);
    if (shift === "none") continue;
    if (shift !== "form") moved.set(shift, [...(moved.get(shift) ?? []), element]);
    else if (transforms.length < MAX_TRANSFORMS) transforms.push({ id: element.id, groups: transformGroups(element) });
    else rest.push(element);
  }
  for (const elements of moved.values()) {
    const [first] = elements as [ExcalidrawElement];
    items.unshift({ kind: "move", ids: elements.map(({ id }) => id), x: round(first.x), y: round(first.y) });
  }
  if (transforms.length > 0) items.push({ kind: "transform", elements: transforms });
  const kept = items.filter((item) => size(item) <= PREVIEW_BYTES);
  if (kept.length < items.length || rest.length > 0 || size({ gesture, items: kept }) > PREVIEW_BYTES) {
    return { gesture, items: [{ kind: "box", bounds: boundsOf(dirty) }] };
  }
  return kept.length > 0 ? { gesture, items: kept } : null;
}

/** How far an element moved, as a key; "form" when its form changed, "none" when neither did. */
function shiftOf(element: ExcalidrawElement, groups: Groups): string {
  const now = splitElement(element);
  const before = readObject(groups.geometry);
  const after = readObject(now.geometry);
  if (!equal({ ...before, x: 0, y: 0 }, { ...after, x: 0, y: 0 }) || !equal(groups.text, now.text)) return "form";
  const [dx, dy] = (["x", "y"] as const).map((axis) => (after[axis] as number) - (before[axis] as number));
  return dx === 0 && dy === 0 ? "none" : `${round(dx!)},${round(dy!)}`;
}

function transformGroups(element: ExcalidrawElement): Groups {
  const { geometry, text } = splitElement(element);
  return text ? { geometry, text } : { geometry };
}

/** A draft holds on to nothing: a peer's arrow would pull at shapes it isn't bound to yet. */
function draftGroups(element: ExcalidrawElement): Groups {
  const { kind, geometry, style, text } = splitElement(element);
  const { startBinding, endBinding, ...loose } = readObject(geometry);
  const groups: Groups = { kind, geometry: loose, style };
  if (text) groups.text = text;
  groups.meta = { roundness: element.roundness as JsonObject | null };
  return groups;
}

function makeStroke(element: ExcalidrawElement & { type: "freedraw" }): Stroke {
  const steps = element.points.map(([x, y]) => [Math.round(x / STROKE_UNIT), Math.round(y / STROKE_UNIT)] as const);
  const style = readObject(splitElement(element).style);
  const make = (from: number): Stroke => {
    const deltas: number[] = [];
    let [lastX, lastY] = [0, 0];
    for (const [x, y] of steps.slice(from)) {
      deltas.push(x - lastX, y - lastY);
      [lastX, lastY] = [x, y];
    }
    return { kind: "stroke", id: element.id, x: round(element.x), y: round(element.y), from, deltas, style };
  };
  let from = Math.max(0, steps.length - MAX_TAIL_POINTS);
  let stroke = make(from);
  // Long deltas (a fast pen, zoomed out) need more digits: drop a quarter of the tail until it fits.
  while (size(stroke) > PREVIEW_BYTES - 100 && stroke.deltas.length > 2) {
    from += Math.max(1, Math.floor((steps.length - from) / 4));
    stroke = make(from);
  }
  return stroke;
}

/** The stroke's points in its own coordinates, from `stroke.from` on. */
export function strokePoints(stroke: Stroke): [number, number][] {
  const points: [number, number][] = [];
  let [x, y] = [0, 0];
  for (let at = 0; at + 1 < stroke.deltas.length; at += 2) {
    x += stroke.deltas[at]!;
    y += stroke.deltas[at + 1]!;
    points.push([x * STROKE_UNIT, y * STROKE_UNIT]);
  }
  return points;
}

function boundsOf(elements: readonly ExcalidrawElement[]): [number, number, number, number] {
  const bounds: [number, number, number, number] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const { x, y, width, height } of elements) {
    bounds[0] = Math.min(bounds[0], x);
    bounds[1] = Math.min(bounds[1], y);
    bounds[2] = Math.max(bounds[2], x + width);
    bounds[3] = Math.max(bounds[3], y + height);
  }
  return bounds.map(round) as [number, number, number, number];
}

/** A peer's preview as it came; null when it isn't one. What is wrong inside is left out. */
export function readPreview(value: unknown): Preview | null {
  const preview = readObject(value);
  const gesture = readId(preview["gesture"], 64);
  const items = preview["items"];
  if (gesture === null || !Array.isArray(items)) return null;
  const read = items.slice(0, 64).map(readItem).filter((item) => item !== null);
  return { gesture, items: read };
}

function readItem(value: unknown): PreviewItem | null {
  const item = readObject(value);
  const id = readId(item["id"]);
  switch (item["kind"]) {
    case "move": {
      const ids = readIds(item["ids"], 200);
      return ids.length > 0 ? { kind: "move", ids, x: readNumber(item["x"], 0), y: readNumber(item["y"], 0) } : null;
    }
    case "transform": {
      if (!Array.isArray(item["elements"])) return null;
      const elements = item["elements"].slice(0, MAX_TRANSFORMS).flatMap((entry) => {
        const one = readObject(entry);
        const of = readId(one["id"]);
        const { geometry, text } = readObject(one["groups"]) as Groups;
        return of === null || geometry === undefined ? [] : [{ id: of, groups: text ? { geometry, text } : { geometry } }];
      });
      return { kind: "transform", elements };
    }
    case "box": {
      if (!Array.isArray(item["bounds"]) || item["bounds"].length !== 4) return null;
      return { kind: "box", bounds: item["bounds"].map((side) => readNumber(side, 0)) as Box["bounds"] };
    }
    case "stroke": {
      if (id === null || !Array.isArray(item["deltas"])) return null;
      const deltas = item["deltas"].slice(0, 2 * MAX_TAIL_POINTS).map((delta) => readNumber(delta, 0));
      const [x, y] = [readNumber(item["x"], 0), readNumber(item["y"], 0)];
      const from = Math.floor(readNumber(item["from"], 0, 0, 50_000));
      return { kind: "stroke", id, x, y, from, deltas, style: readObject(item["style"]) };
    }
    case "draft": {
      const { kind, geometry, style, text, meta } = readObject(item["groups"]) as Groups;
      if (id === null || readText(readObject(kind)["type"], "") === "image") return null;
      return { kind: "draft", id, groups: { kind, geometry, style, text, meta: { roundness: readObject(meta)["roundness"] } } };
    }
    default:
      return null;
  }
}
