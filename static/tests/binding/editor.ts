/** The part of the editor the binding touches, for tests of the binding's own order of things; the real one is tested in a browser. */
import type { AppState, ExcalidrawImperativeAPI } from "@excalidraw/excalidraw/types";
import type { Clock } from "../../src/binding/clock";
import type { sample } from "./samples";

type Element = ReturnType<typeof sample>;

/** A clock that stands still until told. */
export class FakeClock implements Clock {
  #now = 1000;
  #timers: { at: number; work: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  after(delayMs: number, work: () => void): () => void {
    const timer = { at: this.#now + delayMs, work };
    this.#timers.push(timer);
    return () => (this.#timers = this.#timers.filter((other) => other !== timer));
  }

  frame(work: () => void): () => void {
    return this.after(16, work);
  }

  advance(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      const next = this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.#now = Math.max(this.#now, next.at);
      next.work();
    }
    this.#now = end;
  }
}

const IDLE = {
  isLoading: false, cursorButton: "up", newElement: null, multiElement: null, editingTextElement: null, resizingElement: null,
  isResizing: false, isRotating: false, selectedElementsAreBeingDragged: false, croppingElementId: null,
  selectedElementIds: {}, viewBackgroundColor: "#ffffff", collaborators: new Map(),
};

export class Editor {
  elements: readonly Element[] = [];
  state = { ...IDLE } as unknown as AppState;
  files: Record<string, unknown> = {};
  updates = 0;
  onChange: (elements: readonly Element[], state: AppState, files: never) => void = () => undefined;

  readonly api = {
    getSceneElementsIncludingDeleted: () => this.elements,
    getAppState: () => this.state,
    getFiles: () => this.files,
    addFiles: (files: { id: string }[]) => files.forEach((file) => (this.files[file.id] = file)),
    registerAction: () => undefined,
    updateScene: ({ elements, appState, collaborators }: { elements?: Element[]; appState?: object; collaborators?: unknown }) => {
      this.updates += 1;
      if (elements) this.elements = elements;
      this.state = { ...this.state, ...appState, ...(collaborators ? { collaborators } : {}) } as AppState;
      queueMicrotask(() => this.changed());
    },
  } as unknown as ExcalidrawImperativeAPI;

  changed(): void {
    this.onChange(this.elements, this.state, this.files as never);
  }

  /** What a person does: some fields of one element, some of the editor's state. */
  act(id: string | null, fields: object, state: object = {}): void {
    this.state = { ...this.state, ...state } as AppState;
    this.elements = this.elements.map((element) =>
      element.id === id ? ({ ...element, ...fields, version: element.version + 1, versionNonce: Math.random() } as Element) : element,
    );
    this.changed();
  }

  add(element: Element, state: object = {}): void {
    this.elements = [...this.elements, element];
    this.act(null, {}, state);
  }

  get(id: string): Record<string, unknown> | undefined {
    return this.elements.find((element) => element.id === id) as never;
  }
}
