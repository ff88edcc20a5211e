/**
 * Files onto the canvas: our own way, since Excalidraw's reduces pictures to 1440 px and refuses more than 4 MiB.
 *
 * Owns: the elements that are made for files, their place, and what becomes of them when an upload ends, is cancelled or
 * goes on after a reload. Does not own: sizes and places (placement.ts), uploads and copies (room/assets.ts), or when an
 * image is written to the document (the binding: once it is stored).
 */
import { CaptureUpdateAction, restoreElements } from "@excalidraw/excalidraw";
import type { ExcalidrawElement } from "@excalidraw/excalidraw/element/types";
import type { BinaryFileData, DataURL, ExcalidrawImperativeAPI } from "@excalidraw/excalidraw/types";
import type * as Y from "yjs";
import type { Asset } from "../api/assets";
import { isGestureOpen } from "../binding/gestures";
import { newElementId, newNonce } from "../binding/renewal";
import type { Assets, AssetWatcher } from "../room/assets";
import type { Placement } from "../room/assetshelf";
import { hashFile } from "./hash";
import { isShownByBrowsers, isVideo, kindOf, kindOfType, nameOf, sizeWords, typeOf } from "./kinds";
import { assetLink } from "./links";
import { arrange, CARD_BOX, contains, fit, reshape, UNKNOWN_PICTURE, VIDEO_BOX, type Box, type Point, type Size, type View } from "./placement";
import { naturalSize } from "./preview";
import type { UploadView } from "./uploads";

const IDLE_POLL_MS = 50;

export interface InserterOptions {
  readonly api: ExcalidrawImperativeAPI;
  readonly doc: Y.Doc;
  readonly assets: Assets;
  readonly complain: (words: string) => void;
  /** The most bytes the server takes, or null where that is unknown. */
  readonly mostBytes: () => Promise<number | null>;
}

/** What a card says of its file without asking the server; kept in the element. */
export interface FileFacts {
  readonly name: string;
  readonly type: string;
  readonly size: number;
}

export class Inserter implements AssetWatcher {
  readonly #api: ExcalidrawImperativeAPI;
  readonly #doc: Y.Doc;
  readonly #assets: Assets;
  readonly #complain: (words: string) => void;
  readonly #mostBytes: () => Promise<number | null>;
  /** Pictures whose shape only the server knows. */
  readonly #shapeless = new Set<string>();
  readonly #cancelled = new Set<string>();
  readonly #off: (() => void)[];
  #closed = false;

  constructor(options: InserterOptions) {
    this.#api = options.api;
    this.#doc = options.doc;
    this.#assets = options.assets;
    this.#complain = options.complain;
    this.#mostBytes = options.mostBytes;
    this.#off = [options.assets.watch(this), options.api.onChange((elements) => this.#revive(elements))];
  }

