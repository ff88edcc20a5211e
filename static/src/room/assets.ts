/**
 * The images of one room: to the server, and back onto the canvas.
 *
 * Owns: HTTP, the copy in this browser, and uploads that outlive a lost connection and a reload. Does not own: which
 * image is wanted or committed when (the binding), or limits (Excalidraw's and the server's).
 * Rule: an image counts as stored when the server has it, or, while the server can't be reached, when this browser
 * keeps it and will deliver it; so work without a network loses no image.
 */
import type { DataURL } from "@excalidraw/excalidraw/types";
import type { Api } from "../api/client";
import { ApiError, wordsFor } from "../api/errors";
import type { AssetStore } from "../binding";
import { AssetShelf } from "./assetshelf";
import { sha256, toDataUrl } from "./bytes";

const RETRY_FIRST_MS = 1_000;
const RETRY_LAST_MS = 60_000;

export class Assets implements AssetStore {
  readonly #api: Api;
  readonly #room: string;
  readonly #shelf: AssetShelf;
  readonly #complain: (words: string) => void;
  /** Under way in the background; the value ends the wait before its next try. */
  readonly #delivering = new Map<string, () => void>();
  /** What the server will never take, so that it is asked, and the person told, once. */
  readonly #refused = new Map<string, unknown>();
  #closed = false;

  constructor(options: { api: Api; room: string; user: string; complain: (words: string) => void }) {
    this.#api = options.api;
    this.#room = options.room;
    this.#shelf = new AssetShelf(options.user);
    this.#complain = options.complain;
    window.addEventListener("online", this.#hurry);
    void this.#resume();
  }

  /** For Excalidraw's `generateIdForFile`: the id the bytes have as an asset. */
  readonly idFor = async (file: File): Promise<string> => sha256(new Uint8Array(await file.arrayBuffer()));

  async upload(id: string, blob: Blob): Promise<void> {
    if (this.#refused.has(id)) throw this.#refused.get(id);
    if (this.#delivering.has(id)) return;
    const kept = await this.#shelf.find(this.#room, id);
    if (kept?.uploaded) return;
    try {
      await this.#send(id, blob);
    } catch (error) {
      if (this.#isFinal(error)) throw error;
      if (!(await this.#shelf.put({ id, room: this.#room, blob, uploaded: false }))) throw error;
      void this.#deliver(id, blob);
    }
  }

  async fetch(id: string): Promise<DataURL | null> {
    const kept = await this.#shelf.find(this.#room, id);
    if (kept) return (await toDataUrl(kept.blob)) as DataURL;
    try {
      const blob = await this.#api.fetchAsset(this.#room, id);
      await this.#shelf.put({ id, room: this.#room, blob, uploaded: true });
      return (await toDataUrl(blob)) as DataURL;
    } catch (error) {
      // Its author may be offline and still have to deliver it.
      if (error instanceof ApiError && error.status === 404) return null;
      throw error;
    }
  }

  close(): void {
    this.#closed = true;
    window.removeEventListener("online", this.#hurry);
    this.#hurry();
    void this.#shelf.trim().finally(() => void this.#shelf.close());
  }

  async #send(id: string, blob: Blob): Promise<void> {
    try {
      await this.#api.uploadAsset(this.#room, id, blob);
      await this.#shelf.put({ id, room: this.#room, blob, uploaded: true });
    } catch (error) {
      if (this.#isFinal(error)) {
        this.#refused.set(id, error);
        this.#complain(`An image could not be shared: ${wordsFor(error).detail}`);
      }
      throw error;
    }
  }

  #isFinal(error: unknown): boolean {
    return error instanceof ApiError && !error.unreachable && ![401, 429, 500].includes(error.status);
  }

  /** What an earlier page kept here and could not deliver. */
  async #resume(): Promise<void> {
    for (const { id, blob } of await this.#shelf.listWaiting(this.#room)) {
      if (!this.#closed && !this.#delivering.has(id)) void this.#deliver(id, blob);
    }
  }

  async #deliver(id: string, blob: Blob): Promise<void> {
    this.#delivering.set(id, () => undefined);
    for (let tries = 0; !this.#closed; tries += 1) {
      try {
        await this.#send(id, blob);
        break;
      } catch (error) {
        if (this.#isFinal(error)) break;
      }
      const waitMs = Math.min(RETRY_LAST_MS, RETRY_FIRST_MS * 2 ** tries) * (0.75 + Math.random() / 2);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, waitMs);
        this.#delivering.set(id, () => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
    this.#delivering.delete(id);
  }

  /** The network is back, or the room is left: nothing waits for its turn any longer. */
  readonly #hurry = (): void => {
    for (const wake of this.#delivering.values()) wake();
  };
}
