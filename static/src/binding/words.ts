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

interface Place {
  shapeId: string;
  dx: number;
  dy: number;
}

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

/** Where my words stand in their shapes, measured from where their alignment holds them. */
export class Words {
  readonly #places = new Map<string, Place>();

  get isEmpty(): boolean {
    return this.#places.size === 0;
  }

  /** Takes note of where a text stands now; the label of an arrow is put in its place wherever it is drawn. */
  measure({ text, shape }: Bound): void {
    if (shape.type === "arrow") return;
    const [own, held] = [anchor(text, text), anchor(shape, text)];
    this.#places.set(text.id, { shapeId: shape.id, dx: own.x - held.x, dy: own.y - held.y });
  }

  /** My texts in these shapes: what I did to them is written before the shapes enter. */
  inside(shapes: ReadonlySet<string>): Set<string> {
    const texts = new Set<string>();
    for (const [textId, { shapeId }] of this.#places) if (shapes.has(shapeId)) texts.add(textId);
    return texts;
  }

  /** I changed these elements in the document: what belongs to them stands where I want it. */
  wrote(ids: readonly string[], stored: Stored): void {
    const written = new Set(ids);
    for (const [textId, { shapeId }] of [...this.#places]) {
      if (!written.has(textId) && !written.has(shapeId)) continue;
      const bound = boundText(textId, stored);
      if (bound) this.measure(bound);
      else this.#places.delete(textId);
    }
  }

  /**
   * The scene with my words in the shapes that these changes of the document took away from under them; the same scene
   * when there are none.
   *
   * `changed` are the elements that enter now. Words that came along in the same change are where somebody wanted them;
   * those in the open text editor (`typedId`) are placed when it closes.
   */
  follow(scene: Scene, changed: ReadonlySet<string>, stored: Stored, typedId: string | null): Scene {
    let next = scene;
    for (const [textId, { shapeId, dx, dy }] of [...this.#places]) {
      if (textId === typedId) continue;
      if (changed.has(textId)) {
        this.#places.delete(textId);
        continue;
      }
      const shape = changed.has(shapeId) ? stored(shapeId) : null;
      const bound = shape && boundText(textId, (id) => scene.find((element) => element.id === id));
      if (!bound || bound.shape.id !== shapeId) continue;
      const { text } = bound;
      const [own, held] = [anchor(text, text), anchor(shape, text)];
      next = moved(next, text, held.x + dx - own.x, held.y + dy - own.y);
    }
    return next;
  }
}

/** The point of an element that a text of this alignment keeps its distance from. */
function anchor(element: ExcalidrawElement, { textAlign, verticalAlign }: ExcalidrawTextElement) {
  const inset = INSET[element.type] ?? 0;
  const share = (align: string) => inset + (SHARE[align] ?? 0.5) * (1 - 2 * inset);
  return { x: element.x + element.width * share(textAlign), y: element.y + element.height * share(verticalAlign) };
}

function moved(scene: Scene, text: ExcalidrawTextElement, dx: number, dy: number): Scene {
  if (Math.abs(dx) < SAME && Math.abs(dy) < SAME) return scene;
  const { id, x, y, version } = text;
  const changes = { x: x + dx, y: y + dy, version: version + 1, versionNonce: newNonce() };
  return scene.map((element) => (element.id === id ? { ...element, ...changes } : element));
}
