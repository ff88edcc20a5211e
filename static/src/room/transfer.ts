/**
 * `.excalidraw` files in and out of the open editor.
 *
 * Owns: choosing, reading and writing files, and handing their elements to the editor, whose changes the binding
 * writes as if they had been drawn. Does not own: what a scene is (scene.ts).
 */
import { CaptureUpdateAction, loadFromBlob, restoreElements, serializeAsJSON } from "@excalidraw/excalidraw";
import type { ExcalidrawElement } from "@excalidraw/excalidraw/element/types";
import type { BinaryFileData, BinaryFiles, DataURL, ExcalidrawImperativeAPI } from "@excalidraw/excalidraw/types";
import type * as Y from "yjs";
import { randomKey } from "../api/client";
import { readBackground, readScene } from "../binding";
import type { Assets } from "./assets";
import { fileName, imagesAmong, parseScene, type Scene, withFreeIds, withoutOrder } from "./scene";

const MAGIC = "application/vnd.excalidraw+json";
/** A picture is a scene too when Excalidraw exported it with "embed scene"; looked for in its first part only. */
const LOOK_BYTES = 4 * 1024 * 1024;

export type Manner = "add" | "replace";

/** Asks for a file; resolves to null when none is chosen. */
export async function chooseFile(accept: string): Promise<File | null> {
  return (await chooseFiles(accept, false))[0] ?? null;
}

/** Asks for files; resolves to none when none is chosen. */
export function chooseFiles(accept: string, multiple = true): Promise<File[]> {
  return new Promise((resolve) => {
    const input = document.createElement("input");
    input.type = "file";
    input.accept = accept;
    input.multiple = multiple;
    // In the page for as long as it is asked: a browser may collect one that nothing holds, and its answer with it.
    input.hidden = true;
    const done = () => {
      input.remove();
      resolve([...(input.files ?? [])]);
    };
    input.onchange = done;
    input.oncancel = done;
    document.body.append(input);
    input.click();
  });
}

export function download(name: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: MAGIC }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** True for a picture that carries a whole scene. */
export async function carriesScene(file: File): Promise<boolean> {
  if (!/^image\/(png|svg\+xml)$/.test(file.type)) return false;
  return (await file.slice(0, LOOK_BYTES).text()).includes(MAGIC);
}

/** Reads a drawing from a `.excalidraw` file or from a picture that carries one. */
export async function readFile(file: File): Promise<Scene> {
  if (file.type === "image/png" || file.type === "image/svg+xml") {
    const data = await loadFromBlob(file, null, null);
    return { elements: data.elements, files: imagesAmong(data.files), background: data.appState.viewBackgroundColor ?? null };
  }
  return parseScene(await file.text());
}

/** Puts a scene into the editor as one step that can be undone. Returns how many elements came in. */
export function bringIn(options: {
  api: ExcalidrawImperativeAPI;
  doc: Y.Doc;
  scene: Scene;
  manner: Manner;
}): number {
  const { api, doc, scene, manner } = options;
  const files = Object.values(scene.files);
  if (files.length > 0) api.addFiles(files);
  const taken = new Set([...doc.getMap("elements").keys(), ...api.getSceneElementsIncludingDeleted().map((element) => element.id)]);
  const free = withFreeIds(scene.elements, taken, () => randomKey().slice(0, 21));
  const incoming = restoreElements(withoutOrder(free), null, { repairBindings: true, refreshDimensions: false });
  const present = api.getSceneElementsIncludingDeleted();
  const kept = manner === "replace" ? present.map((element) => (element.isDeleted ? element : gone(element))) : present;
  const background = manner === "replace" ? scene.background : null;
  api.updateScene({
    elements: [...kept, ...incoming],
    ...(background ? { appState: { viewBackgroundColor: background } } : {}),
    captureUpdate: CaptureUpdateAction.IMMEDIATELY,
  });
  if (incoming.length > 0) api.scrollToContent(incoming, { fitToViewport: true, viewportZoomFactor: 0.8, maxZoom: 1 });
  return incoming.length;
}

function gone(element: ExcalidrawElement): ExcalidrawElement {
  return { ...element, isDeleted: true, version: element.version + 1, versionNonce: Math.floor(Math.random() * 2 ** 31) };
}

/** The document as the text of a `.excalidraw` file, its images inside. */
export async function writeOut(doc: Y.Doc, files: BinaryFiles, assets: Assets): Promise<string> {
  const elements = readScene(doc);
  const whole: BinaryFiles = {};
  for (const element of elements) {
    if (element.type !== "image" || !element.fileId || whole[element.fileId]) continue;
    const shown = files[element.fileId];
    const dataURL = await wholePicture(element.fileId, shown, assets);
    if (!dataURL) continue;
    const type = /^data:([^;,]+)/.exec(dataURL)?.[1] ?? "image/png";
    whole[element.fileId] = {
      id: element.fileId,
      dataURL,
      mimeType: type as BinaryFileData["mimeType"],
      created: shown?.created ?? Date.now(),
    };
  }
  return serializeAsJSON(elements, { viewBackgroundColor: readBackground(doc) ?? "#ffffff" }, whole, "local");
}

/** What the canvas shows may be a smaller form; that goes out only when the whole can't be had. */
async function wholePicture(id: string, shown: BinaryFileData | undefined, assets: Assets): Promise<DataURL | null> {
  if (shown && ["full", undefined].includes(assets.shownForm(id))) return shown.dataURL;
  const whole = await assets.whole(id).catch(() => null);
  return whole ?? shown?.dataURL ?? null;
}

export async function save(title: string, doc: Y.Doc, files: BinaryFiles, assets: Assets): Promise<void> {
  download(fileName(title), await writeOut(doc, files, assets));
}
