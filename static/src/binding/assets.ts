/**
 * The bytes of images: an image is committed only when its bytes are stored, and shown when they are here.
 *
 * Owns hashing, retries and what is known to be stored. Does not own: HTTP (the app's AssetStore), image elements
 * (scribe.ts). Source: API contract: an asset's id is the lower-case hex SHA-256 of its bytes.
 */
import type { BinaryFileData, DataURL } from "@excalidraw/excalidraw/types";
import type { Clock } from "./clock";
import { decodeDataUrl, encodeDataUrl, mimeOf, sha256 } from "./digest";

/** Given by the app. `fileId` is the lower-case hex SHA-256 of the bytes, which is the asset's id. */
export interface AssetStore {
  /** Stores the bytes for good; resolves only when the server has them. Rejects when it can't (it is tried again). */
  upload(fileId: string, blob: Blob): Promise<void>;
  /**
   * Of a file the app sends by itself: a promise that resolves once the bytes are stored, and never rejects. Null for
   * any other: its bytes come from the editor.
   */
  settled?(fileId: string): Promise<void> | null;
  /** The whole file, when the editor has only a smaller form of it (an image pasted from another room). */
  original?(file: BinaryFileData): Promise<Blob | null>;
  /** The bytes as a data URL, or null when there are none (yet). */
  fetch(fileId: string): Promise<DataURL | null>;
}

export interface AssetEvents {
  /** A file Excalidraw named otherwise than its bytes: it goes on under the asset's id. */
  renamed(fileId: string, assetId: string, file: BinaryFileData): void;
  /** The bytes are on the server: images that waited for them may be committed. */
  stored(assetId: string): void;
  /** Bytes of a remote image came. */
  fetched(file: BinaryFileData): void;
  /** How many uploads wait, and why the last one failed (null: it didn't). */
  progress(waiting: number, error: unknown): void;
}

const FIRST_RETRY_MS = 1000;
const LAST_RETRY_MS = 30_000;
/** After some four minutes a missing file is given up until the page is loaded again. */
const MAX_FETCHES = 12;

export class Assets {
  readonly #store: AssetStore;
  readonly #clock: Clock;
  readonly #events: AssetEvents;
  readonly #stored = new Set<string>();
  readonly #names = new Map<string, string>();
  readonly #uploading = new Set<string>();
  readonly #claimed = new Set<string>();
  readonly #fetching = new Set<string>();
  readonly #timers = new Set<() => void>();
  #closed = false;

  constructor(store: AssetStore, clock: Clock, events: AssetEvents) {
    this.#store = store;
    this.#clock = clock;
    this.#events = events;
  }

  /** True when the server has the bytes. */
  isStored(fileId: string): boolean {
    return this.#stored.has(fileId);
  }

  /** The document names this asset, so its bytes are stored. */
  know(assetId: string): void {
    this.#stored.add(assetId);
  }

  /** Uploads a file of the editor unless that is done or under way. */
  offer(file: BinaryFileData): void {
    const name = this.#names.get(file.id);
    if (name !== undefined && name !== file.id) return this.#events.renamed(file.id, name, file);
    if (this.#stored.has(file.id) || this.#uploading.has(file.id)) return;
    this.#uploading.add(file.id);
    void this.#upload(file);
  }

  /** True when the app takes care of the file (or it is stored): what the editor has of it is not to be sent. */
  isClaimed(fileId: string): boolean {
    if (this.#stored.has(fileId) || this.#claimed.has(fileId)) return true;
    const settled = this.#store.settled?.(fileId) ?? null;
    if (!settled) return false;
    this.#claimed.add(fileId);
    void settled.then(() => {
      this.#stored.add(fileId);
      this.#claimed.delete(fileId);
      if (!this.#closed) this.#events.stored(fileId);
    });
    return true;
  }

  /** Fetches the bytes of an image unless that is under way. */
  want(assetId: string): void {
    if (this.#fetching.has(assetId)) return;
    this.#fetching.add(assetId);
    void this.#fetch(assetId, 1);
  }

  /** Stops all retries. */
  close(): void {
    this.#closed = true;
    for (const cancel of this.#timers) cancel();
    this.#timers.clear();
  }

  async #upload(file: BinaryFileData, attempt = 1): Promise<void> {
    let failure: unknown = null;
    try {
      let bytes = decodeDataUrl(file.dataURL);
      let assetId = await sha256(bytes);
      if (assetId !== file.id) {
        const whole = (await this.#store.original?.(file)) ?? null;
        if (whole) {
          bytes = new Uint8Array(await whole.arrayBuffer());
          assetId = await sha256(bytes);
          file = { ...file, dataURL: encodeDataUrl(bytes, whole.type || mimeOf(file.dataURL)) as DataURL };
        }
      }
      this.#names.set(file.id, assetId);
      if (assetId !== file.id) {
        this.#uploading.delete(file.id);
        if (!this.#closed) this.#events.renamed(file.id, assetId, file);
        return;
      }
      this.#report(null);
      await this.#store.upload(assetId, new Blob([bytes], { type: mimeOf(file.dataURL) }));
      this.#stored.add(assetId);
      this.#uploading.delete(assetId);
      if (!this.#closed) this.#events.stored(assetId);
    } catch (error) {
      failure = error;
      this.#later(attempt, () => void this.#upload(file, attempt + 1));
    }
    this.#report(failure);
  }

  async #fetch(assetId: string, attempt: number): Promise<void> {
    let dataURL: DataURL | null = null;
    try {
      dataURL = await this.#store.fetch(assetId);
    } catch {
      // The network, most likely: the next attempt tells.
    }
    if (this.#closed) return;
    if (dataURL !== null) {
      const file = { id: assetId, dataURL, mimeType: mimeOf(dataURL), created: Date.now(), lastRetrieved: Date.now() };
      this.#fetching.delete(assetId);
      this.#events.fetched(file as BinaryFileData);
    } else if (attempt < MAX_FETCHES) this.#later(attempt, () => void this.#fetch(assetId, attempt + 1));
  }

  #later(attempt: number, work: () => void): void {
    if (this.#closed) return;
    const waitMs = Math.min(FIRST_RETRY_MS * 2 ** (attempt - 1), LAST_RETRY_MS) * (0.75 + Math.random() / 2);
    const cancel = this.#clock.after(waitMs, () => {
      this.#timers.delete(cancel);
      work();
    });
    this.#timers.add(cancel);
  }

  #report(error: unknown): void {
    if (!this.#closed) this.#events.progress(this.#uploading.size, error);
  }
}
