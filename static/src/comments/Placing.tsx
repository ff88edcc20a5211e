/**
 * Comment mode: the next click on the canvas says where a thread belongs; Enter takes the middle of the view.
 *
 * Lies over the whole editor, so that the click draws nothing; wheel and pinch go on to the canvas.
 */
import { useEffect, useRef, type ReactNode, type WheelEvent } from "react";
import type { ExcalidrawImperativeAPI } from "@excalidraw/excalidraw/types";
import type { Place } from "../api/comments";
import { viewOf } from "./Pins";
import { placeAt, toCanvas, type Shape } from "./placement";

export function Placing(props: { api: ExcalidrawImperativeAPI; onPlace: (place: Place) => void; onCancel: () => void }): ReactNode {
  const { api, onCancel } = props;
  const area = useRef<HTMLDivElement>(null);

  useEffect(() => area.current?.focus({ preventScroll: true }), []);

  useEffect(() => {
    const onKey = (event: globalThis.KeyboardEvent) => {
      if (event.key !== "Escape") return;
      event.preventDefault();
      event.stopPropagation();
      onCancel();
    };
    window.addEventListener("keydown", onKey, { capture: true });
    return () => window.removeEventListener("keydown", onKey, { capture: true });
  }, [onCancel]);

  const place = (left: number, top: number) => {
    const view = viewOf(api);
    const shapes = api.getSceneElements() as readonly Shape[];
    props.onPlace(placeAt(toCanvas(left, top, view), shapes, view.zoom));
  };

  const onWheel = (event: WheelEvent) => {
    const canvas = area.current?.parentElement?.querySelector("canvas.excalidraw__canvas.interactive");
    canvas?.dispatchEvent(new globalThis.WheelEvent("wheel", event.nativeEvent));
  };

  return (
    <div
      ref={area}
      className="placing"
      role="button"
      tabIndex={0}
      aria-label="Click where the comment belongs, or press Enter for the middle of the view; Escape cancels"
      data-testid="placing"
      onWheel={onWheel}
      onClick={(event) => {
        const box = event.currentTarget.getBoundingClientRect();
        place(event.clientX - box.left, event.clientY - box.top);
      }}
      onKeyDown={(event) => {
        event.stopPropagation();
        if (event.key !== "Enter") return;
        event.preventDefault();
        const { width, height } = viewOf(api);
        place(width / 2, height / 2);
      }}
    >
      <p className="placing__hint">
        Click where the comment belongs
        <button
          type="button"
          className="placing__cancel"
          onClick={(event) => {
            event.stopPropagation();
            onCancel();
          }}
        >
          Cancel
        </button>
      </p>
    </div>
  );
}
