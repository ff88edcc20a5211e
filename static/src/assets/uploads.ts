/**
 * The uploads of one room: at most three at once, tried again while the server can't be reached, cancelled when told.
 *
 * Owns the queue, the waits, and what is shown of it. Does not own the steps of one attempt (delivery.ts), what may follow
 * what (progress.ts), or what becomes of the file (the listener). A file is known by its SHA-256: adding it twice while
 * it is under way is one upload.
 */
import { ApiError, waitWords, wordsFor } from "../api/errors";
import type { Asset } from "../api/assets";
import type { Kind } from "./kinds";
import { deliver, isFinal, waitMs, type Delivery, type DeliveryTools } from "./delivery";
import { isUnderWay, queued, step, type UploadEvent, type UploadState } from "./progress";

const AT_ONCE = 3;
/** A finished one stays to be seen for so long. */
const SHOWN_MS = 2_500;

export interface NewUpload {
  readonly sha256: string;
  readonly filename: string;
  readonly contentType: string;
  readonly file: Blob;
  readonly kind: Kind;
}

/** One upload as it is now; a new object after each change. */
export interface UploadView extends NewUpload {
  readonly state: UploadState;
}

export interface UploadListener {
  stored(upload: UploadView, asset: Asset): void;
  /** The server can't be reached or has no time: it is tried again by itself. */
  lost(upload: UploadView): void;
  refused(upload: UploadView, error: unknown): void;
  cancelled(upload: UploadView): void;
}

export interface UploadTools extends DeliveryTools {
  readonly api: DeliveryTools["api"] & { cancel(room: string, id: string): Promise<void> };
}

interface Running {
  readonly abort: AbortController;
  /** The server's name for it, once there is one. */
  id: string | null;
}

export class Uploads {
  readonly #room: string;
  readonly #tools: UploadTools;
  readonly #listener: UploadListener;
  readonly #subscribers = new Set<() => void>();
  readonly #running = new Map<string, Running>();
  readonly #timers = new Map<string, ReturnType<typeof setTimeout>>();
  readonly #tries = new Map<string, number>();
  #list: readonly UploadView[] = [];
  #closed = false;

  constructor(room: string, tools: UploadTools, listener: UploadListener) {
    this.#room = room;
    this.#tools = tools;
    this.#listener = listener;
  }

  readonly list = (): readonly UploadView[] => this.#list;

  readonly subscribe = (subscriber: () => void): (() => void) => {
    this.#subscribers.add(subscriber);
    return () => this.#subscribers.delete(subscriber);
  };

  find(sha256: string): UploadView | undefined {
    return this.#list.find((upload) => upload.sha256 === sha256);
  }

