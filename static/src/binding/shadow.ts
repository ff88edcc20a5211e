/**
 * The shadow of the scene: what every element looked like when the document and the screen last agreed.
 *
 * Local changes are what differs from it. Versions are local to this browser and only say "look again".
 * Pure. Source: CLIENT.md "Yjs is the only arbiter".
 */
import type { ExcalidrawElement } from "@excalidraw/excalidraw/element/types";
import { changedGroups, split, type ElementLike, type Groups } from "./groups";

export interface Trace {
  version: number;
  nonce: number;
  /** Each group's value as last shown or last written. */
  groups: Groups;
  /** Shown from somebody's preview only: never written. */
  ghost: boolean;
}

export class Shadow {
  readonly #traces = new Map<string, Trace>();
  #seen: number[] = [];
  /**
   * Elements that stand at another index here than in the document, and the document's: Excalidraw repaired one that two
   * elements share. Nobody reordered anything, so it isn't written, until somebody puts an element in between (scribe.ts).
   */
  readonly repaired = new Map<string, string | null>();

  get(id: string): Trace | undefined {
    return this.#traces.get(id);
  }

  ids(): IterableIterator<string> {
    return this.#traces.keys();
  }

  get size(): number {
    return this.#traces.size;
  }

  /** This is what is shown or written now; a repaired index stays one until it is written itself. */
  set(element: ExcalidrawElement, groups: Groups = splitElement(element), ghost = false): void {
    if (ghost) this.repaired.delete(element.id);
    this.#traces.set(element.id, { version: element.version, nonce: element.versionNonce, groups, ghost });
  }

  /** Shown at this index, while the document has another one. */
  repair(id: string, index: string, stored: string | null): void {
    const trace = this.#traces.get(id);
    if (!trace || trace.ghost) return;
    trace.groups = { ...trace.groups, z: index };
    if (index === stored) this.repaired.delete(id);
    else this.repaired.set(id, stored);
  }

  /** Excalidraw changed something of no consequence: only the version moves on. */
  touch(element: ExcalidrawElement): void {
    const trace = this.#traces.get(element.id);
    if (!trace) return;
    trace.version = element.version;
    trace.nonce = element.versionNonce;
  }

  delete(id: string): void {
    this.#traces.delete(id);
    this.repaired.delete(id);
  }

  clear(): void {
    this.#traces.clear();
    this.repaired.clear();
    this.#seen = [];
  }

  /** True when the element is not what was last shown or written. */
  isDirty(element: ExcalidrawElement): boolean {
    const trace = this.#traces.get(element.id);
    return trace === undefined || trace.nonce !== element.versionNonce || trace.version !== element.version;
  }

  /**
   * True when nothing moved since the last call with the same scene: for the onChange of every pointer move.
   *
   * 5,000 elements take some 10 µs; a map lookup each would take 30 times that.
   */
  isUnchanged(elements: readonly ExcalidrawElement[]): boolean {
    const seen = this.#seen;
    let same = seen.length === elements.length;
    seen.length = elements.length;
    for (let at = 0; at < elements.length; at++) {
      const nonce = elements[at]!.versionNonce;
      if (seen[at] !== nonce) {
        seen[at] = nonce;
        same = false;
      }
    }
    return same;
  }

  /** Something else than the scene decides anew what is to be written: the next look must be a full one. */
  forgetSeen(): void {
    this.#seen = [];
  }

  /** The groups of the element that differ from the shadow; all of them when there is none. */
  difference(element: ExcalidrawElement, groups: Groups = splitElement(element)): Groups {
    const trace = this.#traces.get(element.id);
    return trace ? changedGroups(trace.groups, groups) : groups;
  }
}

/** `split` for Excalidraw's own element type. */
export function splitElement(element: ExcalidrawElement): Groups {
  return split(element as unknown as ElementLike);
}
