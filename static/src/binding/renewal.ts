/**
 * A local edit hit an element that was purged meanwhile: it comes back under a new id.
 *
 * Pure. Source: DESIGN.md "The document" (a tombstone is purged by a delete-only update; what was written into it is gone).
 */
import type { ExcalidrawElement } from "@excalidraw/excalidraw/element/types";
import { join } from "./elements";
import type { Groups } from "./groups";

type Fields = Record<string, unknown>;

/** The scene with these elements, those that aren't in it any more in the place that their index says. */
export function addLost(
  scene: readonly ExcalidrawElement[], lost: readonly (readonly [id: string, groups: Groups])[],
): ExcalidrawElement[] {
  const elements = [...scene];
  const present = new Set(scene.map(({ id }) => id));
  for (const [id, groups] of lost) {
    const element = present.has(id) ? null : join(id, groups);
    if (!element) continue;
    const next = elements.findIndex(({ index }) => index !== null && element.index !== null && index > element.index);
    elements.splice(next < 0 ? elements.length : next, 0, element);
  }
  return elements;
}

/**
 * The scene with these elements under new ids, and everything that named them naming the new ones.
 *
 * What was purged along with them (`isGone`) stays so: it isn't touched, and words don't wait for a shape that is gone.
 */
export function renew(
  scene: readonly ExcalidrawElement[], lost: readonly string[], newId: () => string, isGone: (id: string) => boolean,
): ExcalidrawElement[] {
  const names = new Map(lost.map((id) => [id, newId()]));
  return scene.map((element) => {
    if (!names.has(element.id) && isGone(element.id)) return element;
    const changes = renamed(element as unknown as Fields, names);
    const container = element.type === "text" && names.has(element.id) ? element.containerId : null;
    if (container !== null && !names.has(container) && isGone(container)) changes["containerId"] = null;
    if (Object.keys(changes).length === 0) return element;
    return { ...element, ...changes, version: element.version + 1, versionNonce: newNonce() } as ExcalidrawElement;
  });
}

function renamed(element: Fields, names: ReadonlyMap<string, string>): Fields {
  const changes: Fields = {};
  for (const field of ["id", "containerId", "frameId"]) {
    const name = names.get(element[field] as string);
    if (name !== undefined) changes[field] = name;
  }
  for (const field of ["startBinding", "endBinding"]) {
    const binding = element[field] as { elementId: string } | null | undefined;
    const name = binding && names.get(binding.elementId);
    if (name) changes[field] = { ...binding, elementId: name };
  }
  const bound = element["boundElements"] as readonly { id: string }[] | null | undefined;
  if (bound?.some(({ id }) => names.has(id))) {
    changes["boundElements"] = bound.map((bond) => ({ ...bond, id: names.get(bond.id) ?? bond.id }));
  }
  return changes;
}

/** A fresh versionNonce. */
export function newNonce(): number {
  return Math.floor(Math.random() * 2 ** 31);
}

/** An element id in Excalidraw's form: 21 letters, digits, `-` and `_`. */
export function newElementId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(21));
  return Array.from(bytes, (byte) => ALPHABET[byte & 63]).join("");
}

const ALPHABET = "useandom-26T198340PX75pxJACKVERYMINDBUSHWOLF_GQZbfghjklqvwyzrict";