  destroy(): void {
    this.#closed = true;
    for (const stop of this.#off) stop();
  }

  /** Adds files around a point of the scene, or in the middle of the view; says in words what can't be added. */
  async insert(files: readonly File[], at: Point | null = null): Promise<void> {
    const taken = await this.#accept(files);
    if (taken.length === 0) return;
    const view = this.#view();
    const naturals = await Promise.all(taken.map((file) => sizeOf(file)));
    const hashes: (string | null)[] = [];
    for (const file of taken) {
      hashes.push(
        await hashFile(file).catch(() => {
          this.#complain(`${nameOf(file)} can't be read.`);
          return null;
        }),
      );
    }
    const boxes = arrange(naturals.map(({ size }) => fit(size, view)), at ?? this.#middle(), view);
    await this.#idle();
    if (this.#closed) return;
    const pictures: ExcalidrawElement[] = [];
    taken.forEach((file, number) => {
      const sha256 = hashes[number];
      const box = boxes[number]!;
      if (!sha256) return;
      this.#cancelled.delete(sha256);
      if (kindOf(file) !== "picture") return this.#assets.add(sha256, file, { box });
      if (!naturals[number]!.known) this.#shapeless.add(sha256);
      const element = this.#picture(sha256, box);
      pictures.push(element);
      this.#assets.add(sha256, file, { element });
    });
    this.#add(pictures, CaptureUpdateAction.IMMEDIATELY);
    for (const sha256 of new Set(hashes)) if (sha256) void this.#preview(sha256);
  }

  /** Adds a file the room has already. */
  async insertAsset(asset: Asset, at: Point | null = null): Promise<void> {
    const view = this.#view();
    const picture = kindOfType(asset.content_type) === "picture";
    const natural = picture
      ? { width: asset.width || UNKNOWN_PICTURE.width, height: asset.height || UNKNOWN_PICTURE.height }
      : shapeOf(asset.content_type, asset.width, asset.height);
    const [box] = arrange([fit(natural, view)], at ?? this.#middle(), view);
    await this.#idle();
    if (this.#closed || !box) return;
    if (!picture) return this.#add([this.#attachment(asset, box)], CaptureUpdateAction.IMMEDIATELY);
    const file = await this.#assets.fetch(asset.sha256);
    if (file) this.#give(asset.sha256, file);
    this.#assets.isThere(asset.sha256);
    this.#add([this.#picture(asset.sha256, box)], CaptureUpdateAction.IMMEDIATELY);
  }

  stored(upload: UploadView, asset: Asset, placements: readonly Placement[]): void {
    const { sha256 } = upload;
    if (upload.kind === "picture") {
      if (this.#shapeless.delete(sha256) && asset.width && asset.height) this.#reshape(sha256, { width: asset.width, height: asset.height });
      if (!this.#api.getFiles()[sha256]) void this.#preview(sha256);
      return;
    }
    const boxes = placements.flatMap((placement) => ("box" in placement ? [placement.box] : []));
    void this.#idle().then(() => {
      if (!this.#closed) this.#add(boxes.map((box) => this.#attachment(asset, box)), CaptureUpdateAction.IMMEDIATELY);
    });
  }

  gone({ sha256 }: UploadView): void {
    this.#cancelled.add(sha256);
    const elements = this.#api.getSceneElementsIncludingDeleted();
    if (!elements.some((element) => this.#isMine(element, sha256))) return;
    this.#api.updateScene({
      elements: elements.map((element) =>
        this.#isMine(element, sha256)
          ? { ...element, isDeleted: true, version: element.version + 1, versionNonce: newNonce() }
          : element,
      ),
      captureUpdate: CaptureUpdateAction.NEVER,
    });
  }

  resumed(upload: UploadView, placement: Placement): void {
    if (!("element" in placement)) return;
    const { element } = placement;
    void this.#ready().then(() => {
      const known = this.#doc.getMap("elements").has(element.id) || this.#api.getSceneElementsIncludingDeleted().some(({ id }) => id === element.id);
      if (this.#closed || known || !this.#assets.uploads.find(upload.sha256)) return;
      this.#add([{ ...element, index: null }], CaptureUpdateAction.NEVER, false);
      void this.#preview(upload.sha256);
    });
  }

  async #accept(files: readonly File[]): Promise<File[]> {
    const most = files.length > 0 ? await this.#mostBytes() : null;
    const taken: File[] = [];
    for (const file of files) {
      const kind = kindOf(file);
      if (kind !== "picture" && kind !== "attachment") {
        this.#complain(`${nameOf(file)} can't be added: a room takes pictures, PDF, MP4 and WebM files.`);
      } else if (file.size === 0) this.#complain(`${nameOf(file)} is empty.`);
      else if (most !== null && file.size > most) {
        this.#complain(`${nameOf(file)} has ${sizeWords(file.size)}; this server takes ${sizeWords(most)} at most.`);
      } else taken.push(file);
    }
    return taken;
  }

  /** The picture as far as it is known here; the upload goes on meanwhile. */
  async #preview(sha256: string): Promise<void> {
    const shown = this.#api.getFiles()[sha256];
    if (shown) return;
    const picture = await this.#assets.picture(sha256, "web").catch(() => null);
    if (!picture || this.#closed) return;
    this.#assets.shows(sha256, picture.form);
    this.#give(sha256, picture.dataURL);
  }

  #give(sha256: string, dataURL: DataURL): void {
    const mimeType = /^data:([^;,]+)/.exec(dataURL)?.[1] ?? "image/png";
    this.#api.addFiles([{ id: sha256, dataURL, mimeType, created: Date.now(), lastRetrieved: Date.now() } as BinaryFileData]);
  }

  #add(made: readonly ExcalidrawElement[], captureUpdate: "IMMEDIATELY" | "NEVER", select = true): void {
    if (made.length === 0) return;
    const { selectedElementIds } = this.#api.getAppState();
    this.#api.updateScene({
      elements: [...this.#api.getSceneElementsIncludingDeleted(), ...made],
      appState: { selectedElementIds: select ? Object.fromEntries(made.map(({ id }) => [id, true])) : selectedElementIds } as never,
      captureUpdate,
    });
  }

  #picture(sha256: string, box: Box): ExcalidrawElement {
    return this.#element({ type: "image", ...box, fileId: sha256, status: "pending", scale: [1, 1], crop: null, strokeColor: "transparent" });
  }

