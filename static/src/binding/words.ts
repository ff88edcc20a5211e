/**
 * Words typed into a shape that somebody else moves at that moment: they stay in it.
 *
 * Excalidraw puts the words in their place when the text editor closes, by where the shape is in this browser. Whoever
 * moved the shape without knowing of the words didn't move them; so their typist's browser takes them along, by a write
 * of its own. Pure. Source: Excalidraw 0.18.1 textWysiwyg.handleSubmit, computeBoundTextPosition.
 */
import type { ExcalidrawElement, ExcalidrawTextElement } from "@excalidraw/excalidraw/element/types";
import { newNonce } from "./renewal";

/** A text and the shape it belongs to. */
export interface Bound {
  text: ExcalidrawTextElement;
  shape: ExcalidrawElement;
}

type Box = Pick<ExcalidrawElement, "type" | "x" | "y" | "width" | "height">;

type Scene = readonly ExcalidrawElement[];
type Stored = (id: string) => ExcalidrawElement | null;

/** Scene units below which two places are the same. */
const SAME = 0.01;
/** Where in its shape a text is held, by its alignment: 0 at the left or top, 1 at the right or bottom. */
const SHARE: Record<string, number> = { left: 0, top: 0, center: 0.5, middle: 0.5, right: 1, bottom: 1 };
/** How much of each side is not for words. */
const INSET: Record<string, number> = { diamond: 0.25, ellipse: (1 - Math.SQRT1_2) / 2 };

/** A text and its shape as `of` has them; null when one is gone, or the text stands by itself. */
export function boundText(textId: string, of: (id: string) => ExcalidrawElement | null | undefined): Bound | null {
  const text = of(textId);
  if (text?.type !== "text" || text.isDeleted || text.containerId === null) return null;
  const shape = of(text.containerId);
  return shape && !shape.isDeleted ? { text, shape } : null;
}

/** The shapes by which my words stand where they stand, by the text's id. */
export class Words {
  readonly #shapes = new Map<string, { id: string; box: Box }>();

  get isEmpty(): boolean {
    return this.#shapes.size === 0;
  }

  /** The text was placed by this shape as it is now; the label of an arrow is placed wherever it is drawn. */
  placed({ text, shape }: Bound): void {
    if (shape.type !== "arrow") this.#shapes.set(text.id, { id: shape.id, box: boxOf(shape) });
  }

  /** I moved or resized these elements in the document, and the editor what is in them. */
  wrote(ids: ReadonlySet<string>, stored: Stored): void {
    for (const [textId, shape] of [...this.#shapes]) {
      if (!ids.has(shape.id)) continue;
      const now = stored(shape.id);
      if (now) shape.box = boxOf(now);
      else this.#shapes.delete(textId);
    }
  }

  /**
   * The scene with my words moved along with their shapes, as far as these changes of the document took them away from
   * under them; the same scene when there are none.
   *
   * `changed` are the elements that enter now. Words that came along in the same change are where somebody wanted them;
   * those in the open text editor (`typedId`) are placed when it closes.
   */
  follow(scene: Scene, changed: ReadonlySet<string>, stored: Stored, typedId: string | null): Scene {
    let next = scene;
    for (const [textId, shape] of [...this.#shapes]) {
      if (textId === typedId) continue;
      if (changed.has(textId)) {
        this.#shapes.delete(textId);
        continue;
      }
      const now = changed.has(shape.id) ? stored(shape.id) : null;
      const bound = now && boundText(textId, (id) => scene.find((element) => element.id === id));
      if (!bound || bound.shape.id !== shape.id) continue;
      const [from, to] = [anchor(shape.box, bound.text), anchor(now, bound.text)];
      next = moved(next, bound.text, to.x - from.x, to.y - from.y);
      shape.box = boxOf(now);
    }
    return next;
  }
}

function boxOf({ type, x, y, width, height }: ExcalidrawElement): Box {
  return { type, x, y, width, height };
}

/** The point of a shape from which a text of this alignment keeps its distance. */
function anchor({ type, x, y, width, height }: Box, { textAlign, verticalAlign }: ExcalidrawTextElement) {
  const inset = INSET[type] ?? 0;
  const share = (align: string) => inset + (SHARE[align] ?? 0.5) * (1 - 2 * inset);
  return { x: x + width * share(textAlign), y: y + height * share(verticalAlign) };
}

function moved(scene: Scene, text: ExcalidrawTextElement, dx: number, dy: number): Scene {
  if (Math.abs(dx) < SAME && Math.abs(dy) < SAME) return scene;
  const { id, x, y, version } = text;
  const changes = { x: x + dx, y: y + dy, version: version + 1, versionNonce: newNonce() };
  return scene.map((element) => (element.id === id ? { ...element, ...changes } : element));
}