  /** Begins, or begins anew after a cancel or a refusal; one under way goes on. */
  add(upload: NewUpload): void {
    if (this.#closed) return;
    const known = this.find(upload.sha256);
    if (known && isUnderWay(known.state)) return;
    clearTimeout(this.#timers.get(upload.sha256));
    this.#tries.delete(upload.sha256);
    const others = this.#list.filter((other) => other !== known);
    this.#set([...others, { ...upload, state: queued(upload.file.size) }]);
    this.#pump();
  }

  /** Stops it for good, here and on the server. */
  cancel(sha256: string): void {
    const upload = this.find(sha256);
    if (!upload || !isUnderWay(upload.state)) return;
    const cancelled = this.#step(sha256, { type: "cancelled" });
    this.#drop(sha256);
    const running = this.#running.get(sha256);
    running?.abort.abort();
    if (running?.id) void this.#tools.api.cancel(this.#room, running.id).catch(() => undefined); // Swept in time, anyway.
    if (cancelled) this.#listener.cancelled(cancelled);
  }

  /** After a refusal. */
  again(sha256: string): void {
    if (this.#step(sha256, { type: "again" })?.state.phase !== "queued") return;
    this.#tries.delete(sha256);
    this.#pump();
  }

  /** Takes a refused one off the list. */
  dismiss(sha256: string): void {
    const upload = this.find(sha256);
    if (upload && !isUnderWay(upload.state)) this.#drop(sha256);
  }

  /** The network is back: nothing waits any longer. */
  readonly hurry = (): void => {
    for (const { sha256, state } of this.#list) if (state.phase === "waiting") this.#due(sha256);
  };

  /** Stops everything; what is unfinished is left on the server, to go on with another time. */
  close(): void {
    this.#closed = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    for (const { abort } of this.#running.values()) abort.abort();
  }

  #pump(): void {
    for (const upload of this.#list) {
      if (this.#closed || this.#running.size >= AT_ONCE) return;
      if (upload.state.phase === "queued" && !this.#running.has(upload.sha256)) void this.#run(upload);
    }
  }

  async #run(upload: UploadView): Promise<void> {
    const { sha256 } = upload;
    const running: Running = { abort: new AbortController(), id: null };
    this.#running.set(sha256, running);
    this.#step(sha256, { type: "started" });
    const delivery: Delivery = { room: this.#room, ...upload };
    let moved = false;
    try {
      const asset = await deliver(
        delivery,
        this.#tools,
        {
          began: (id) => (running.id = id),
          progress: (sentBytes) => {
            moved ||= sentBytes > upload.state.sentBytes;
            if (!running.abort.signal.aborted) this.#step(sha256, { type: "progress", sentBytes });
          },
          sent: () => void (running.abort.signal.aborted || this.#step(sha256, { type: "sent" })),
        },
        running.abort.signal,
      );
      this.#running.delete(sha256);
      if (!running.abort.signal.aborted) this.#end(sha256, asset);
    } catch (error) {
      this.#running.delete(sha256);
      if (!running.abort.signal.aborted) this.#failed(sha256, error, moved);
    }
    this.#pump();
  }

  #end(sha256: string, asset: Asset): void {
    const done = this.#step(sha256, { type: "stored" });
    if (done?.state.phase !== "done") return;
    this.#timers.set(sha256, setTimeout(() => this.#drop(sha256), SHOWN_MS));
    this.#listener.stored(done, asset);
  }

  #failed(sha256: string, error: unknown, moved: boolean): void {
    if (isFinal(error)) {
      const refused = this.#step(sha256, { type: "refused", words: refusalWords(error) });
      if (refused) this.#listener.refused(refused, error);
      return;
    }
    const tries = (moved ? 0 : (this.#tries.get(sha256) ?? 0)) + 1;
    this.#tries.set(sha256, tries);
    const waiting = this.#step(sha256, { type: "lost", words: waitingWords(error) });
    this.#timers.set(sha256, setTimeout(() => this.#due(sha256), waitMs(tries, Math.random(), error)));
    if (waiting) this.#listener.lost(waiting);
  }

  #due(sha256: string): void {
    clearTimeout(this.#timers.get(sha256));
    this.#step(sha256, { type: "due" });
    this.#pump();
  }

  #step(sha256: string, event: UploadEvent): UploadView | undefined {
    const upload = this.find(sha256);
    if (!upload) return undefined;
    const state = step(upload.state, event);
    if (state === upload.state) return upload;
    const next = { ...upload, state };
    this.#set(this.#list.map((other) => (other === upload ? next : other)));
    return next;
  }

  #drop(sha256: string): void {
    clearTimeout(this.#timers.get(sha256));
    this.#timers.delete(sha256);
    this.#set(this.#list.filter((upload) => upload.sha256 !== sha256));
  }

  #set(list: readonly UploadView[]): void {
    this.#list = list;
    for (const subscriber of this.#subscribers) subscriber();
  }
}

/** The server's own words; they name the file's fault. */
export function refusalWords(error: unknown): string {
  return error instanceof ApiError && error.kind === "problem" ? error.message : wordsFor(error).detail;
}

function waitingWords(error: unknown): string {
  if (error instanceof ApiError && error.status === 401) return "Waits for you to sign in again";
  if (error instanceof ApiError && error.status === 429) return `Too many at once; tried again in ${waitWords(error.retryAfterS)}`;
  if (error instanceof ApiError && error.kind === "problem") return "The server is busy; tried again soon";
  return "Waits for the connection";
}
