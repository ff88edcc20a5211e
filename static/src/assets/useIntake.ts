/**
 * Files given to the editor in any way: dropped, pasted, or asked for with the image tool.
 *
 * Owns: which events are ours and which go on to Excalidraw. A drawing (or a picture that carries one) is offered for
 * import; text, links, elements from the clipboard and library files stay Excalidraw's.
 * Source: Excalidraw 0.18.1 App.handleAppOnDrop, App.pasteFromClipboard, ShapesSwitcher.
 */
import { useCallback, useEffect, useRef, type RefObject } from "react";
import { viewportCoordsToSceneCoords } from "@excalidraw/excalidraw";
import type { ExcalidrawImperativeAPI } from "@excalidraw/excalidraw/types";
import { carriesScene, chooseFiles } from "../room/transfer";
import type { Asset } from "../api/assets";
import type { Inserter } from "./inserter";
import { ACCEPT, endingOf, kindOf } from "./kinds";
import type { Point } from "./placement";

/** The drawer's rows are dragged under this type. */
export const ASSET_TYPE = "application/x-kanvas-asset";

export interface Intake {
  /** Asks for files and adds them in the middle of the view. */
  readonly pick: () => Promise<void>;
}

export function useIntake(options: {
  frame: RefObject<HTMLElement | null>;
  api: ExcalidrawImperativeAPI | null;
  inserter: Inserter | null;
  frozen: boolean;
  onDrawing: (file: File) => Promise<void>;
}): Intake {
  const { frame, api } = options;
  const latest = useRef(options);
  latest.current = options;
  const pointer = useRef<{ clientX: number; clientY: number } | null>(null);

  const take = useCallback(async (files: readonly File[], at: Point | null) => {
    const { onDrawing } = latest.current;
    for (const file of files) {
      if (/\.(excalidraw|json)$/i.test(file.name) || (await carriesScene(file))) {
        await onDrawing(file);
        return;
      }
    }
    await latest.current.inserter?.insert(files, at);
  }, []);

  const pick = useCallback(async () => {
    const files = await chooseFiles(ACCEPT);
    if (files.length > 0) await take(files, null);
  }, [take]);

  useEffect(() => {
    const root = frame.current;
    if (!api || !root) return;
    const sceneAt = (client: { clientX: number; clientY: number }): Point => viewportCoordsToSceneCoords(client, api.getAppState());
    const stop = (event: Event) => {
      event.preventDefault();
      event.stopImmediatePropagation();
    };

    const onMove = (event: PointerEvent) => (pointer.current = { clientX: event.clientX, clientY: event.clientY });
    const onDrop = (event: DragEvent) => {
      if (latest.current.frozen) {
        stop(event);
        return;
      }
      const data = event.dataTransfer;
      const asset = data?.getData(ASSET_TYPE);
      const files = [...(data?.files ?? [])];
      if (!asset && (files.length === 0 || files.every((file) => endingOf(file.name) === "excalidrawlib"))) return;
      stop(event);
      if (asset) void latest.current.inserter?.insertAsset(JSON.parse(asset) as Asset, sceneAt(event));
      else void take(files, sceneAt(event));
    };
    // Excalidraw looks at the keys in its view mode, not at what the clipboard does.
    const onCut = (event: ClipboardEvent) => {
      if (latest.current.frozen && isMeant(root, event.target)) stop(event);
    };
    const onPaste = (event: ClipboardEvent) => {
      if (latest.current.frozen) {
        onCut(event);
        return;
      }
      const data = event.clipboardData;
      const files = [...(data?.files ?? [])].filter((file) => kindOf(file) !== "other");
      if (!data || files.length === 0 || !isMeant(root, event.target)) return;
      // A spreadsheet's cells come as a picture, too; Excalidraw makes a chart of them.
      if (/\t.*\n/.test(data.getData("text/plain"))) return;
      stop(event);
      const client = pointer.current;
      const over = client && document.elementFromPoint(client.clientX, client.clientY) instanceof HTMLCanvasElement;
      void take(files, client && over ? sceneAt(client) : null);
    };
    const ask = () => {
      api.setActiveTool({ type: "selection" });
      void pick();
    };
    const onClick = (event: MouseEvent) => {
      const target = event.target instanceof Element ? event.target : null;
      const tool = target?.closest("label")?.querySelector('[data-testid="toolbar-image"]');
      if (!tool && !target?.matches('[data-testid="toolbar-image"]')) return;
      stop(event);
      ask();
    };
    const onKey = (event: KeyboardEvent) => {
      const { activeElement } = document;
      if (event.key === " " && activeElement?.matches('[data-testid="toolbar-image"]')) {
        stop(event);
        ask();
        return;
      }
      if (event.key !== "9" || event.ctrlKey || event.metaKey || event.altKey || latest.current.frozen) return;
      if (!isMeant(root, event.target)) return;
      stop(event);
      ask();
    };

    root.addEventListener("pointermove", onMove, { passive: true });
    root.addEventListener("drop", onDrop, { capture: true });
    root.addEventListener("click", onClick, { capture: true });
    window.addEventListener("paste", onPaste, { capture: true });
    window.addEventListener("cut", onCut, { capture: true });
    window.addEventListener("keydown", onKey, { capture: true });
    return () => {
      root.removeEventListener("pointermove", onMove);
      root.removeEventListener("drop", onDrop, { capture: true });
      root.removeEventListener("click", onClick, { capture: true });
      window.removeEventListener("paste", onPaste, { capture: true });
      window.removeEventListener("cut", onCut, { capture: true });
      window.removeEventListener("keydown", onKey, { capture: true });
    };
  }, [api, frame, pick, take]);

  return { pick };
}

/** Not while something is typed, or a dialog is open; the page itself has the focus when nothing has. */
function isMeant(root: HTMLElement, target: EventTarget | null): boolean {
  if (document.querySelector("dialog[open], .excalidraw .Modal")) return false;
  const element = target instanceof Element ? target : null;
  if (element?.closest("input:not([type=radio]):not([type=checkbox]), textarea, select, [contenteditable=true]")) return false;
  return !element || element === document.body || root.contains(element);
}
