/**
 * One room, open in this page: its document, its connection, its copy in this browser.
 *
 * Owns: the order in which things start (document, saved tracking, browser copy, connection), renewal of the token,
 * what a close means, and the end. Does not own: the editor (Editor.tsx attaches it), or what is drawn.
 * Rules: starts without a network from the browser's copy; another epoch is dropped; a refusal keeps the copy until
 * the person has decided. Source: CLIENT.md, "Connection, identity, caches".
 */
import { IndexeddbPersistence } from "y-indexeddb";
import { WebsocketProvider } from "y-websocket";
import * as Y from "yjs";
import type { Progress } from "../api/base";
import { ApiError, wordsFor, type Words } from "../api/errors";
import type { Room } from "../api/types";
import { type Binding, Losses, Saved, sendOwnAwarenessOnly } from "../binding";
import { CommentStore } from "../comments/store";
import type { Identity } from "../identity/session";
import { tellsOfPeople } from "../share/news";
import { can, changeWords, withRole } from "../share/roles";
import { Assets } from "./assets";
import { hearBeside } from "./beside";
import { clearRoom, dropOtherEpochs, forgetHead, keepHead, keptHead, keptName, registerDatabase } from "./caches";
import { hearNotices, readFreeze } from "./notices";
import { bePatient } from "./patience";
import { giveUpUnanswered, heedRestarts } from "./retry";
import { hearSignals, sendToken, stepAtEnd, type Signal } from "./signal";
import { Viewing } from "./viewing";
import { ONLY_LOOKING, type Link, type Refusal } from "./words";

/** A sign-in that ends within this is worth a word. */
const LAST_WORDS_S = 60;
/** With a copy here, the server gets this long to say whether it is still the right one; later answers still count. */
const HEAD_WAIT_MS = 1_200;
/** IndexedDB can hang (another tab upgrades it, a full disk): the room then opens without its copy. */
const COPY_WAIT_MS = 8_000;
/** For the base's beginning, and between two pieces of it; then the sync brings all. */
const BASE_WAIT_MS = 10_000;
/** With a small copy here nobody waits long before seeing it. */
const SMALL_BASE_WAIT_MS = 1_200;
/** With fewer structs (about a hundred elements) the copy says little of how large the room is now. */
const SMALL_COPY_STRUCTS = 1_000;
/** A page that opens sooner shows no progress. */
const PROGRESS_AFTER_MS = 1_000;
const PROGRESS_EVERY_MS = 100;
const RENEW_RETRY_MS = 5_000;
/**
 * What I drew just before I became a viewer may be on its way back, committed; what is not confirmed after this was
 * not taken.
 */
const VERDICT_MS = 2_500;
const ROLE_ENDED = 4403;
/** The server asks for a fresh client id with this close. */
const FRESH_CLIENT_ID = 4509;

/** What the page needs while the room is open; a new one replaces it when the room is opened anew. */
export interface OpenRoom {
  readonly doc: Y.Doc;
  readonly provider: WebsocketProvider;
  readonly saved: Saved;
  readonly losses: Losses;
  readonly assets: Assets;
  /** Holds back what I draw while I may not. */
  readonly viewing: Viewing;
}

export interface RoomState {
  /** `failed`: nothing to show; `refused`: there is a copy here, and the server takes nothing more. */
  readonly stage: "opening" | "open" | "refused" | "failed";
  readonly room: Room | null;
  readonly open: OpenRoom | null;
  readonly link: Link;
  readonly words: Words | null;
  readonly refusal: Refusal | null;
  /** The operator froze it: what is drawn waits here. */
  readonly frozen: boolean;
  /** Of a large drawing that is on its way while the room opens. */
  readonly progress: Progress | null;
  /** Counts what changed beside the document: people, links, settings. */
  readonly news: number;
}

/** The frame that shows the last change; at once in a page nobody looks at, which draws none. */
const painted = (): Promise<unknown> =>
  Promise.race([wait(100), new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)))]);

const wait = (ms: number): Promise<null> => new Promise((resolve) => setTimeout(() => resolve(null), ms));

