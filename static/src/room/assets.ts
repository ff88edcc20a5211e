/**
 * The files of one room: to the server, and back onto the canvas.
 *
 * Owns: which copies there are (the server's, the one on this browser's shelf, the file just chosen) and uploads that
 * outlive a lost connection and a reload. Does not own: the queue (assets/uploads.ts), which image is wanted or
 * committed when (the binding), which form of a picture is shown (assets/pictures.ts).
 * Rule: an image counts as stored when the server has it, or, while the server can't be reached, when this browser
 * keeps it and will deliver it; so work without a network loses no image.
 */
import type { BinaryFileData, DataURL } from "@excalidraw/excalidraw/types";
import type { Api } from "../api/client";
import type { Asset } from "../api/assets";
import { ApiError } from "../api/errors";
import { hashFile } from "../assets/hash";
import { isShownByBrowsers, kindOf, nameOf, typeOf, type Kind } from "../assets/kinds";
import { makePreview } from "../assets/preview";
import { formOf, THUMB_MOST_BYTES, type Shown } from "../assets/renditions";
import { sendBytes } from "../assets/transport";
import { refusalWords, Uploads, type UploadView } from "../assets/uploads";
import type { AssetStore } from "../binding";
import { AssetShelf, type KeptAsset, type Placement } from "./assetshelf";
import { toDataUrl } from "./bytes";

const LEAVING_MS = 1_000;
const THUMB_WAITS_MS = [400, 900];

/** What the canvas does when an upload ends. */
export interface AssetWatcher {
  /** The server has it. Called before the images that wait for it are committed. */
  stored(upload: UploadView, asset: Asset, placements: readonly Placement[]): void;
  /** It will not come: the placeholder goes. */
  gone(upload: UploadView): void;
  /** An earlier page left it unfinished. */
  resumed(upload: UploadView, placement: Placement): void;
}

export interface Picture {
  readonly dataURL: DataURL;
  readonly form: Shown;
}

interface Settling {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
}

export class Assets implements AssetStore {
  readonly uploads: Uploads;
  readonly #api: Api;
  readonly #room: string;
  readonly #shelf: AssetShelf;
  readonly #complain: (words: string) => void;
  readonly #settling = new Map<string, Settling>();
  /** Files chosen or pasted here whose bytes may not be on the server yet. */
  readonly #sources = new Map<string, Blob>();
  readonly #placements = new Map<string, Placement[]>();
  readonly #keeping = new Map<string, Promise<boolean>>();
  /** What the server will never take, so that it is asked, and the person told, once. */
  readonly #refused = new Map<string, unknown>();
  readonly #shown = new Map<string, Shown>();
  readonly #listeners = new Set<() => void>();
  #watcher: AssetWatcher | null = null;
  #resumed: readonly KeptAsset[] = [];
  #closed = false;

  constructor(options: { api: Api; room: string; user: string; complain: (words: string) => void }) {
    this.#api = options.api;
    this.#room = options.room;
    this.#shelf = new AssetShelf(options.user);
    this.#complain = options.complain;
    this.uploads = new Uploads(
      options.room,
      { api: options.api.assets, send: sendBytes },
      {
        stored: (upload, asset) => this.#onStored(upload, asset),
        lost: (upload) => void this.#onLost(upload),
        refused: (upload, error) => this.#onRefused(upload, error),
        cancelled: (upload) => this.#onCancelled(upload),
      },
    );
    window.addEventListener("online", this.uploads.hurry);
    void this.#resume();
  }

  get room(): string {
    return this.#room;
  }

  /** For Excalidraw's `generateIdForFile`: the id the bytes have as an asset. */
  readonly idFor = async (file: File): Promise<string> => hashFile(file);

