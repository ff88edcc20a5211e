/**
 * When a local change is written: once at the end of a gesture, now and then during a long one, throttled otherwise.
 *
 * Owns the decision and its clock arithmetic. Does not own: the writing (writer.ts), what others see meanwhile
 * (previews.ts). Pure: time is passed in. Source: CLIENT.md "Gestures".
 */
import type { AppState } from "@excalidraw/excalidraw/types";

/** What of the editor's state says that a gesture is open. */
export type GestureState = Pick<
  AppState,
  | "cursorButton" | "newElement" | "multiElement" | "editingTextElement" | "resizingElement" | "isResizing"
  | "isRotating" | "selectedElementsAreBeingDragged" | "croppingElementId" | "selectedElementIds"
>;

/** Keyboard nudges and sliders set no flag: at most one value each 100 ms. */
export const IDLE_COMMIT_MS = 100;
/** A gesture longer than this is written before its end, so that a long edit is durable. */
export const LONG_GESTURE_MS = 2000;
/** How often a long gesture or a text being typed is written. */
export const OPEN_COMMIT_MS = 1000;

/** True while a pointer is down or the editor is in the middle of something. */
export function isGestureOpen(state: GestureState): boolean {
  return (
    state.cursorButton === "down" ||
    Boolean(state.newElement) ||
    Boolean(state.multiElement) ||
    Boolean(state.editingTextElement) ||
    Boolean(state.resizingElement) ||
    state.isResizing ||
    state.isRotating ||
    state.selectedElementsAreBeingDragged ||
    Boolean(state.croppingElementId)
  );
}

/** The elements the editor itself names as being worked on; the changed ones come on top. */
export function gestureIds(state: GestureState): Set<string> {
  const ids = new Set<string>();
  for (const element of [state.newElement, state.multiElement, state.editingTextElement, state.resizingElement]) {
    if (element) ids.add(element.id);
  }
  if (state.croppingElementId) ids.add(state.croppingElementId);
  if (state.cursorButton === "down") for (const id of Object.keys(state.selectedElementIds)) ids.add(id);
  return ids;
}

/** What to do after looking at the scene. */
export interface Verdict {
  /** Write the local changes now. */
  commit: boolean;
  /** A gesture just ended: what was queued for its elements may enter. */
  ended: boolean;
  /** Look again after this many milliseconds even if the editor is silent; null: no need. */
  againMs: number | null;
}

/** The state machine of one editor. */
export class Gestures {
  #openedAt: number | null = null;
  #committedAt = Number.NEGATIVE_INFINITY;
  #count = 0;

  get isOpen(): boolean {
    return this.#openedAt !== null;
  }

  /** Tells one gesture of this editor from the next. */
  get number(): number {
    return this.#count;
  }

  /** `dirty`: the scene holds changes that aren't written; `typing`: a text is being edited. */
  look(open: boolean, dirty: boolean, typing: boolean, nowMs: number): Verdict {
    if (!open) {
      const ended = this.#openedAt !== null;
      this.#openedAt = null;
      if (ended) return this.#verdict(dirty, true, null, nowMs);
      if (!dirty) return { commit: false, ended: false, againMs: null };
      const waitMs = this.#committedAt + IDLE_COMMIT_MS - nowMs;
      return waitMs <= 0 ? this.#verdict(true, false, null, nowMs) : { commit: false, ended: false, againMs: waitMs };
    }
    if (this.#openedAt === null) {
      this.#openedAt = nowMs;
      this.#count += 1;
      this.#committedAt = nowMs;
    }
    if (!dirty) return { commit: false, ended: false, againMs: null };
    const earliestMs = typing ? this.#openedAt + OPEN_COMMIT_MS : this.#openedAt + LONG_GESTURE_MS;
    const waitMs = Math.max(earliestMs, this.#committedAt + OPEN_COMMIT_MS) - nowMs;
    return waitMs <= 0 ? this.#verdict(true, false, null, nowMs) : { commit: false, ended: false, againMs: waitMs };
  }

  #verdict(commit: boolean, ended: boolean, againMs: number | null, nowMs: number): Verdict {
    if (commit) this.#committedAt = nowMs;
    return { commit, ended, againMs };
  }
}
