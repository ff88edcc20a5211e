/**
 * The saved indicator's truth: watches one provider's socket frames and one document's own changes.
 *
 * Owns the wrapping of the provider's sync handler and the status. Does not own: the arithmetic (durable.ts), the
 * words shown. Source: CLIENT.md "Saved"; y-protocols/sync.js (message types).
 */
import * as decoding from "lib0/decoding";
import * as Y from "yjs";
import type { WebsocketProvider } from "y-websocket";
import { Durable, type Range } from "./durable";

export interface SavedStatus {
  /** saved: the server echoed every local edit after its commit. saving: an echo is outstanding. offline: no connection. */
  kind: "saved" | "saving" | "offline";
  /** Own transactions of this page without an echo. */
  waiting: number;
  /** True while edits brought back from this browser's copy are not confirmed: then `waiting` may be short. */
  unconfirmed: boolean;
}

const SYNC = 0;
const STEP_1 = 0;
const STEP_2 = 1;
const UPDATE = 2;

type SyncHandler = WebsocketProvider["messageHandlers"][number];

/** Create it before `connect()` and before IndexedDB loads, so that it misses nothing. */
export class Saved {
  readonly #provider: WebsocketProvider;
  readonly #doc: Y.Doc;
  readonly #durable = new Durable();
  readonly #listeners = new Set<(status: SavedStatus) => void>();
  readonly #inner: SyncHandler;
  #everClosed = false;
  #status: SavedStatus = { kind: "saving", waiting: 0, unconfirmed: false };

  constructor(provider: WebsocketProvider) {
    this.#provider = provider;
    this.#doc = provider.doc;
    this.#inner = provider.messageHandlers[SYNC]!;
    provider.messageHandlers[SYNC] = (encoder, decoder, of, fromSocket, type) => {
      // Only socket frames come from the server; its word goes first, so that its own structs never look unsaved.
      if (fromSocket) this.#read(decoder);
      this.#inner(encoder, decoder, of, fromSocket, type);
      this.#publish();
    };
    this.#doc.on("afterTransaction", this.#onTransaction);
    provider.on("status", this.#publish);
    provider.on("sync", this.#publish);
    provider.on("connection-close", this.#onClose);
    // What the document already holds came from elsewhere than this page.
    const held = Y.encodeStateAsUpdate(this.#doc);
    this.#durable.change(Y.parseUpdateMeta(held).to, rangesOf(Y.decodeUpdate(held).ds), true);
    this.#publish();
  }

  get status(): SavedStatus {
    return this.#status;
  }

  /** True when the server had said that it has this struct, before the message it sent last. */
  wasDurable(client: number, clock: number): boolean {
    return this.#durable.wasDurable(client, clock);
  }

  /**
   * Call it before the room's base is applied, which the server has committed whole, from clock 0 on.
   *
   * Until the socket speaks nothing else is known to be durable: what the base removed would look like edits of mine
   * that were never saved, and deleted shapes would come back.
   */
  confirmBase(update: Uint8Array): void {
    const extent = Y.parseUpdateMeta(update);
    this.#durable.confirmState(extent.to);
    this.#durable.confirmUpdate(extent, this.#durable.hasOpenDeletes ? rangesOf(Y.decodeUpdate(update).ds) : new Map());
  }

  /** Calls back at once and after each change; the answer unsubscribes. */
  subscribe(listener: (status: SavedStatus) => void): () => void {
    this.#listeners.add(listener);
    listener(this.#status);
    return () => this.#listeners.delete(listener);
  }

  /** Lets go of the provider; the status stays as it is. */
  destroy(): void {
    this.#provider.messageHandlers[SYNC] = this.#inner;
    this.#doc.off("afterTransaction", this.#onTransaction);
    this.#provider.off("status", this.#publish);
    this.#provider.off("sync", this.#publish);
    this.#provider.off("connection-close", this.#onClose);
    this.#listeners.clear();
  }

  readonly #onClose = () => {
    this.#everClosed = true;
    this.#publish();
  };

  readonly #onTransaction = (transaction: Y.Transaction) => {
    if (transaction.origin === this.#provider) return;
    const clocks = new Map<number, number>();
    for (const [client, clock] of transaction.afterState) {
      if ((transaction.beforeState.get(client) ?? 0) !== clock) clocks.set(client, clock);
    }
    const deletes = rangesOf(transaction.deleteSet);
    if (clocks.size === 0 && deletes.size === 0) return;
    this.#durable.change(clocks, deletes, !transaction.local);
    this.#publish();
  };

  /** Looks at a sync message without taking it: the decoder is put back to where it was. */
  #read(decoder: decoding.Decoder): void {
    const start = decoder.pos;
    try {
      const type = decoding.readVarUint(decoder);
      const payload = decoding.readVarUint8Array(decoder);
      if (type === STEP_1) this.#durable.confirmState(Y.decodeStateVector(payload));
      else if (type === STEP_2 || type === UPDATE) {
        const deletes = this.#durable.hasOpenDeletes ? rangesOf(Y.decodeUpdate(payload).ds) : new Map();
        this.#durable.confirmUpdate(Y.parseUpdateMeta(payload), deletes);
      }
    } finally {
      decoder.pos = start;
    }
  }

  readonly #publish = () => {
    const next = this.#look();
    const last = this.#status;
    if (next.kind === last.kind && next.waiting === last.waiting && next.unconfirmed === last.unconfirmed) return;
    this.#status = next;
    for (const listener of this.#listeners) listener(next);
  };

  #look(): SavedStatus {
    const waiting = this.#durable.waiting;
    const unconfirmed = this.#durable.isUnconfirmed;
    // The first attempt of a page is not "offline" yet.
    const offline = !this.#provider.wsconnected && (this.#everClosed || !this.#provider.shouldConnect);
    if (offline) return { kind: "offline", waiting, unconfirmed };
    const saved = this.#provider.synced && this.#durable.isSaved;
    return { kind: saved ? "saved" : "saving", waiting, unconfirmed };
  }
}

function rangesOf(deletes: { clients: Map<number, readonly { clock: number; len: number }[]> }): Map<number, Range[]> {
  const ranges = new Map<number, Range[]>();
  for (const [client, items] of deletes.clients) {
    ranges.set(client, items.map(({ clock, len }) => ({ clock, length: len })));
  }
  return ranges;
}
