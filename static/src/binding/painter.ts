/**
 * Document to scene: what the editor is to show for the elements that changed.
 *
 * An element enters with version = local + 1 and a fresh nonce, keeps the document's index, and gets its boundElements
 * derived; elements that didn't change keep their identity (an open gesture holds on to it). Afterwards the shadow takes
 * in what Excalidraw made of it. Does not own: when, nor gestures in progress (binding.ts). Source: CLIENT.md "Yjs is
 * the only arbiter"; Excalidraw 0.18.1 App.updateScene, fractionalIndex.ts, store.ts.
 */
import type { ExcalidrawElement } from "@excalidraw/excalidraw/element/types";
import { sameBonds, type Bonds } from "./bonds";
import { byIndex, type RoomDocument } from "./document";
import { join } from "./elements";
import { changedGroups, isEmpty, type Groups } from "./groups";
import type { Overlays } from "./overlays";
import { newNonce } from "./renewal";
import { splitElement, type Shadow } from "./shadow";

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

interface Shown {
  groups: Groups;
  ghost: boolean;
}

/** A scene to hand to the editor, and what was meant by it. */
export interface Painting {
  elements: readonly ExcalidrawElement[];
  shown: ReadonlyMap<string, Shown>;
  removed: readonly string[];
}

export class Painter {
  readonly #document: RoomDocument;
  readonly #shadow: Shadow;
  readonly #bonds: Bonds;
  readonly #overlays: Overlays;

  constructor(document: RoomDocument, shadow: Shadow, bonds: Bonds, overlays: Overlays) {
    this.#document = document;
    this.#shadow = shadow;
    this.#bonds = bonds;
    this.#overlays = overlays;
  }

  /** Takes note of changed elements and answers them with the shapes whose bound elements changed thereby. */
  note(ids: Iterable<string>): Set<string> {
    const touched = new Set<string>();
    for (const id of ids) {
      touched.add(id);
      const type = this.#document.type(id);
      // Only texts and arrows hold on to anything; reading the others would double the time of a load.
      const groups = type === "text" || type === "arrow" ? this.#document.groups(id) : null;
      for (const shape of this.#bonds.set(id, groups && join(id, groups))) touched.add(shape);
    }
    return touched;
  }

  /**
   * The scene with these elements as they are to be shown; null when nothing looks different.
   *
   * None of them may hold an unwritten local change: it would be lost.
   */
  paint(scene: readonly ExcalidrawElement[], ids: ReadonlySet<string>): Painting | null {
    const current = new Map<string, ExcalidrawElement>();
    for (const element of scene) if (ids.has(element.id)) current.set(element.id, element);
    const shown = new Map<string, Shown>();
    const painted = new Map<string, ExcalidrawElement>();
    const removed = new Set<string>();
    let reordered = false;
    for (const id of ids) {
      const old = current.get(id);
      const next = this.#look(id, old);
      if (next === "gone") removed.add(id);
      if (next === "gone" || next === null) continue;
      const trace = this.#shadow.get(id);
      if (old && trace && trace.ghost === next.ghost && isSame(trace.groups, next.groups)) {
        if (sameBonds(old.boundElements, next.element.boundElements)) continue;
      }
      painted.set(id, enter(next.element, old));
      shown.set(id, next);
      reordered ||= !old || old.index !== next.element.index;
    }
    if (painted.size === 0 && removed.size === 0) return null;
    const elements: ExcalidrawElement[] = [];
    for (const element of scene) {
      if (removed.has(element.id)) continue;
      elements.push(painted.get(element.id) ?? element);
      painted.delete(element.id);
    }
    elements.push(...painted.values());
    return { elements: reordered ? this.#sorted(elements, shown) : elements, shown, removed: [...removed] };
  }

  /**
   * Hands a painting over and takes its result into the shadow.
   *
   * `idle` are elements whose version the editor raised without a change: its undo snapshot still has the older version,
   * and would take what we show now for a local edit. Lowering the version in place makes it follow.
   */
  hand(painting: Painting, scene: readonly ExcalidrawElement[], idle: Set<string>, update: () => void): void {
    if (idle.size > 0) {
      for (const element of scene) {
        if (painting.shown.has(element.id) && idle.delete(element.id)) (element as Mutable<ExcalidrawElement>).version = 0;
      }
    }
    const nonces = painting.elements.map((element) => element.versionNonce);
    const indices = painting.elements.map((element) => element.index);
    update();
    for (const id of painting.removed) this.#shadow.delete(id);
    painting.elements.forEach((element, at) => {
      const shown = painting.shown.get(element.id);
      if (shown) this.#shadow.set(element, shown.groups, shown.ghost);
      else if (nonces[at] === element.versionNonce) return;
      else if (this.#shadow.get(element.id)?.nonce === nonces[at]) this.#shadow.touch(element);
      // My own reorder, not written yet: a repair doesn't take its place.
      if (!shown && this.#shadow.get(element.id)?.groups.z !== indices[at]) return;
      if (element.index !== null) this.#shadow.repair(element.id, element.index, this.#document.index(element.id));
    });
  }

  #look(id: string, old: ExcalidrawElement | undefined): (Shown & { element: ExcalidrawElement }) | "gone" | null {
    const overlaid = this.#overlays.apply(id, this.#document.groups(id), (of) => this.#document.groups(of));
    // A ghost whose preview ended, or an element purged from the document.
    if (!overlaid) return old && this.#shadow.get(id) ? "gone" : null;
    const joined = join(id, overlaid.groups);
    // Of a type this editor doesn't know; or deleted before it was ever seen here.
    if (!joined || (joined.isDeleted && !old)) return null;
    const element: ExcalidrawElement = { ...joined, boundElements: this.#bonds.of(id) };
    return { element, groups: splitElement(element), ghost: overlaid.ghost };
  }

  #sorted(elements: ExcalidrawElement[], shown: ReadonlyMap<string, Shown>): ExcalidrawElement[] {
    const keyed = elements.map((element) => ({ element, id: element.id, index: this.#place(element, shown.get(element.id)) }));
    return keyed.sort(byIndex).map(({ element }) => element);
  }

  #place(element: ExcalidrawElement, shown: Shown | undefined): string | null {
    if (shown?.ghost) return null;
    // Moved in the order by me and not written yet.
    const trace = shown ? undefined : this.#shadow.get(element.id);
    if (trace && !trace.ghost && trace.groups.z !== element.index) return element.index;
    // The document's order, not the indices Excalidraw repaired locally; what isn't in it yet stands where it was drawn.
    return this.#document.index(element.id) ?? element.index;
  }
}

function enter(element: ExcalidrawElement, old: ExcalidrawElement | undefined): ExcalidrawElement {
  const next = element as Mutable<ExcalidrawElement>;
  next.version = (old?.version ?? 0) + 1;
  next.versionNonce = newNonce();
  next.updated = Date.now();
  if (old?.type === "image" && next.type === "image" && old.fileId === next.fileId) next.status = old.status;
  if (old && sameBonds(old.boundElements, next.boundElements)) next.boundElements = old.boundElements;
  return next;
}

function isSame(a: Groups, b: Groups): boolean {
  return isEmpty(changedGroups(a, b)) && isEmpty(changedGroups(b, a));
}
