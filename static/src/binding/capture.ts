/**
 * Tells Excalidraw's undo history about keyboard nudges before somebody else's change enters.
 *
 * 0.18.1 records a nudge only with the next recorded action. Until then its undo snapshot keeps the older element, and
 * whatever enters meanwhile would be recorded as my own edit: my undo would take the other person's recolour back.
 * Source: Excalidraw 0.18.1 App.onKeyDown, App.syncActionResult, Store.filterUncomittedElements.
 */
import type { ActionName } from "@excalidraw/excalidraw/actions/types";
import type { AppClassProperties, ExcalidrawImperativeAPI } from "@excalidraw/excalidraw/types";

const ARROW_KEYS: ReadonlySet<string> = new Set(["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight"]);

export class Capture {
  #app: AppClassProperties | null = null;
  #nudging = false;
  readonly #open = new Set<string>();

  /** Registers an action that never runs: its key test sees every key, and the app that can record. */
  constructor(api: ExcalidrawImperativeAPI) {
    api.registerAction({
      name: "kanvasCapture" as ActionName,
      label: "",
      trackEvent: false,
      perform: () => false,
      keyTest: (event, _state, _elements, app) => {
        this.#app = app;
        if (ARROW_KEYS.has(event.key)) this.#nudging = true;
        return false;
      },
    });
  }

  /** These elements were written outside a gesture. */
  wrote(ids: readonly string[]): void {
    if (!this.#nudging) return;
    this.#nudging = false;
    for (const id of ids) this.#open.add(id);
  }

  /** True when a change of this element must wait until `record` took effect. */
  isOpen(id: string): boolean {
    return this.#open.has(id);
  }

  /** Records now; takes effect with the editor's next update. */
  record(): void {
    this.#open.clear();
    this.#app?.syncActionResult({ captureUpdate: "IMMEDIATELY" });
  }
}