export class RoomSession {
  readonly comments: CommentStore;
  readonly #identity: Identity;
  readonly #id: string;
  readonly #user: string;
  readonly #complain: (words: string) => void;
  readonly #tell: (words: string) => void;
  readonly #listeners = new Set<() => void>();
  #state: RoomState = { stage: "opening", room: null, open: null, link: "connecting", words: null, refusal: null, frozen: false, progress: null, news: 0 };
  #persistence: IndexeddbPersistence | null = null;
  #ended: OpenRoom | null = null;
  #binding: Binding | null = null;
  #unsubscribe: () => void = () => undefined;
  #name: string;
  /** The token the open connection stands on, as far as this page knows. */
  #standing: string | null = null;
  #closed = false;
  #fetching: AbortController | null = null;
  #verdict: ReturnType<typeof setTimeout> | undefined;
  /** Raised at each opening; work of an earlier one stops when it sees another number. */
  #opening = 0;

  constructor(options: {
    identity: Identity;
    id: string;
    user: string;
    complain: (words: string) => void;
    tell: (words: string) => void;
  }) {
    this.#identity = options.identity;
    this.#id = options.id;
    this.#user = options.user;
    this.#complain = options.complain;
    this.#tell = options.tell;
    this.#name = options.identity.session?.user.name ?? "";
    this.comments = new CommentStore({ api: options.identity.api.comments, room: options.id, me: options.user });
    this.#unsubscribe = this.#identity.subscribe(this.#onSession);
    window.addEventListener("online", this.#onNetwork);
    window.addEventListener("offline", this.#onNetwork);
    void this.open();
  }

  readonly state = (): RoomState => this.#state;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  #set(change: Partial<RoomState>): void {
    this.#state = { ...this.#state, ...change };
    for (const listener of this.#listeners) listener();
  }

  /** Opens the room, or opens it anew with a fresh document from the copies. */
  async open(): Promise<void> {
    const turn = ++this.#opening;
    this.#letGo();
    this.#set({ stage: "opening", open: null, words: null, refusal: null, frozen: false, progress: null, link: navigator.onLine ? "connecting" : "offline" });

    const kept = keptHead(this.#user, this.#id);
    const head = this.#identity.api.getRoom(this.#id).then(
      (room) => ({ room, error: null }),
      (error: unknown) => ({ room: null, error }),
    );
    const answer = kept ? await Promise.race([head, wait(HEAD_WAIT_MS)]) : await head;
    if (turn !== this.#opening) return;
    if (answer?.room) this.#know(answer.room);
    const room = answer?.room ?? kept;
    if (!room) {
      this.#set({ stage: "failed", words: this.#wordsForHead(answer?.error) });
      return;
    }
    this.#set({ room });
    await this.#start(room, turn, Boolean(answer?.room));
    if (turn !== this.#opening) return;
    if (answer?.error) this.#onHeadError(answer.error);
    else if (!answer) {
      void head.then((late) => {
        if (turn !== this.#opening) return;
        if (!late.room) this.#onHeadError(late.error);
        else if (late.room.epoch !== room.epoch) {
          this.#know(late.room);
          void this.open();
        } else this.#know(late.room);
      });
    }
  }

  #know(room: Room): void {
    const before = this.#state.room;
    keepHead(this.#user, room);
    this.#set({ room });
    void dropOtherEpochs(this.#user, room.id, room.epoch);
    if (before && this.#state.open) this.#onRole(before, room);
  }

  /** The room as another part of the page has it from the server. */
  readonly learn = (room: Room): void => {
    if (!this.#closed && room.id === this.#id) this.#know(room);
  };

  /** True while nothing that happens in this page may reach the document. */
  get #isLooking(): boolean {
    const { room } = this.#state;
    return room !== null && !can(room, "edit");
  }

  #onRole(before: Room, after: Room): void {
    const { open, stage } = this.#state;
    const words = changeWords(before, after);
    if (words && stage === "open") this.#tell(words);
    const looking = !can(after, "edit");
    if (!open || open.viewing.isOn === looking) return;
    // What was drawn up to now is written and on its way before nothing is any more.
    this.#binding?.setReadOnly(looking);
    open.viewing.isOn = looking;
    if (looking) this.#judge();
    else if (open.provider.wsconnected && open.saved.status.kind !== "saved") {
      // What was held back goes with a new sync.
      open.provider.disconnect();
      open.provider.connect();
    }
  }

  /** Of somebody who only looks: changes that wait here, from when they could draw, are never taken. */
  readonly #judge = (): void => {
    clearTimeout(this.#verdict);
    if (!this.#refusesMine()) return;
    this.#verdict = setTimeout(() => {
      if (this.#refusesMine()) this.#refuse({ code: ONLY_LOOKING, reason: "" });
    }, VERDICT_MS);
  };

  #refusesMine(): boolean {
    const { open, stage, link } = this.#state;
    if (stage !== "open" || !open || link !== "connected" || !open.provider.synced || !this.#isLooking) return false;
    const { waiting, unconfirmed } = open.saved.status;
    return waiting > 0 || unconfirmed;
  }

  #wordsForHead(error: unknown): Words {
    if (error instanceof ApiError && error.unreachable) {
      return {
        title: "This room is not in this browser yet",
        detail: "It opens without a network only after it was opened here once. Try again when the server can be reached.",
        retry: true,
      };
    }
    if (error instanceof ApiError && error.status === 404) {
      const detail = "It was deleted, the link is not complete, or it lets in only people who were invited.";
      return { title: "There is no such room", detail, retry: false };
    }
    return wordsFor(error);
  }

  #onHeadError(error: unknown): void {
    if (!(error instanceof ApiError) || error.unreachable) return;
    if (error.status === 404) this.#refuse({ code: 4404, reason: "" });
    else if (error.status === 403) this.#refuse({ code: 4403, reason: error.message });
  }

  async #start(room: Room, turn: number, reachable: boolean): Promise<void> {
    const doc = new Y.Doc();
    const scheme = window.location.protocol === "https:" ? "wss:" : "ws:";
    const provider = new WebsocketProvider(`${scheme}//${window.location.host}/parties`, room.id, doc, {
      protocols: this.#protocols(),
      disableBc: true,
      connect: false,
    });
    sendOwnAwarenessOnly(provider);
    bePatient(provider);
    heedRestarts(provider);
    giveUpUnanswered(provider);
    const viewing = new Viewing(provider);
    viewing.isOn = !can(room, "edit");
    hearBeside(provider, this.#onBeside);
    hearSignals(provider, (signal) => void this.#onSignal(provider, signal));
    hearNotices(provider, this.#onNotice);
    const saved = new Saved(provider);
    const losses = new Losses(doc, saved);
    const assets = new Assets({ api: this.#identity.api, room: room.id, user: this.#user, complain: this.#complain });
    const open: OpenRoom = { doc, provider, saved, losses, assets, viewing };

    const copy = await this.#loadCopy(doc, room);
    const isEmpty = copy.structs === 0;
    if (turn === this.#opening && (isEmpty ? navigator.onLine : reachable && copy.structs < SMALL_COPY_STRUCTS)) {
      await this.#fetchBase(open, room, isEmpty ? BASE_WAIT_MS : SMALL_BASE_WAIT_MS);
    }
    if (turn !== this.#opening || this.#closed) {
      this.#end(open, copy.persistence);
      return;
    }
    this.#persistence = copy.persistence;
    provider.on("status", ({ status }) => this.#onStatus(status));
    provider.on("connection-close", (event) => this.#onClose(event));
    provider.on("closed", ({ code, reason }) => this.#onRefused(code, reason));
    // Another answer may have come while the copies were loaded.
    viewing.isOn = this.#isLooking;
    this.#set({ stage: "open", open, progress: null });
    saved.subscribe(this.#judge);
    provider.connect();
  }

  async #loadCopy(doc: Y.Doc, room: Room): Promise<{ persistence: IndexeddbPersistence | null; structs: number }> {
    const name = keptName({ user: this.#user, room: room.id, epoch: room.epoch });
    let persistence: IndexeddbPersistence | null = null;
    try {
      if (!("indexedDB" in window)) return { persistence: null, structs: 0 };
      persistence = new IndexeddbPersistence(name, doc);
      registerDatabase(name);
      const failed = persistence._db.then(
        () => new Promise<never>(() => undefined),
        () => null,
      );
      const loaded = await Promise.race([persistence.whenSynced, failed, wait(COPY_WAIT_MS)]);
      if (!loaded) console.warn("This browser keeps no copy of the room; a reload needs the server.");
    } catch (error) {
      console.warn("This browser keeps no copy of the room; a reload needs the server.", error);
    }
    let structs = 0;
    for (const own of doc.store.clients.values()) structs += own.length;
    return { persistence, structs };
  }

  /**
   * The room's base over HTTP: compressed, piece by piece, with progress; the sync then brings what it lacks.
   *
   * It is what the server has committed, so it is applied as if the connection had brought it: nothing of it waits to
   * be saved. Whatever goes wrong here, the sync brings everything.
   */
  async #fetchBase({ doc, provider, saved }: OpenRoom, room: Room, deadlineMs: number): Promise<void> {
    const fetching = (this.#fetching = new AbortController());
    const since = performance.now();
    let shownAt = since + PROGRESS_AFTER_MS - PROGRESS_EVERY_MS;
    const onProgress = (progress: Progress) => {
      const now = performance.now();
      if (now - shownAt < PROGRESS_EVERY_MS && progress.receivedBytes < progress.totalBytes) return;
      if (now - since < PROGRESS_AFTER_MS) return;
      shownAt = now;
      this.#set({ progress });
    };
    try {
      const call = { deadlineMs, stallMs: BASE_WAIT_MS, signal: fetching.signal, onProgress };
      const base = await this.#identity.api.fetchBase(this.#id, call);
      if (fetching.signal.aborted || base.epoch !== room.epoch) return;
      // Applying holds the page up; what it says then has to be on the screen before.
      if (this.#state.progress) await painted();
      if (fetching.signal.aborted) return;
      saved.confirmBase(base.update);
      Y.applyUpdate(doc, base.update, provider);
    } catch {
      // The sync brings it.
    } finally {
      if (this.#fetching === fetching) this.#fetching = null;
    }
  }

  #protocols(): string[] {
    const token = this.#identity.session?.token;
    return token ? ["kanvas", token] : ["kanvas"];
  }

  readonly #onNotice = (words: string): void => {
    const frozen = readFreeze(words);
    if (frozen !== null) this.#set({ frozen });
    if (frozen === false) this.#tell(words);
    else this.#complain(words);
  };

  #onStatus(status: "connected" | "connecting" | "disconnected"): void {
    if (status === "connected") {
      this.#standing = this.#state.open?.provider.protocols[1] ?? null;
      // The server says so again to who joins a frozen room.
      this.#set({ link: "connected", frozen: false });
      // Whatever was told meanwhile was told to others.
      void this.comments.refresh();
    }
    else if (status === "disconnected") this.#set({ link: navigator.onLine ? "waiting" : "offline" });
  }

  readonly #onNetwork = (): void => {
    const provider = this.#state.open?.provider;
    if (!provider || provider.wsconnected || this.#state.stage === "refused") return;
    this.#set({ link: navigator.onLine ? "waiting" : "offline" });
    // Back on the network: do not sit out the back-off.
    if (navigator.onLine && provider.shouldConnect && provider.ws === null) {
      provider.wsUnsuccessfulReconnects = 0;
      provider.connect();
    }
  };

  #onClose(event: CloseEvent | null): void {
    if (this.#state.link !== "offline") this.#set({ link: navigator.onLine ? "waiting" : "offline" });
    if (event?.code === FRESH_CLIENT_ID) {
      // Another person writes under this page's client id: the copies stay, the id goes.
      queueMicrotask(() => void this.open());
    }
  }

  /** The token of this connection ends in a minute: another one is sent over it, and nobody notices. */
  async #onSignal(provider: WebsocketProvider, signal: Signal): Promise<void> {
    if (signal.kind === "role") {
      const { room, open } = this.#state;
      if (!room || open?.provider !== provider || room.role === signal.role) return;
      this.#know(withRole(room, signal.role));
      // What else came with it.
      await this.look();
      return;
    }
    const before = this.#identity.session;
    if (before?.user.id !== this.#user) return;
    // The server asks once: a last token that ends as soon is not asked for again.
    const endsSoon = signal.kind === "renewed" && signal.seconds <= LAST_WORDS_S && stepAtEnd(before, this.#standing) === "end";
    if (signal.kind !== "ending" && !endsSoon) return;
    if (stepAtEnd(before, this.#standing) === "renew") await this.#identity.renew();
    const session = this.#identity.session;
    if (session?.user.id !== this.#user || this.#closed || this.#state.open?.provider !== provider) return;
    const step = stepAtEnd(session, this.#standing);
    if (step === "end") {
      this.#complain("Your sign-in ends in a minute. What you draw is kept; sign in again to go on together.");
    } else if (step === "send" && sendToken(provider, session.token)) {
      this.#standing = session.token;
    }
  }

  readonly #onBeside = (told: unknown): void => {
    this.comments.hear(told);
    if (!tellsOfPeople(told)) return;
    this.#set({ news: this.#state.news + 1 });
    void this.look();
  };

  #onRefused(code: number, reason: string): void {
    if (code === 4401) void this.#renew();
    else if (code === ROLE_ENDED && !this.#isLooking) void this.#onSentOut(reason);
    else this.#refuse({ code, reason });
  }

  /** Sent out with a change on its way that came too late: who may still look goes on with that. */
  async #onSentOut(reason: string): Promise<void> {
    const turn = this.#opening;
    const room = await this.#identity.api.getRoom(this.#id).catch(() => null);
    if (turn !== this.#opening || this.#closed) return;
    const { open } = this.#state;
    if (!open || !room || can(room, "edit") || !can(room, "see")) {
      this.#refuse({ code: ROLE_ENDED, reason });
      return;
    }
    this.#know(room);
    open.provider.connect();
  }

  async #renew(): Promise<void> {
    const turn = this.#opening;
    for (;;) {
      const renewal = await this.#identity.renew();
      if (turn !== this.#opening || this.#closed) return;
      if (renewal === "renewed") {
        const provider = this.#state.open?.provider;
        if (!provider) return;
        provider.protocols = this.#protocols();
        provider.connect();
        return;
      }
      if (renewal === "refused") {
        this.#refuse({ code: 4401, reason: "" });
        return;
      }
      await wait(RENEW_RETRY_MS);
      if (turn !== this.#opening || this.#closed) return;
    }
  }

  #refuse(refusal: Refusal): void {
    if (this.#state.stage === "refused") return;
    this.#state.open?.provider.disconnect();
    this.#binding?.flush();
    this.#set({ stage: "refused", refusal, link: "refused" });
  }

  /** A renewed token serves the next connection; a new name needs a new connection, since the server stamps it. */
  readonly #onSession = (): void => {
    const session = this.#identity.session;
    const provider = this.#state.open?.provider;
    if (!session || session.user.id !== this.#user || !provider) return;
    provider.protocols = this.#protocols();
    if (session.user.name !== this.#name && provider.wsconnected) {
      provider.disconnect();
      provider.connect();
    }
    this.#name = session.user.name;
  };

  /** The editor's binding, so that it writes what is unwritten before the connection ends. */
  attach(binding: Binding): void {
    this.#binding = binding;
    binding.setReadOnly(this.#isLooking);
  }

  /** The editor goes; false when the session has ended the binding itself. */
  release(binding: Binding): boolean {
    if (this.#binding !== binding) return false;
    this.#binding = null;
    return true;
  }

  async rename(title: string): Promise<void> {
    const before = this.#state.room;
    if (!before) return;
    this.#set({ room: { ...before, title } });
    try {
      this.#know(await this.#identity.api.changeRoom(this.#id, { title }));
    } catch (error) {
      this.#set({ room: before });
      throw error;
    }
  }

  /** Looks whether the room's name changed; what fails here is no news. */
  async look(): Promise<void> {
    if (this.#state.stage !== "open" || !navigator.onLine) return;
    void this.comments.refresh();
    try {
      const room = await this.#identity.api.getRoom(this.#id);
      if (this.#closed || this.#state.stage !== "open") return;
      const before = this.#state.room;
      this.#know(room);
      if (before && before.epoch !== room.epoch) void this.open();
    } catch (error) {
      this.#onHeadError(error);
    }
  }

  /** After a refusal, once the person has what they want of it: the copy here goes. */
  async discard(): Promise<void> {
    ++this.#opening;
    this.#letGo();
    forgetHead(this.#user, this.#id);
    await clearRoom(this.#user, this.#id);
  }

  /** Signed out by the server: the next page asks for a name. */
  leaveSession(): void {
    this.#identity.expire();
  }

  #letGo(): void {
    clearTimeout(this.#verdict);
    this.#fetching?.abort();
    const { open } = this.#state;
    const binding = this.#binding;
    this.#binding = null;
    binding?.detach();
    // What was discarded is shown until the next one is here, and has ended already.
    if (open && open !== this.#ended) this.#end(open, this.#persistence);
    this.#ended = open;
    this.#persistence = null;
  }

  #end(open: OpenRoom, persistence: IndexeddbPersistence | null): void {
    open.losses.destroy();
    open.saved.destroy();
    open.provider.awareness.setLocalState(null);
    open.provider.destroy();
    open.provider.awareness.destroy();
    open.assets.close();
    void persistence?.destroy();
    open.doc.destroy();
  }

  destroy(): void {
    this.#closed = true;
    ++this.#opening;
    this.#unsubscribe();
    window.removeEventListener("online", this.#onNetwork);
    window.removeEventListener("offline", this.#onNetwork);
    this.comments.destroy();
    this.#letGo();
  }
}
