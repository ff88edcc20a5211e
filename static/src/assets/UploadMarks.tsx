/**
 * On the canvas: how far the upload of a placeholder is, with its cancel button; and the place of a card to come.
 *
 * Lies between Excalidraw's canvas and its panels, and follows the view. The same uploads are in the tray, which is what
 * screen readers are told of; here only the buttons are for everybody.
 */
import { useEffect, useReducer, useSyncExternalStore, type CSSProperties, type ReactNode } from "react";
import type { ExcalidrawImperativeAPI } from "@excalidraw/excalidraw/types";
import type { Assets } from "../room/assets";
import { CloseIcon } from "../ui/icons";
import type { Box } from "./placement";
import { isUnderWay, phaseWords, share } from "./progress";
import { iconOf } from "./UploadTray";
import type { UploadView } from "./uploads";

export function UploadMarks({ api, assets }: { api: ExcalidrawImperativeAPI; assets: Assets }): ReactNode {
  const list = useSyncExternalStore(assets.uploads.subscribe, assets.uploads.list).filter(({ state }) => isUnderWay(state));
  const [, redraw] = useReducer((count: number) => count + 1, 0);
  const active = list.length > 0;
  useEffect(() => {
    if (!active) return;
    let frame = 0;
    const soon = () => {
      cancelAnimationFrame(frame);
      frame = requestAnimationFrame(redraw);
    };
    const off = [api.onChange(soon), api.onScrollChange(soon)];
    return () => {
      cancelAnimationFrame(frame);
      for (const stop of off) stop();
    };
  }, [active, api]);
  if (!active) return null;
  const { scrollX, scrollY, zoom } = api.getAppState();
  const onScreen = (box: Box): CSSProperties => ({
    left: (box.x + scrollX) * zoom.value,
    top: (box.y + scrollY) * zoom.value,
    width: box.width * zoom.value,
    height: box.height * zoom.value,
  });
  return (
    <div className="marks">
      {list.flatMap((upload) =>
        placesOf(upload, api, assets).map((box, number) => (
          <div key={`${upload.sha256}-${number}`} className={upload.kind === "picture" ? "mark-on" : "mark-on mark-on--card"} style={onScreen(box)}>
            {upload.kind !== "picture" && (
              <span className="mark-on__file" aria-hidden="true">
                {iconOf(upload)}
                <span className="mark-on__name">{upload.filename}</span>
              </span>
            )}
            <span className="mark-on__pill" data-testid="upload-mark">
              <span className="mark-on__words" aria-hidden="true">
                {upload.state.phase === "sending" ? `${Math.floor(share(upload.state) * 100)} %` : phaseWords(upload.state)}
              </span>
              <button type="button" className="mark-on__cancel" aria-label={`Cancel ${upload.filename}`} title="Cancel" onClick={() => assets.uploads.cancel(upload.sha256)}>
                <CloseIcon />
              </button>
              <span className="mark-on__done" aria-hidden="true" style={{ transform: `scaleX(${share(upload.state)})` }} />
            </span>
          </div>
        )),
      )}
    </div>
  );
}

function placesOf(upload: UploadView, api: ExcalidrawImperativeAPI, assets: Assets): Box[] {
  if (upload.kind !== "picture") return assets.placements(upload.sha256).flatMap((placement) => ("box" in placement ? [placement.box] : []));
  return api.getSceneElements().filter((element) => element.type === "image" && element.fileId === upload.sha256);
}
