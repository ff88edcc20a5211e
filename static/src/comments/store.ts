/**
 * A room's threads, as far as this page knows them.
 *
 * Owns: the order of the room's changes: what is told, what is answered and what is fetched come together here, and a
 * gap is fetched. Does not own: addresses (api/comments.ts), the connection (room/roomsession.ts tells what it heard,
 * and when to look again). Keeps rules X2, X4, X6: what is told may be lost, the server's revision is the truth.
 */
import type { CommentApi, Place, SharedThread, Thread, Words } from "../api/comments";
import { ApiError, wordsFor, type Words as Sentence } from "../api/errors";
import type { Person } from "../api/types";
import { Drafts } from "./drafts";
import { isUnread, readEvent } from "./threads";

/** After this everything is fetched anew: the server forgets what was removed long ago. */
const WHOLE_MS = 12 * 3600_000;
/** Everybody in the room learns of a gap at once; they ask one after the other. */
const SPREAD_MS = 1_000;

export interface CommentsState {
  readonly stage: "loading" | "ready" | "failed";
  readonly words: Sentence | null;
  /** In the order they began. */
  readonly threads: readonly Thread[];
  /** Open threads others wrote in since I looked. */
  readonly unread: number;
  /** What came just now, for those who don't see it. */
  readonly news: string;
}

export class CommentStore {
  readonly drafts = new Drafts();
  readonly #api: CommentApi;
  readonly #room: string;
  readonly #me: string;
  readonly #threads = new Map<string, Thread>();
  readonly #listeners = new Set<() => void>();
  #state: CommentsState = { stage: "loading", words: null, threads: [], unread: 0, news: "" };
  #revision = 0;
  #wholeAt = 0;
  #fetching: Promise<void> | null = null;
  #again = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  constructor(options: { api: CommentApi; room: string; me: string }) {
    this.#api = options.api;
    this.#room = options.room;
    this.#me = options.me;
  }

  readonly state = (): CommentsState => this.#state;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Fetches what changed; what fails here is no news unless nothing is known yet. Never throws. */
  async refresh(): Promise<void> {
    if (this.#fetching) {
      this.#again = true;
      return this.#fetching;
    }
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#fetching = this.#fetch().finally(() => {
      this.#fetching = null;
      if (!this.#again || this.#closed) return;
      this.#again = false;
      void this.refresh();
    });
    return this.#fetching;
  }

  async #fetch(): Promise<void> {
    const whole = Date.now() - this.#wholeAt > WHOLE_MS;
    const since = whole ? 0 : this.#revision;
    const seen = new Set<string>();
    let cursor: string | null = null;
    try {
      for (;;) {
        const page = await this.#api.list(this.#room, { since, cursor });
        if (this.#closed) return;
        for (const thread of page.items) {
          seen.add(thread.id);
          this.#put(thread, thread.read_at);
        }
        cursor = page.next_cursor;
        if (cursor !== null) continue;
        // What was told while pages came is not below this; a thread of a page nobody told of since is gone.
        if (whole) for (const [id, thread] of this.#threads) if (!seen.has(id) && thread.revision <= page.revision) this.#threads.delete(id);
        if (whole) this.#wholeAt = Date.now();
        this.#revision = Math.max(this.#revision, page.revision);
        break;
      }
      this.#show({ stage: "ready", words: null });
    } catch (error) {
      if (!this.#closed) this.#show(this.#state.stage === "ready" ? {} : { stage: "failed", words: wordsFor(error) });
    }
  }

  /** Something the server told beside the document. */
  hear(told: unknown): void {
    const event = readEvent(told);
    if (!event) return;
    if (event.thread) {
      const known = this.#threads.get(event.thread.id);
      const last = event.thread.comments.at(-1);
      const isNew = last && last.author.id !== this.#me && event.thread.comments.length > (known?.comments.length ?? 0);
      this.#put(event.thread, known?.read_at ?? null);
      this.#show(isNew ? { news: `${last.author.name} commented: ${last.body.slice(0, 100)}` } : {});
    }
    this.#advance(event.revision, event.thread !== null);
  }

  /** The room is at this revision now, and what changed with it is known here or not. */
  #advance(revision: number, isKnown: boolean): void {
    if (revision <= this.#revision) return;
    if (isKnown && revision === this.#revision + 1) this.#revision = revision;
    else this.#timer ??= setTimeout(() => void this.refresh(), Math.random() * SPREAD_MS);
  }

  #put(thread: SharedThread, readAt: string | null): void {
    const known = this.#threads.get(thread.id);
    if (known && known.revision > thread.revision) return;
    if (thread.is_deleted) this.#threads.delete(thread.id);
    else this.#threads.set(thread.id, { ...thread, read_at: readAt });
  }

  #show(change: Partial<CommentsState>): void {
    const threads = [...this.#threads.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
    const unread = threads.filter((one) => one.resolved_at === null && isUnread(one, this.#me)).length;
    this.#state = { ...this.#state, ...change, threads, unread };
    for (const listener of this.#listeners) listener();
  }

  #answered(thread: Thread): Thread {
    this.#put(thread, thread.read_at);
    this.#show({});
    this.#advance(thread.revision, true);
    return thread;
  }

  // What I do: each throws ApiError.

  async begin(place: Place, words: Words, key: string): Promise<Thread> {
    return this.#answered(await this.#api.begin(this.#room, place, words, key));
  }

  async reply(thread: string, words: Words, key: string): Promise<Thread> {
    return this.#answered(await this.#api.reply(this.#room, thread, words, key));
  }

  async resolve(thread: string, resolved: boolean): Promise<Thread> {
    return this.#answered(await this.#api.resolve(this.#room, thread, resolved));
  }

  async edit(thread: string, comment: string, words: Words): Promise<Thread> {
    return this.#answered(await this.#api.edit(this.#room, thread, comment, words));
  }

  async remove(thread: string, comment: string): Promise<void> {
    await this.#api.remove(this.#room, thread, comment);
    await this.refresh();
  }

  async removeThread(thread: string): Promise<void> {
    await this.#api.removeThread(this.#room, thread);
    await this.refresh();
  }

  people(q: string): Promise<readonly Person[]> {
    return this.#api.people(this.#room, q);
  }

  /** I see it to its end. What fails is said again when I look at it again. */
  async markRead(id: string): Promise<void> {
    const thread = this.#threads.get(id);
    const last = thread?.comments.at(-1);
    if (!thread || !last || !isUnread(thread, this.#me)) return;
    this.#threads.set(id, { ...thread, read_at: last.created_at });
    this.#show({});
    try {
      await this.#api.read(this.#room, id, last.id);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      const now = this.#threads.get(id);
      if (now?.read_at !== last.created_at || this.#closed) return;
      this.#threads.set(id, { ...now, read_at: thread.read_at });
      this.#show({});
    }
  }

  destroy(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#listeners.clear();
  }
}
