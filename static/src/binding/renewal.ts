/**
 * A local edit hit an element that was purged meanwhile: it comes back under a new id.
 *
 * Pure. Source: DESIGN.md "The document" (a tombstone is purged by a delete-only update; what was written into it is gone).
 */
import type { ExcalidrawElement } from "@excalidraw/excalidraw/element/types";

type Fields = Record<string, unknown>;

/** The scene with these elements under new ids, and everything that named them naming the new ones. */
export function renew(
  scene: readonly ExcalidrawElement[], lost: readonly string[], newId: () => string,
): ExcalidrawElement[] {
  const names = new Map(lost.map((id) => [id, newId()]));
  return scene.map((element) => {
    const changes = renamed(element as unknown as Fields, names);
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
