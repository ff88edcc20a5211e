/**
 * The binding: one editor, one document, one awareness, and the order in which things happen between them.
 *
 * Owns the sequence: look at the scene, write, queue, show. Does not own any decision that can be made without I/O:
 * when to write (gestures.ts), what to write (scribe.ts), what to show (painter.ts, overlays.ts), what peers may
 * claim (peers.ts). Source: CLIENT.md; Excalidraw 0.18.1 App.componentDidUpdate, App.updateScene.
 */
import type { ExcalidrawElement } from "@excalidraw/excalidraw/element/types";
import type { AppState, BinaryFileData, BinaryFiles, ExcalidrawImperativeAPI } from "@excalidraw/excalidraw/types";
import type { Awareness } from "y-protocols/awareness";
import type * as Y from "yjs";
import { Assets, type AssetStore } from "./assets";
import { Background } from "./background";
import { Bonds } from "./bonds";
import { Capture } from "./capture";
import { browserClock, type Clock } from "./clock";
import { RoomDocument, type RemoteChange } from "./document";
import { join } from "./elements";
import { gestureIds, Gestures, isGestureOpen } from "./gestures";
import { Overlays } from "./overlays";
import { Painter, type Painting } from "./painter";
import { collaboratorsOf, colorOf, type Peer } from "./peers";
import { PeerList } from "./peerlist";
import { Presence, type Bounds } from "./presence";
import { makePreview, type Preview } from "./previews";
import { whenLeaving } from "./leaving";
import type { Losses } from "./losses";
import { addLost, newElementId, newNonce, renew } from "./renewal";
import { Scribe } from "./scribe";
import { Shadow } from "./shadow";
import { boundText, Words } from "./words";

export interface BindingOptions {
  api: ExcalidrawImperativeAPI;
  doc: Y.Doc;
  awareness: Awareness;
  /** CSS color (#rrggbb) of my cursor, as others see it; derived from the client id when missing. */
  color?: string;
  /** Without it image elements stay in this browser. */
  assets?: AssetStore;
  /** Lets an edit of an element that was purged meanwhile come back; without it such an edit is lost. */
  losses?: Losses;
  clock?: Clock;
  /** Starts as one that only shows (setReadOnly). */
  readOnly?: boolean;
  /** Told how many images wait for their upload, and why the last attempt failed (null: it didn't). */
  onUploads?: (waiting: number, error: unknown) => void;
}

/** What Excalidraw's onPointerUpdate hands out. */
export interface PointerUpdate {
  pointer: { x: number; y: number; tool: "pointer" | "laser" };
  button: "down" | "up";
  pointersMap: ReadonlyMap<number, unknown>;
}

type SceneUpdate = Parameters<ExcalidrawImperativeAPI["updateScene"]>[0];

/** How long an image being placed is left alone. */
const PLACING_MS = 100;

export class Binding {
  readonly #api: ExcalidrawImperativeAPI;
  readonly #clock: Clock;
  readonly #document: RoomDocument;
  readonly #clientId: number;
  readonly #shadow = new Shadow();
  readonly #bonds = new Bonds();
  readonly #overlays = new Overlays();
  readonly #gestures = new Gestures();
  readonly #scribe: Scribe;
  readonly #painter: Painter;
  readonly #presence: Presence;
  readonly #background: Background;
  readonly #peers: PeerList;
  readonly #capture: Capture;
  readonly #words = new Words();
  readonly #assets: Assets | null;
  readonly #losses: Losses | undefined;

  #attached = false;
  #ready = false;
  #readOnly: boolean;
  /** Elements to look at in the next frame, and those that wait for the end of my gesture. */
  #changed = new Set<string>();
  #queued = new Set<string>();
  /** Of the scene as last looked at: what is to be written. */
  #pending: ExcalidrawElement[] = [];
  /** Of the open gesture: what it changed, and what it created and wrote before its end. */
  #touched = new Set<string>();
  #created = new Set<string>();
  /** The text in the open text editor. */
  #typedId: string | null = null;
  #selection: AppState["selectedElementIds"] | null = null;
  #cancelFrame: (() => void) | null = null;
  #cancelLook: (() => void) | null = null;
  #cancelExpiry: (() => void) | null = null;
  readonly #detachers: (() => void)[] = [];