  #attachment(asset: Asset, box: Box): ExcalidrawElement {
    const file: FileFacts = { name: asset.filename, type: asset.content_type, size: asset.size_bytes };
    return this.#element({
      type: "embeddable", ...box, link: assetLink(asset.id), strokeColor: "transparent", strokeWidth: 1, roundness: { type: 3 }, customData: { file },
    });
  }

  #element(fields: Box & { type: string } & Record<string, unknown>): ExcalidrawElement {
    const { currentItemOpacity } = this.#api.getAppState();
    const middle = { x: fields.x + fields.width / 2, y: fields.y + fields.height / 2 };
    const frames = this.#api.getSceneElements().filter((element) => element.type === "frame" && contains(element, middle));
    const element = {
      angle: 0, backgroundColor: "transparent", fillStyle: "solid", strokeWidth: 2, strokeStyle: "solid", roughness: 1,
      opacity: currentItemOpacity, groupIds: [], frameId: frames.at(-1)?.id ?? null, roundness: null, link: null, locked: false,
      seed: newNonce(), version: 1, versionNonce: newNonce(), updated: Date.now(), isDeleted: false, boundElements: null, index: null,
      ...fields, id: newElementId(),
    };
    return restoreElements([element as unknown as ExcalidrawElement], null)[0]!;
  }

  #reshape(sha256: string, natural: Size): void {
    this.#api.updateScene({
      elements: this.#api.getSceneElementsIncludingDeleted().map((element) =>
        this.#isMine(element, sha256)
          ? { ...element, ...reshape(element, natural), version: element.version + 1, versionNonce: newNonce() }
          : element,
      ),
      captureUpdate: CaptureUpdateAction.NEVER,
    });
  }

  /** A placeholder of mine that nobody else has seen. */
  #isMine(element: ExcalidrawElement, sha256: string): boolean {
    return element.type === "image" && element.fileId === sha256 && !element.isDeleted && !this.#doc.getMap("elements").has(element.id);
  }

  /** Cancelled, and back on the canvas by redo: it is wanted after all. */
  #revive(elements: readonly ExcalidrawElement[]): void {
    for (const sha256 of this.#cancelled) {
      if (!elements.some((element) => this.#isMine(element, sha256))) continue;
      this.#cancelled.delete(sha256);
      this.#assets.revive(sha256);
    }
  }

  #view(): View {
    const { width, height, zoom } = this.#api.getAppState();
    return { width: width / zoom.value, height: height / zoom.value, zoom: zoom.value };
  }

  #middle(): Point {
    const { scrollX, scrollY } = this.#api.getAppState();
    const { width, height } = this.#view();
    return { x: width / 2 - scrollX, y: height / 2 - scrollY };
  }

  async #ready(): Promise<void> {
    while (this.#api.getAppState().isLoading && !this.#closed) await wait(IDLE_POLL_MS);
  }

  /** A change of the scene in the middle of a gesture would end its step for undo. */
  async #idle(): Promise<void> {
    while (isGestureOpen(this.#api.getAppState()) && !this.#closed) await wait(IDLE_POLL_MS);
  }
}

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function sizeOf(file: File): Promise<{ size: Size; known: boolean }> {
  const type = typeOf(file);
  if (kindOf(file) !== "picture") return { size: shapeOf(type, null, null), known: true };
  const natural = isShownByBrowsers(type) ? await naturalSize(file) : null;
  return { size: natural ?? UNKNOWN_PICTURE, known: natural !== null };
}

function shapeOf(type: string, width: number | null, height: number | null): Size {
  if (!isVideo(type)) return CARD_BOX;
  return width && height ? { width: VIDEO_BOX.width, height: (VIDEO_BOX.width * height) / width } : VIDEO_BOX;
}