  /** The canvas, once there is one; it hears of what an earlier page left, too. */
  watch(watcher: AssetWatcher): () => void {
    this.#watcher = watcher;
    for (const kept of this.#resumed) this.#tellResumed(kept);
    this.#resumed = [];
    return () => {
      if (this.#watcher === watcher) this.#watcher = null;
    };
  }

  /** Sends a file of any kind; `placement` is where it goes, kept for a reload in the middle. */
  add(sha256: string, file: File, placement?: Placement): void {
    this.#begin(sha256, file, nameOf(file), typeOf(file), kindOf(file), placement);
  }

  /** The file was taken back and is wanted after all (an undone cancel). */
  revive(sha256: string): void {
    const source = this.#sources.get(sha256);
    if (source instanceof File && !this.uploads.find(sha256) && !this.#refused.has(sha256)) this.add(sha256, source);
  }

  settled(id: string): Promise<void> | null {
    return this.#settling.get(id)?.promise ?? null;
  }

  async upload(id: string, blob: Blob): Promise<void> {
    if (this.#refused.has(id)) throw this.#refused.get(id);
    const kept = await this.#shelf.find(this.#room, id);
    if (kept?.uploaded) return;
    const named = { name: "", type: blob.type };
    this.#begin(id, blob, nameOf(named), typeOf(named), "picture");
    const settled = this.#settle(id).promise;
    await Promise.race([settled, this.#refusal(id)]);
  }

  /** What is shown first: the smallest form there is. */
  async fetch(id: string): Promise<DataURL | null> {
    const picture = await this.picture(id, "thumb");
    if (picture) this.#shown.set(id, picture.form);
    return picture?.dataURL ?? null;
  }

  /** Which form of a picture the editor has; undefined where the bytes came from the editor itself. */
  shownForm(id: string): Shown | undefined {
    return this.#shown.get(id);
  }

  shows(id: string, form: Shown): void {
    this.#shown.set(id, form);
  }

  /** The server has it: an element may name it at once. */
  isThere(id: string): void {
    this.#settle(id).resolve();
  }

  /** Where the file of an upload goes. */
  placements(id: string): readonly Placement[] {
    return this.#placements.get(id) ?? [];
  }

  /** The whole picture, for exports. */
  async whole(id: string): Promise<DataURL | null> {
    return (await this.picture(id, "full"))?.dataURL ?? null;
  }

  /** A form of a picture, from the nearest place that has it; null when nobody has it (yet). Throws ApiError. */
  async picture(id: string, form: Shown): Promise<Picture | null> {
    const source = this.#sources.get(id) ?? (await this.#waiting(id));
    if (source) return isShownByBrowsers(typeOf({ name: "", type: source.type })) ? this.#fromSource(source, form) : null;
    const key = form === "full" ? id : `${id}.${form}`;
    const kept = await this.#shelf.find(this.#room, key);
    if (kept) return this.#picture(kept.blob, form);
    try {
      const blob = await this.#load(id, form);
      const got = formOf(form, blob.size);
      await this.#shelf.put({ id: got === "full" ? id : key, room: this.#room, blob, uploaded: true });
      return await this.#picture(blob, got);
    } catch (error) {
      // Its author may be offline and still have to deliver it.
      if (error instanceof ApiError && error.status === 404) return null;
      const other = await this.#anyForm(id);
      if (other) return other;
      throw error;
    }
  }

  /** The picture of an element that came from another room, or whose bytes here are those of a smaller form. */
  async original(file: BinaryFileData): Promise<Blob | null> {
    if (!/^[0-9a-f]{64}$/.test(file.id)) return null;
    const kept = await this.#shelf.findAnywhere(file.id);
    if (kept) return kept.blob;
    const room = /^data:[^,]*;kanvas=([^;,]+)/.exec(file.dataURL)?.[1];
    if (!room) return null;
    try {
      return await this.#api.assets.read(decodeURIComponent(room), file.id);
    } catch (error) {
      if (error instanceof ApiError && [403, 404].includes(error.status)) return null;
      throw error;
    }
  }

  /** Told when a file was stored from here: lists of the room's files are out of date. */
  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  noteStored(): void {
    for (const listener of this.#listeners) listener();
  }

  close(): void {
    this.#closed = true;
    window.removeEventListener("online", this.uploads.hurry);
    this.uploads.close();
    void this.#shelf.trim().finally(() => void this.#shelf.close());
  }

  #begin(id: string, file: Blob, filename: string, contentType: string, kind: Kind, placement?: Placement): void {
    this.#sources.set(id, file);
    this.#refused.delete(id);
    if (placement) this.#placements.set(id, [...(this.#placements.get(id) ?? []), placement]);
    this.#settle(id);
    const kept = { id, room: this.#room, blob: file, uploaded: false, filename, contentType };
    // Not in the way of the upload; what the shelf can't take is lost by a reload only.
    this.#keeping.set(id, this.#shelf.put(placement ? { ...kept, placement } : kept));
    this.uploads.add({ sha256: id, filename, contentType, file, kind });
  }

  #settle(id: string): Settling {
    const known = this.#settling.get(id);
    if (known) return known;
    let resolve!: () => void;
    const promise = new Promise<void>((done) => (resolve = done));
    const made = { promise, resolve };
    this.#settling.set(id, made);
    return made;
  }

  #onStored(upload: UploadView, asset: Asset): void {
    const { sha256: id, file } = upload;
    const placements = this.#placements.get(id) ?? [];
    this.#placements.delete(id);
    this.#sources.delete(id);
    void (async () => {
      await this.#keeping.get(id);
      this.#keeping.delete(id);
      if (upload.kind === "picture" && isShownByBrowsers(upload.contentType)) await this.#shelf.put({ id, room: this.#room, blob: file, uploaded: true });
      else await this.#shelf.remove(this.#room, id);
    })();
    this.#watcher?.stored(upload, asset, placements);
    this.#settle(id).resolve();
    this.noteStored();
  }

  async #onLost({ sha256: id }: UploadView): Promise<void> {
    if (!(await this.#keeping.get(id))) return;
    // A page that is being left breaks its connections, too: then nothing runs any more after this, nobody is shown an
    // image that is not there, and the next page goes on from the shelf.
    await new Promise((resolve) => setTimeout(resolve, LEAVING_MS));
    if (!this.#closed && this.uploads.find(id)) this.#settle(id).resolve();
  }

  #onRefused(upload: UploadView, error: unknown): void {
    const { sha256: id, file } = upload;
    this.#refused.set(id, error);
    void this.#shelf.put({ id, room: this.#room, blob: file, uploaded: false, refused: true });
    this.#complain(`${upload.filename || "A file"} could not be shared: ${refusalWords(error)}`);
    this.#refusals.get(id)?.(error);
    this.#watcher?.gone(upload);
  }

  readonly #refusals = new Map<string, (error: unknown) => void>();

  #refusal(id: string): Promise<never> {
    return new Promise((_, reject) => this.#refusals.set(id, reject));
  }

  #onCancelled(upload: UploadView): void {
    const { sha256: id } = upload;
    this.#placements.delete(id);
    void this.#keeping.get(id)?.then(() => this.#shelf.remove(this.#room, id));
    this.#watcher?.gone(upload);
  }

  /** What an earlier page kept here and could not deliver. */
  async #resume(): Promise<void> {
    const waiting = await this.#shelf.listWaiting(this.#room);
    if (this.#closed) return;
    for (const kept of waiting) {
      const named = { name: kept.filename ?? "", type: kept.contentType ?? kept.blob.type };
      this.#begin(kept.id, kept.blob, nameOf(named), typeOf(named), kindOf(named), kept.placement);
    }
    if (this.#watcher) for (const kept of waiting) this.#tellResumed(kept);
    else this.#resumed = waiting;
  }

  #tellResumed(kept: KeptAsset): void {
    const upload = this.uploads.find(kept.id);
    if (upload && kept.placement) this.#watcher?.resumed(upload, kept.placement);
  }

  /** A thumbnail is worth a moment's wait: everybody in the room asks for it right after an upload, while it is made. */
  async #load(id: string, form: Shown): Promise<Blob> {
    if (form === "thumb") {
      for (const waitMs of THUMB_WAITS_MS) {
        const blob = await this.#api.assets.readLight(this.#room, id, form, THUMB_MOST_BYTES);
        if (blob) return blob;
        await new Promise((resolve) => setTimeout(resolve, waitMs));
      }
    }
    return this.#api.assets.read(this.#room, id, form === "full" ? undefined : form);
  }

  /** On the shelf and not on the server. */
  async #waiting(id: string): Promise<Blob | null> {
    const kept = await this.#shelf.find(this.#room, id);
    return kept && !kept.uploaded ? kept.blob : null;
  }

  async #fromSource(source: Blob, form: Shown): Promise<Picture> {
    if (form !== "full") {
      const preview = await makePreview(source);
      if (preview) return this.#picture(preview, "web");
    }
    return this.#picture(source, "full");
  }

  /** Without the server anything is better than nothing. */
  async #anyForm(id: string): Promise<Picture | null> {
    for (const form of ["full", "web", "thumb"] as const) {
      const kept = await this.#shelf.find(this.#room, form === "full" ? id : `${id}.${form}`);
      if (kept) return this.#picture(kept.blob, form);
    }
    return null;
  }

  async #picture(blob: Blob, form: Shown): Promise<Picture> {
    const url = await toDataUrl(blob);
    // A smaller form says where the whole is: whoever pastes it into another room can fetch it.
    const marked = form === "full" ? url : url.replace(/^(data:[^;,]*)/, `$1;kanvas=${encodeURIComponent(this.#room)}`);
    return { dataURL: marked as DataURL, form };
  }
}
