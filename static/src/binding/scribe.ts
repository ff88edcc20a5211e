/**
 * Scene to document: which local changes are written, and what is held back.
 *
 * Writes only groups that differ from the shadow; everything when the element is new or the document lost it. Never
 * writes what was only shown (ghosts), what nobody did (failed images; repaired indices only with a reorder that needs
 * them) or an image whose bytes aren't stored. Does not own: when (gestures.ts). Source: CLIENT.md "Yjs is the only arbiter".
 */
import type { ExcalidrawElement } from "@excalidraw/excalidraw/element/types";
import { sameBonds, type Bonds } from "./bonds";
import type { Change, RoomDocument } from "./document";
import { changedGroups, isEmpty, type Groups } from "./groups";
import { splitElement, type Shadow } from "./shadow";

export class Scribe {
  readonly #document: RoomDocument;
  readonly #shadow: Shadow;
  readonly #bonds: Bonds;
  readonly #isStored: (fileId: string) => boolean;
  /** Elements whose last change changed no group: the editor's undo snapshot may be behind (painter.ts). */
  readonly idle = new Set<string>();
  /** Shapes at which the editor lists other elements than hold on to them: it knows only of what it bound itself. */
  readonly rebound = new Set<string>();

  /** `isStored` tells whether the bytes of an image are safe on the server. */
  constructor(document: RoomDocument, shadow: Shadow, bonds: Bonds, isStored: (fileId: string) => boolean) {
    this.#document = document;
    this.#shadow = shadow;
    this.#bonds = bonds;
    this.#isStored = isStored;
  }

  /** True when the element holds a change that may be written. */
  isPending(element: ExcalidrawElement): boolean {
    return this.#shadow.isDirty(element) && !this.#isHeld(element);
  }

  /** Of somebody who may not write: the elements that differ from the document, and those it does not have. */
  strays(scene: readonly ExcalidrawElement[]): { changed: string[]; foreign: Set<string> } {
    const changed: string[] = [];
    const foreign = new Set<string>();
    for (const element of scene) {
      if (!this.#shadow.isDirty(element) || this.#shadow.get(element.id)?.ghost) continue;
      const stored = this.#document.groups(element.id);
      if (stored === null) foreign.add(element.id);
      else if (!isEmpty(changedGroups(stored, splitElement(element)))) changed.push(element.id);
    }
    return { changed, foreign };
  }

  /** The file an image waits for, null when it waits for none. */
  awaitedFile(element: ExcalidrawElement): string | null {
    if (element.type !== "image" || element.isDeleted || !element.fileId || this.#isStored(element.fileId)) return null;
    return this.#shadow.get(element.id)?.ghost ? null : element.fileId;
  }

  /** Writes what is pending among these elements; answers what was written. */
  write(elements: Iterable<ExcalidrawElement>): readonly Change[] {
    const changes: Change[] = [];
    const pending = [...elements].filter((element) => this.isPending(element));
    for (const element of pending) {
      const groups = splitElement(element);
      const changed = this.#changed(element, groups);
      for (const shape of this.#bonds.set(element.id, element)) this.rebound.add(shape);
      if (isEmpty(changed)) {
        this.idle.add(element.id);
        if (this.#shadow.get(element.id)) this.#shadow.touch(element);
        else this.#shadow.set(element, groups);
        continue;
      }
      this.idle.delete(element.id);
      changes.push({ id: element.id, groups: changed });
      if (changed.z !== undefined) this.#shadow.repaired.delete(element.id);
      this.#shadow.set(element, groups);
    }
    for (const { id, boundElements } of pending) {
      if (!sameBonds(boundElements, this.#bonds.of(id))) this.rebound.add(id);
    }
    if (changes.some(({ groups }) => groups.z !== undefined)) changes.push(...this.#repairs());
    this.#document.write(changes);
    return changes;
  }

  /** Marks an element as deleted that the editor dropped from the scene altogether. */
  remove(id: string): void {
    this.#shadow.delete(id);
    for (const shape of this.#bonds.set(id, null)) this.rebound.add(shape);
    if (this.#document.has(id)) this.#document.write([{ id, groups: { deleted: true } }]);
  }

  /**
   * The indices Excalidraw repaired here, where the document still has the shared ones.
   *
   * They go along with my own reorder or creation: its index was chosen between theirs, and everybody else would see it
   * above both or below both.
   */
  #repairs(): Change[] {
    const changes: Change[] = [];
    for (const [id, stored] of this.#shadow.repaired) {
      const z = this.#shadow.get(id)?.groups.z;
      // Another index by now is somebody's reorder, on its way to the screen.
      if (z !== undefined && this.#document.has(id) && this.#document.index(id) === stored) changes.push({ id, groups: { z } });
    }
    this.#shadow.repaired.clear();
    return changes;
  }

  #changed(element: ExcalidrawElement, groups: Groups): Groups {
    const stored = this.#document.groups(element.id);
    if (stored === null) {
      // Drawn and taken back before anybody heard of it.
      return element.isDeleted ? {} : groups;
    }
    const trace = this.#shadow.get(element.id);
    return changedGroups(trace ? trace.groups : stored, groups);
  }

  #isHeld(element: ExcalidrawElement): boolean {
    if (this.#shadow.get(element.id)?.ghost) return true;
    if (element.isDeleted) return false;
    if (element.type === "image") return !element.fileId || !this.#isStored(element.fileId);
    // A text without a letter is a caret; Excalidraw deletes it when the caret leaves.
    return element.type === "text" && element.originalText === "" && !this.#document.has(element.id);
  }
}