  constructor(options: BindingOptions) {
    const { api, doc, awareness, assets, losses, clock = browserClock, onUploads } = options;
    this.#api = api;
    this.#clock = clock;
    this.#losses = losses;
    this.#readOnly = options.readOnly ?? false;
    this.#clientId = doc.clientID;
    this.#document = new RoomDocument(doc);
    this.#assets = assets
      ? new Assets(assets, clock, {
          renamed: (fileId, assetId, file) => this.#rename(fileId, assetId, file),
          stored: () => {
            this.#shadow.forgetSeen();
            this.#lookAgain();
          },
          fetched: (file) => this.#api.addFiles([file]),
          progress: (waiting, error) => onUploads?.(waiting, error),
        })
      : null;
    const isStored = (fileId: string) => this.#assets?.isStored(fileId) ?? false;
    this.#scribe = new Scribe(this.#document, this.#shadow, this.#bonds, isStored);
    this.#painter = new Painter(this.#document, this.#shadow, this.#bonds, this.#overlays);
    this.#background = new Background(this.#document, clock);
    this.#presence = new Presence(awareness, options.color ?? colorOf(doc.clientID), clock);
    this.#peers = new PeerList(awareness, () => this.#schedule(), (client, color, preview) => {
      this.#change(this.#overlays.set(client, preview, color, this.#clock.now()));
      this.#expireLater();
    });
    this.#capture = new Capture(api);
  }

  /** Shows the document in the editor as soon as it is ready, and follows both from then on. */
  attach(): void {
    if (this.#attached) return;
    this.#attached = true;
    this.#detachers.push(
      this.#document.observe((change) => this.#onRemote(change)),
      this.#peers.attach(),
      whenLeaving(() => this.flush()),
    );
    this.#presence.flush();
    if (!this.#api.getAppState().isLoading) this.#start();
  }

  /** Writes what is unwritten and lets go. The editor keeps what it shows. */
  detach(): void {
    if (!this.#attached) return;
    this.flush();
    this.#attached = this.#ready = false;
    for (const detach of this.#detachers.splice(0)) detach();
    for (const cancel of [this.#cancelFrame, this.#cancelLook, this.#cancelExpiry]) cancel?.();
    this.#cancelFrame = this.#cancelLook = this.#cancelExpiry = null;
    this.#presence.leave();
    this.#assets?.close();
  }

  /** Writes every local change now, those of an open gesture too (done by itself on blur, pagehide and hidden). */
  flush(): void {
    if (!this.#ready) return;
    if (this.#readOnly) {
      this.#presence.flush();
      return;
    }
    this.#background.flush();
    this.#write(this.#api.getSceneElementsIncludingDeleted());
    this.#presence.flush();
  }

  /**
   * Only shows from now on, or writes again. Going read-only writes what is unwritten first, so that no gesture is
   * lost without a word; after that nothing that happens in the editor reaches the document.
   */
  setReadOnly(readOnly: boolean): void {
    if (readOnly === this.#readOnly) return;
    if (readOnly) {
      this.flush();
      this.#presence.endPreview();
    }
    this.#readOnly = readOnly;
    this.#pending = [];
    this.#shadow.forgetSeen();
    this.#change(this.#queued);
    this.#queued.clear();
    this.#lookAgain();
  }

  /** Pass as the editor's onChange. */
  readonly onChange = (elements: readonly ExcalidrawElement[], appState: AppState, _files: BinaryFiles): void => {
    if (!this.#attached) return;
    if (!this.#ready && !appState.isLoading) this.#start();
    if (this.#ready) this.#look(elements, appState);
  };

  /** Pass as the editor's onPointerUpdate. */
  readonly onPointerUpdate = ({ pointer, button, pointersMap }: PointerUpdate): void => {
    // Two fingers pinch and pan; they don't point.
    if (this.#attached && pointersMap.size < 2) this.#presence.point(pointer, button);
  };

  /** Takes my cursor off the others' canvas, for when the pointer leaves the page. */
  leavePointer(): void {
    this.#presence.point(null, "up");
  }

  /** What I see, in scene coordinates [minX, minY, maxX, maxY], for those who follow me. */
  setViewport(bounds: Bounds | null): void {
    this.#presence.view(bounds);
  }

  /** The other people in the room right now. */
  get peers(): readonly Peer[] {
    return this.#peers.list;
  }

  /** Calls back at once and after each change of the people or what they point at; the answer unsubscribes. */
  subscribePeers(listener: (peers: readonly Peer[]) => void): () => void {
    return this.#peers.subscribe(listener);
  }

  #start(): void {
    this.#ready = true;
    this.#background.start(this.#api.getAppState().viewBackgroundColor);
    this.#change(this.#document.ids());
    this.#paint();
    this.#bringBack();
  }

  /** Scene to document: the way of a local change. */
  #look(scene: readonly ExcalidrawElement[], state: AppState): void {
    if (state.selectedElementIds !== this.#selection) {
      this.#selection = state.selectedElementIds;
      this.#presence.select(Object.keys(state.selectedElementIds));
    }
    if (this.#readOnly) {
      this.#undoLocal(scene);
      return;
    }
    this.#background.look(state.viewBackgroundColor);
    const same = this.#shadow.isUnchanged(scene);
    const open = isGestureOpen(state);
    if (same && !open && !this.#gestures.isOpen && this.#pending.length === 0) return;
    if (!same) this.#restoreDropped(scene);
    this.#pending = (same ? this.#pending : scene).filter((element) => this.#scribe.isPending(element));
    if (!same) this.#offerFiles(scene);
    if (open) for (const { id } of this.#pending) this.#touched.add(id);
    const typing = state.editingTextElement;
    if (typing) this.#typedId = typing.id;
    const verdict = this.#gestures.look(open, this.#pending.length > 0, typing !== null, this.#clock.now());
    if (open && this.#pending.length > 0) this.#presence.preview(() => this.#preview());
    if (verdict.commit) this.#write(this.#pending);
    this.#cancelLook?.();
    this.#cancelLook = verdict.againMs === null ? null : this.#clock.after(verdict.againMs, () => this.#lookAgain());
    if (verdict.ended) this.#endGesture(scene);
  }

  /** Of somebody who only looks: what changed in the editor all the same becomes what the document says. */
  #undoLocal(scene: readonly ExcalidrawElement[]): void {
    if (this.#shadow.isUnchanged(scene)) return;
    const { changed, foreign } = this.#scribe.strays(scene);
    for (const id of changed) this.#shadow.delete(id);
    this.#change(changed);
    const present = new Set(scene.map(({ id }) => id));
    const dropped = [...this.#shadow.ids()].filter((id) => !present.has(id));
    for (const id of dropped) this.#shadow.delete(id);
    this.#change(dropped);
    if (foreign.size === 0) return;
    // Not inside the editor's own update.
    queueMicrotask(() => {
      if (!this.#ready || !this.#readOnly) return;
      const elements = this.#api.getSceneElementsIncludingDeleted().filter(({ id }) => !foreign.has(id));
      this.#api.updateScene({ elements, captureUpdate: "NEVER" });
    });
  }

  #lookAgain(): void {
    if (this.#ready) this.#look(this.#api.getSceneElementsIncludingDeleted(), this.#api.getAppState());
  }

  #write(elements: readonly ExcalidrawElement[]): void {
    const fresh = this.#gestures.isOpen ? elements.filter(({ id }) => !this.#document.has(id)) : [];
    const changes = this.#scribe.write(elements);
    const ids = changes.map(({ id }) => id);
    for (const { id } of fresh) if (this.#document.has(id)) this.#created.add(id);
    if (!this.#gestures.isOpen) this.#capture.wrote(ids);
    if (!this.#words.isEmpty) {
      const moved = changes.filter(({ groups }) => groups.geometry !== undefined);
      this.#words.wrote(new Set(moved.map(({ id }) => id)), (id) => this.#stored(id));
    }
    this.#pending = this.#pending.filter((element) => this.#scribe.isPending(element));
    this.#change(this.#scribe.rebound);
    this.#scribe.rebound.clear();
  }

  #endGesture(scene: readonly ExcalidrawElement[]): void {
    const typed = this.#typedId && boundText(this.#typedId, (id) => scene.find((element) => element.id === id));
    if (typed) this.#words.placed(typed);
    this.#typedId = null;
    this.#touched.clear();
    this.#created.clear();
    this.#presence.endPreview();
    if (this.#queued.size === 0 && this.#losses?.isEmpty !== false) return;
    this.#change(this.#queued);
    this.#queued.clear();
    // Not inside the editor's own update: it has recorded my gesture for undo, now the others' changes may enter.
    queueMicrotask(() => {
      this.#bringBack();
      this.#paint();
    });
  }

  #preview(): Preview | null {
    const gesture = `${this.#clientId}-${this.#gestures.number}`;
    const growing = this.#api.getAppState().newElement?.id ?? null;
    return makePreview(gesture, this.#pending, this.#shadow, (id) => this.#document.has(id), growing);
  }

  /** Elements the editor dropped from its scene without marking them as deleted. */
  #restoreDropped(scene: readonly ExcalidrawElement[]): void {
    let known = 0;
    for (const { id } of scene) if (this.#shadow.get(id)) known += 1;
    if (known === this.#shadow.size) return;
    const present = new Set(scene.map(({ id }) => id));
    for (const id of [...this.#shadow.ids()]) {
      if (present.has(id)) continue;
      const trace = this.#shadow.get(id)!;
      // Too small to be meant, after it was written in the middle of its own gesture.
      if (this.#created.has(id)) this.#scribe.remove(id);
      else this.#shadow.delete(id);
      // Opening a file replaces the scene: in a shared room it adds to it, nobody's work goes.
      if (!trace.ghost && trace.groups.deleted !== true) this.#change([id]);
    }
  }

  #offerFiles(scene: readonly ExcalidrawElement[]): void {
    if (!this.#assets || !this.#ready) return;
    const files = this.#api.getFiles();
    for (const element of scene) {
      const fileId = this.#scribe.awaitedFile(element);
      const file = fileId === null || this.#assets.isClaimed(fileId) ? undefined : files[fileId];
      if (file) this.#assets.offer(file);
    }
  }

  /** An image whose file id isn't its hash goes on under the asset's id. */
  #rename(fileId: string, assetId: string, file: BinaryFileData): void {
    if (!this.#ready || this.#readOnly) return;
    // An image just being placed is the very object the editor holds on to: offered again at the next look.
    if (isGestureOpen(this.#api.getAppState())) {
      this.#clock.after(PLACING_MS, () => this.#offerFiles(this.#api.getSceneElementsIncludingDeleted()));
      return;
    }
    const id = assetId as BinaryFileData["id"];
    this.#api.addFiles([{ ...file, id }]);
    const elements = this.#api.getSceneElementsIncludingDeleted().map((element) => {
      if (element.type !== "image" || element.fileId !== fileId) return element;
      return { ...element, fileId: id, version: element.version + 1, versionNonce: newNonce() };
    });
    this.#api.updateScene({ elements, captureUpdate: "NEVER" });
  }

  /** Document to scene: the way of somebody else's change. */
  #onRemote({ elements, background }: RemoteChange): void {
    for (const id of elements) this.#overlays.settle(id);
    if (background) this.#background.invalidate();
    this.#bringBack();
    this.#change(elements);
    this.#schedule();
  }

  /** Elements that were removed with edits of mine in them, under new ids; they wait for the end of my gesture. */
  #bringBack(): void {
    if (!this.#ready || this.#readOnly || this.#losses?.isEmpty !== false || isGestureOpen(this.#api.getAppState())) return;
    // What my gesture went on changing is there again under its own id.
    const lost = [...this.#losses.take()].filter(([id]) => !this.#document.has(id));
    if (lost.length === 0) return;
    const scene = this.#api.getSceneElementsIncludingDeleted();
    const mine = new Set(scene.filter(({ id }) => !this.#shadow.get(id)).map(({ id }) => id));
    const isGone = (id: string) => !this.#document.has(id) && !mine.has(id);
    const elements = renew(addLost(scene, lost), lost.map(([id]) => id), newElementId, isGone);
    for (const [id] of lost) this.#shadow.delete(id);
    this.#api.updateScene({ elements, captureUpdate: "NEVER" });
  }

  #change(ids: Iterable<string>): void {
    for (const id of ids) this.#changed.add(id);
    if (this.#changed.size > 0) this.#schedule();
  }

  #schedule(): void {
    if (!this.#ready) return;
    this.#cancelFrame ??= this.#clock.frame(() => this.#paint());
  }

  #paint(): void {
    this.#cancelFrame?.();
    this.#cancelFrame = null;
    if (!this.#ready) return;
    const scene = this.#api.getSceneElementsIncludingDeleted();
    const state = this.#api.getAppState();
    const ids = this.#enterable(scene, state);
    const update: SceneUpdate = {};
    if (this.#peers.takeChanged()) update.collaborators = collaboratorsOf(this.#peers.list);
    const color = this.#background.take(state.viewBackgroundColor);
    if (color !== null) Object.assign(update, { appState: { viewBackgroundColor: color }, captureUpdate: "NEVER" });
    const painting = ids.size > 0 ? this.#withWords(this.#painter.paint(scene, ids), scene, ids, state) : null;
    if (painting) {
      const { elements } = painting;
      this.#painter.hand(painting, scene, this.#scribe.idle, () =>
        this.#api.updateScene({ ...update, elements, captureUpdate: "NEVER" }),
      );
      this.#fetchFiles(painting.elements, painting.shown);
    } else if (update.collaborators || color !== null) {
      this.#api.updateScene(update);
    }
  }

  /** The painting with my words in their shapes, also when nothing else of it looks different. */
  #withWords(
    painting: Painting | null, scene: readonly ExcalidrawElement[], ids: ReadonlySet<string>, state: AppState,
  ): Painting | null {
    if (this.#words.isEmpty) return painting;
    const before = painting?.elements ?? scene;
    const elements = this.#words.follow(before, ids, (id) => this.#stored(id), state.editingTextElement?.id ?? null);
    return elements === before ? painting : { shown: new Map(), removed: [], ...painting, elements };
  }

  /** The element as it is in the document: without previews. */
  #stored(id: string): ExcalidrawElement | null {
    const groups = this.#document.groups(id);
    return groups && join(id, groups);
  }

  /** Of the changed elements those that may enter the scene now; local changes of theirs are written first. */
  #enterable(scene: readonly ExcalidrawElement[], state: AppState): Set<string> {
    const ids = this.#painter.note(this.#changed);
    this.#changed.clear();
    if (this.#readOnly) return ids;
    const open = isGestureOpen(state);
    const held = open ? this.#heldByGesture(scene, state) : null;
    let unrecorded = false;
    for (const id of ids) {
      if (held?.has(id) || (open && this.#capture.isOpen(id))) {
        this.#queued.add(id);
        ids.delete(id);
      } else unrecorded ||= this.#capture.isOpen(id);
    }
    const pending = scene.filter((element) => ids.has(element.id) && this.#scribe.isPending(element));
    if (pending.length > 0) {
      this.#write(pending);
      // What holds on to what is as the document says with both changes in it, not as I had it.
      this.#change([...this.#painter.note(ids)].filter((id) => !ids.has(id)));
    }
    if (!unrecorded) return ids;
    this.#capture.record();
    this.#change(ids);
    return new Set();
  }

  #heldByGesture(scene: readonly ExcalidrawElement[], state: AppState): Set<string> {
    const held = gestureIds(state);
    for (const id of this.#touched) held.add(id);
    for (const element of scene) if (this.#scribe.isPending(element)) held.add(element.id);
    const typed = state.editingTextElement && scene.find(({ id }) => id === state.editingTextElement!.id);
    // Bound from the first caret on, not from the first write: its shape is being worked on, too.
    if (typed) this.#bonds.set(typed.id, typed);
    // Bound texts and arrows move along.
    for (const id of [...held]) for (const neighbour of this.#bonds.neighbours(id)) held.add(neighbour);
    return held;
  }

  #fetchFiles(elements: readonly ExcalidrawElement[], shown: ReadonlyMap<string, unknown>): void {
    if (!this.#assets) return;
    const files = this.#api.getFiles();
    for (const element of elements) {
      if (element.type !== "image" || element.fileId === null || !shown.has(element.id)) continue;
      this.#assets.know(element.fileId);
      if (!element.isDeleted && !files[element.fileId]) this.#assets.want(element.fileId);
    }
  }

  #expireLater(): void {
    const endMs = this.#overlays.nextEndMs;
    if (endMs === null || this.#cancelExpiry) return;
    this.#cancelExpiry = this.#clock.after(Math.max(0, endMs - this.#clock.now()), () => {
      this.#cancelExpiry = null;
      this.#change(this.#overlays.expire(this.#clock.now()));
      this.#expireLater();
    });
  }
}
