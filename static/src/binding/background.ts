/**
 * The canvas color: one value of the document, one of the editor's state.
 *
 * Owns which of the two is newer. A color being picked changes with every move of the hand: it is written at most
 * every BACKGROUND_MS. Does not own: how it is shown (binding.ts).
 */
import type { Clock } from "./clock";
import type { RoomDocument } from "./document";

const BACKGROUND_MS = 100;

export class Background {
  readonly #document: RoomDocument;
  readonly #clock: Clock;
  #shown: string | null = null;
  #isStale = false;
  #cancel: (() => void) | null = null;

  constructor(document: RoomDocument, clock: Clock) {
    this.#document = document;
    this.#clock = clock;
  }

  /** The editor starts with this color; the document's goes before it. */
  start(shown: string): void {
    this.#shown = shown;
    this.#isStale = this.#document.background !== null;
  }

  /** Somebody else chose a color. */
  invalidate(): void {
    this.#isStale = true;
  }

  /** The editor shows this color: written soon if I chose it. */
  look(shown: string): void {
    if (this.#isStale || shown === this.#shown) return;
    this.#shown = shown;
    this.#cancel ??= this.#clock.after(BACKGROUND_MS, () => this.flush());
  }

  /** The color the editor must change to, null when it need not. Answers each change once. */
  take(shown: string): string | null {
    if (!this.#isStale) return null;
    this.#isStale = false;
    this.#shown = this.#document.background ?? shown;
    return this.#shown === shown ? null : this.#shown;
  }

  /** Writes what is unwritten. */
  flush(): void {
    if (!this.#cancel) return;
    this.#cancel();
    this.#cancel = null;
    if (this.#shown !== this.#document.background) this.#document.background = this.#shown;
  }
}
