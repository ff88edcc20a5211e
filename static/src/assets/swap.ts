/**
 * The one place that goes around Excalidraw: another picture under a file id it knows already.
 *
 * `addFiles` of 0.18.1 leaves out every id it has, and offers no other way. But `getFiles()` hands out the very record
 * that `addFiles` looks into, and adding a file it lacks drops the old picture and loads the new one. A version that
 * copies the record makes this do nothing: the old picture stays. tests/assets/swap.test.ts holds the version and the lines
 * this rests on. Source: Excalidraw 0.18.1, App.addFiles, App.addMissingFiles, App.clearImageShapeCache.
 */
import type { BinaryFileData, BinaryFiles, DataURL, ExcalidrawImperativeAPI } from "@excalidraw/excalidraw/types";
import { load } from "./preview";

type Loose = { [id: string]: BinaryFileData };
type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Shows another picture for a file; resolves when the editor has it. Rejects when it can't be read: the old one stays. */
export async function swapPicture(api: ExcalidrawImperativeAPI, file: BinaryFileData): Promise<void> {
  // Decoded and held before the editor asks for it: it loads within the frame, and nothing flashes.
  const image = await load(file.dataURL);
  await image.decode().catch(() => undefined);
  const files = api.getFiles() as Loose;
  const before = files[file.id];
  delete files[file.id];
  api.addFiles([{ ...file, created: before?.created ?? file.created }]);
  await new Promise((resolve) => requestAnimationFrame(resolve));
}

/** Other bytes for exports under a file id, while the canvas goes on showing what it has. */
export function replaceBytes(files: BinaryFiles, id: string, dataURL: DataURL): void {
  const file = files[id] as Mutable<BinaryFileData> | undefined;
  if (file) file.dataURL = dataURL;
}
