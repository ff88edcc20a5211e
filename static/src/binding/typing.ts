/**
 * Words being typed into a shape that somebody else moves meanwhile: the shape moves, the words with it.
 *
 * Excalidraw puts the words in their place when the editor closes, by where the shape is here; a shape that had to wait
 * until then would leave them behind. Pure. Source: Excalidraw 0.18.1 textWysiwyg.handleSubmit.
 */
import type { ExcalidrawElement, ExcalidrawTextElement } from "@excalidraw/excalidraw/element/types";
import type { AppState } from "@excalidraw/excalidraw/types";
import { newNonce } from "./renewal";

/** A text in the open text editor, and the shape it belongs to. */
export interface Typing {
  text: ExcalidrawTextElement;
  shape: ExcalidrawElement;
}

/** What is being typed into which shape; null when no text editor is open, or its text stands by itself. */
export function typingInto(scene: readonly ExcalidrawElement[], { editingTextElement }: AppState): Typing | null {
  if (!editingTextElement) return null;
  // The state's own copy is from before the first letter.
  const text = scene.find(({ id }) => id === editingTextElement.id);
  if (text?.type !== "text" || text.isDeleted || text.containerId === null) return null;
  const shape = scene.find(({ id }) => id === text.containerId);
  return shape ? { text, shape } : null;
}

/** The scene with the words moved by as much as it moves their shape; the scene itself when it doesn't. */
export function follow(next: ExcalidrawElement[], { text, shape }: Typing): ExcalidrawElement[] {
  const moved = next.find(({ id }) => id === shape.id) ?? shape;
  const [dx, dy] = [moved.x - shape.x, moved.y - shape.y];
  if (dx === 0 && dy === 0) return next;
  return next.map((element) => {
    if (element.id !== text.id) return element;
    return { ...element, x: text.x + dx, y: text.y + dy, version: element.version + 1, versionNonce: newNonce() };
  });
}
