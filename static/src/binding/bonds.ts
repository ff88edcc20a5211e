/**
 * Which arrows and texts hold on to which shape: Excalidraw's `boundElements`, derived.
 *
 * It is never stored: two people binding arrows to one shape would lose one. Pure. Source: DESIGN.md "The document".
 */
import type { BoundElement, ExcalidrawElement } from "@excalidraw/excalidraw/element/types";

type Holder = BoundElement["type"];

/** The shapes an element holds on to: an arrow's two ends, a text's container. */
export function holdsOf(element: ExcalidrawElement | null): Map<string, Holder> {
  const holds = new Map<string, Holder>();
  if (element === null || element.isDeleted) return holds;
  if (element.type === "text" && element.containerId !== null) holds.set(element.containerId, "text");
  if (element.type === "arrow") {
    if (element.startBinding) holds.set(element.startBinding.elementId, "arrow");
    if (element.endBinding) holds.set(element.endBinding.elementId, "arrow");
  }
  return holds;
}

/** Both directions of the relation, kept up to date one element at a time. */
export class Bonds {
  readonly #holds = new Map<string, Map<string, Holder>>();
  readonly #holders = new Map<string, Map<string, Holder>>();

  /** Takes note of an element (null: it is gone) and answers the shapes whose `boundElements` changed. */
  set(id: string, element: ExcalidrawElement | null): Set<string> {
    const before = this.#holds.get(id);
    const after = holdsOf(element);
    const touched = new Set<string>();
    if (before) {
      for (const [shape, holder] of before) {
        if (after.get(shape) === holder) continue;
        this.#holders.get(shape)?.delete(id);
        touched.add(shape);
      }
    }
    for (const [shape, holder] of after) {
      if (before?.get(shape) === holder) continue;
      let holders = this.#holders.get(shape);
      if (!holders) this.#holders.set(shape, (holders = new Map()));
      holders.set(id, holder);
      touched.add(shape);
    }
    if (after.size > 0) this.#holds.set(id, after);
    else this.#holds.delete(id);
    return touched;
  }

  /** What holds on to this shape, in the order of ids. */
  of(id: string): BoundElement[] {
    const holders = this.#holders.get(id);
    if (!holders || holders.size === 0) return [];
    return [...holders].sort(([a], [b]) => (a < b ? -1 : 1)).map(([holder, type]) => ({ id: holder, type }));
  }

  /** Everything that moves along with an element: what holds on to it and what it holds on to. */
  neighbours(id: string): string[] {
    return [...(this.#holders.get(id)?.keys() ?? []), ...(this.#holds.get(id)?.keys() ?? [])];
  }
}

/** True when both say the same, in whatever order; none and an empty list are the same. */
export function sameBonds(a: readonly BoundElement[] | null, b: readonly BoundElement[] | null): boolean {
  const left = a ?? [];
  const right = b ?? [];
  if (left.length !== right.length) return false;
  return left.every((bond) => right.some((other) => other.id === bond.id && other.type === bond.type));
}
