/**
 * Words typed into a shape that somebody else moves at that moment: they stay in it.
 *
 * Excalidraw puts the words in their place when the text editor closes, by where the shape is in this browser. Whoever
 * moved the shape without knowing of the words didn't move them; so their typist takes them along: on the screen while
 * typing, by a write of their own afterwards. Pure. Source: Excalidraw 0.18.1 textWysiwyg.handleSubmit.
 */
import type { ExcalidrawElement, ExcalidrawTextElement } from "@excalidraw/excalidraw/element/types";
import type { AppState } from "@excalidraw/excalidraw/types";
import { newNonce } from "./renewal";

/** A text and the shape it belongs to. */
export interface Typing {
  text: ExcalidrawTextElement;
  shape: ExcalidrawElement;
}

/** In scene coordinates, before its rotation. */
export type Box = Pick<ExcalidrawElement, "x" | "y" | "width" | "height">;
type Place = { shapeId: string; dx: number; dy: number };

/** Scene units below which two places are the same. */
const SAME = 0.01;

/** What is being typed into which shape; null when no text editor is open, or its text stands by itself. */
export function typingInto(scene: readonly ExcalidrawElement[], { editingTextElement }: AppState): Typing | null {
  // The state's own copy is from before the first letter.
  return editingTextElement && typingOf(scene, editingTextElement.id);
}

/** A text as the scene has it, with its shape; null when it is gone or stands by itself. */
export function typingOf(scene: readonly ExcalidrawElement[], textId: string): Typing | null {
  const text = scene.find(({ id }) => id === textId);
  if (text?.type !== "text" || text.isDeleted || text.containerId === null) return null;
  const shape = scene.find(({ id }) => id === text.containerId);
  return shape && !shape.isDeleted ? { text, shape } : null;
}

/** The scene with the words moved by as much as it moves their shape; the scene itself when it doesn't. */
export function follow(next: ExcalidrawElement[], { text, shape }: Typing): ExcalidrawElement[] {
  const moved = next.find(({ id }) => id === shape.id) ?? shape;
  return moveText(next, text, text.x + moved.x - shape.x, text.y + moved.y - shape.y);
}

/** Where my words stand in their shapes: from center to center, so that it holds for a resized one, too. */
export class Words {
  readonly #places = new Map<string, Place>();

  get isEmpty(): boolean {
    return this.#places.size === 0;
  }

  /** Takes note of where a text stands now; the label of an arrow is put in its place wherever it is drawn. */
  measure({ text, shape }: Typing): void {
    if (shape.type === "arrow") return;
    const [inside, around] = [center(text), center(shape)];
    this.#places.set(text.id, { shapeId: shape.id, dx: inside.x - around.x, dy: inside.y - around.y });
  }

  /** I changed these elements: what belongs to them stands elsewhere now, on purpose. */
  wrote(ids: readonly string[], scene: readonly ExcalidrawElement[]): void {
    for (const [textId, { shapeId }] of [...this.#places]) {
      if (!ids.includes(textId) && !ids.includes(shapeId)) continue;
      const typing = typingOf(scene, textId);
      if (typing) this.measure(typing);
      else this.#places.delete(textId);
    }
  }

  /**
   * The scene with my words in the shapes that these changes of the document took away from under them.
   *
   * `changed` are the elements that enter now; `geometry` is the document's. Words that came along in the same change
   * are where somebody wanted them.
   */
  follow(
    next: ExcalidrawElement[], changed: ReadonlySet<string>, geometry: (id: string) => Box | null,
  ): ExcalidrawElement[] {
    let scene = next;
    for (const [textId, { shapeId, dx, dy }] of this.#places) {
      if (changed.has(textId)) this.#places.delete(textId);
      else if (changed.has(shapeId)) {
        const typing = typingOf(next, textId);
        const shape = geometry(shapeId);
        if (!typing || typing.shape.id !== shapeId || !shape) continue;
        const { text } = typing;
        const around = center(shape);
        scene = moveText(scene, text, around.x + dx - text.width / 2, around.y + dy - text.height / 2);
      }
    }
    return scene;
  }
}

function center({ x, y, width, height }: Box): { x: number; y: number } {
  return { x: x + width / 2, y: y + height / 2 };
}

function moveText(scene: ExcalidrawElement[], { id, x: oldX, y: oldY }: ExcalidrawTextElement, x: number, y: number) {
  if (Math.abs(x - oldX) < SAME && Math.abs(y - oldY) < SAME) return scene;
  return scene.map((element) =>
    element.id === id ? { ...element, x, y, version: element.version + 1, versionNonce: newNonce() } : element,
  );
}
