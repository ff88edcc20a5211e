/**
 * Where pins are: on the canvas, on the screen, and what a click pins to.
 *
 * Pure. Rules: a pin of an element is at its upper right corner and goes where that goes; without the element, or when
 * it is deleted, the pin is at the point it was made at.
 */
import type { Place, SharedThread } from "../api/comments";

/** Of an element, what its place takes. */
export interface Shape {
  readonly id: string;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly angle: number;
  readonly isDeleted: boolean;
  readonly points?: readonly (readonly [number, number])[];
  /** Of a label: what it is written in. */
  readonly containerId?: string | null;
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** What is shown of the canvas: Excalidraw's scroll and zoom, and its size on the screen. */
export interface View {
  readonly scrollX: number;
  readonly scrollY: number;
  readonly zoom: number;
  readonly width: number;
  readonly height: number;
}

/** Between two pins at one corner, on the screen. */
const APART_PX = 26;
/** A pin this far outside the view is not drawn. */
const MARGIN_PX = 60;
const NEAR_PX = 8;

interface Box {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

/** Before its rotation. The points of a line may lie on any side of its origin. */
function boxOf(shape: Shape): Box {
  const { x, y, width, height, points } = shape;
  if (!points || points.length === 0) return { left: x, top: y, right: x + width, bottom: y + height };
  let box: Box = { left: x, top: y, right: x, bottom: y };
  for (const [dx, dy] of points) {
    box = {
      left: Math.min(box.left, x + dx),
      top: Math.min(box.top, y + dy),
      right: Math.max(box.right, x + dx),
      bottom: Math.max(box.bottom, y + dy),
    };
  }
  return box;
}

function turn(point: Point, around: Point, angle: number): Point {
  if (angle === 0) return point;
  const [dx, dy, cos, sin] = [point.x - around.x, point.y - around.y, Math.cos(angle), Math.sin(angle)];
  return { x: around.x + dx * cos - dy * sin, y: around.y + dx * sin + dy * cos };
}

const middleOf = ({ left, top, right, bottom }: Box): Point => ({ x: (left + right) / 2, y: (top + bottom) / 2 });

/** Where a pin of this element is. */
export function cornerOf(shape: Shape): Point {
  const box = boxOf(shape);
  return turn({ x: box.right, y: box.top }, middleOf(box), shape.angle);
}

/** Where the thread is on the canvas; null when nobody can say. */
export function anchorOf(thread: Pick<SharedThread, "x" | "y" | "element_id">, shapes: ReadonlyMap<string, Shape>): Point | null {
  const shape = thread.element_id === null ? undefined : shapes.get(thread.element_id);
  if (shape && !shape.isDeleted) return cornerOf(shape);
  if (thread.x !== null && thread.y !== null) return { x: thread.x, y: thread.y };
  return shape ? cornerOf(shape) : null;
}

export interface Pin {
  readonly id: string;
  readonly left: number;
  readonly top: number;
}

/** The pins in view, in pixels of the editor; those at one place side by side. */
export function pinsIn(
  threads: readonly Pick<SharedThread, "id" | "x" | "y" | "element_id">[], shapes: ReadonlyMap<string, Shape>, view: View,
): Pin[] {
  const taken = new Map<string, number>();
  const pins: Pin[] = [];
  for (const thread of threads) {
    const anchor = anchorOf(thread, shapes);
    if (!anchor) continue;
    const key = `${Math.round(anchor.x)} ${Math.round(anchor.y)}`;
    const before = taken.get(key) ?? 0;
    taken.set(key, before + 1);
    const left = (anchor.x + view.scrollX) * view.zoom + before * APART_PX;
    const top = (anchor.y + view.scrollY) * view.zoom;
    const inView = left > -MARGIN_PX && left < view.width + MARGIN_PX && top > -MARGIN_PX && top < view.height + MARGIN_PX;
    if (inView) pins.push({ id: thread.id, left, top });
  }
  return pins;
}

/** The point of the canvas under a point of the editor. */
export function toCanvas(left: number, top: number, view: View): Point {
  return { x: left / view.zoom - view.scrollX, y: top / view.zoom - view.scrollY };
}

/** What a click there pins to: the smallest element under it, with the corner its pin will be at; else the point. */
export function placeAt(point: Point, shapes: Iterable<Shape>, zoom: number): Place {
  const near = NEAR_PX / zoom;
  let found: { shape: Shape; area: number } | null = null;
  for (const shape of shapes) {
    // A label belongs to its shape, and says nothing of its own.
    if (shape.isDeleted || shape.containerId) continue;
    const box = boxOf(shape);
    const { x, y } = turn(point, middleOf(box), -shape.angle);
    if (x < box.left - near || x > box.right + near || y < box.top - near || y > box.bottom + near) continue;
    const area = (box.right - box.left) * (box.bottom - box.top);
    // Of equals the later one lies above.
    if (!found || area <= found.area) found = { shape, area };
  }
  if (!found) return { ...point, element_id: null };
  return { ...cornerOf(found.shape), element_id: found.shape.id };
}
