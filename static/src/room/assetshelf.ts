/**
 * Files in this browser: those that wait for their upload, and pictures already seen, for work without a network.
 *
 * One database per user. Every method is best effort: where IndexedDB is forbidden nothing is kept, and nothing breaks.
 */
import type { ExcalidrawElement } from "@excalidraw/excalidraw/element/types";
import type { Box } from "../assets/placement";
import { keptAssetsName, registerDatabase } from "./caches";

const STORE = "assets";
/** Seen images beyond this many bytes push out the ones used longest ago. */
const KEEP_BYTES = 200 * 1024 * 1024;

/** A picture's element as it was inserted, or the place of a card that is made when the upload has ended. */
export type Placement = { readonly element: ExcalidrawElement } | { readonly box: Box };

export interface KeptAsset {
  /** SHA-256 of the file; of a smaller form of a picture: that, a dot, and the form's name. */
  readonly id: string;
  readonly room: string;
  readonly blob: Blob;
  /** Of the blob: a page that ends while a browser writes may leave less. */
  readonly bytes?: number;
  /** False until the server has it. */
  readonly uploaded: boolean;
  /** The server's no: it is not sent again, but still shown here. */
  readonly refused?: boolean;
  readonly filename?: string;
  readonly contentType?: string;
  /** Where it goes on the canvas: what an upload needs to end well after a reload. */
  readonly placement?: Placement;
  readonly usedAt: number;
}

function settle<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error("IndexedDB failed"));
  });
}

export class AssetShelf {
  readonly #db: Promise<IDBDatabase | null>;

  constructor(user: string) {
    this.#db = this.#open(keptAssetsName(user));
  }

  #open(name: string): Promise<IDBDatabase | null> {
    return new Promise((resolve) => {
      try {
        const request = indexedDB.open(name, 1);
        request.onupgradeneeded = () => {
          const store = request.result.createObjectStore(STORE, { keyPath: ["room", "id"] });
          store.createIndex("usedAt", "usedAt");
        };
        request.onsuccess = () => {
          const db = request.result;
          db.onversionchange = () => db.close();
          registerDatabase(name);
          resolve(db);
        };
        request.onerror = () => resolve(null);
      } catch {
        resolve(null);
      }
    });
  }

  async #store(mode: IDBTransactionMode): Promise<IDBObjectStore | null> {
    try {
      return (await this.#db)?.transaction(STORE, mode).objectStore(STORE) ?? null;
    } catch {
      return null; // Closed by a sign-out in another tab.
    }
  }

  /** True when it is kept. */
  async put(asset: Omit<KeptAsset, "usedAt">): Promise<boolean> {
    const store = await this.#store("readwrite");
    if (!store) return false;
    return settle(store.put({ ...asset, bytes: asset.blob.size, usedAt: Date.now() })).then(
      () => true,
      () => false,
    );
  }

  async find(room: string, id: string): Promise<KeptAsset | null> {
    const store = await this.#store("readonly");
    if (!store) return null;
    const kept = (await settle(store.get([room, id])).catch(() => undefined)) as KeptAsset | undefined;
    if (!kept || (kept.bytes !== undefined && kept.bytes !== kept.blob.size)) return null;
    return kept;
  }

  async listWaiting(room: string): Promise<KeptAsset[]> {
    const store = await this.#store("readonly");
    if (!store) return [];
    const all = (await settle(store.getAll()).catch(() => [])) as KeptAsset[];
    return all.filter((asset) => asset.room === room && !asset.uploaded && !asset.refused);
  }

  async remove(room: string, id: string): Promise<void> {
    const store = await this.#store("readwrite");
    if (store) await settle(store.delete([room, id])).catch(() => undefined);
  }

  /** The same file as any room of this person has it. */
  async findAnywhere(id: string): Promise<KeptAsset | null> {
    const store = await this.#store("readonly");
    if (!store) return null;
    const all = (await settle(store.getAll()).catch(() => [])) as KeptAsset[];
    return all.find((asset) => asset.id === id) ?? null;
  }

  /** Drops the longest unused of those the server has, until the rest fits. */
  async trim(): Promise<void> {
    const store = await this.#store("readwrite");
    if (!store) return;
    let total = 0;
    await new Promise<void>((resolve) => {
      const request = store.index("usedAt").openCursor(null, "prev");
      request.onerror = () => resolve();
      request.onsuccess = () => {
        const cursor = request.result;
        if (!cursor) {
          resolve();
          return;
        }
        const asset = cursor.value as KeptAsset;
        total += asset.blob.size;
        if (total > KEEP_BYTES && asset.uploaded) cursor.delete();
        cursor.continue();
      };
    });
  }

  async close(): Promise<void> {
    (await this.#db)?.close();
  }
}
