/**
 * Following someone's view.
 *
 * Owns: who I follow and who follows me (one presence key each way), and moving the view. Excalidraw owns the frame
 * around a followed view and stops following when the person pans. A view is published only while somebody follows it.
 */
import { CaptureUpdateAction, getVisibleSceneBounds } from "@excalidraw/excalidraw";
import type { AppState, ExcalidrawImperativeAPI, OnUserFollowedPayload, SocketId } from "@excalidraw/excalidraw/types";
import type { Awareness } from "y-protocols/awareness";
import type { Binding, Bounds, Peer } from "../binding";

const KEY = "following";
/** A follower's view moves at most this often; presence allows 20 a second. */
const PUBLISH_MS = 66;

/** Excalidraw's own bounds of a zoom. */
const MIN_ZOOM = 0.1;
const MAX_ZOOM = 30;

/**
 * The view that shows these bounds whole and in the middle.
 *
 * Excalidraw's zoomToFitBounds rounds down to tenths: somebody at 90 % was followed at 80 %.
 */
export function viewOn(
  [minX, minY, maxX, maxY]: Bounds,
  { width, height, zoom: { value } }: Pick<AppState, "width" | "height" | "zoom">,
): Pick<AppState, "scrollX" | "scrollY" | "zoom"> {
  const fitting = Math.min(width / (maxX - minX), height / (maxY - minY));
  const zoom = (Number.isFinite(fitting) ? Math.min(MAX_ZOOM, Math.max(MIN_ZOOM, fitting)) : value) as typeof value;
  return {
    scrollX: width / 2 / zoom - (minX + maxX) / 2,
    scrollY: height / 2 / zoom - (minY + maxY) / 2,
    zoom: { value: zoom },
  };
}

export class Follow {
  readonly #api: ExcalidrawImperativeAPI;
  readonly #awareness: Awareness;
  readonly #binding: Binding;
  readonly #off: (() => void)[] = [];
  #peers: readonly Peer[] = [];
  #followed = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #shown = "";

  constructor(options: { api: ExcalidrawImperativeAPI; awareness: Awareness; binding: Binding }) {
    this.#api = options.api;
    this.#awareness = options.awareness;
    this.#binding = options.binding;
    this.#off.push(
      this.#api.onUserFollow((payload) => this.#onFollow(payload)),
      this.#api.onScrollChange(() => this.#publishSoon()),
      this.#binding.subscribePeers((peers) => {
        this.#peers = peers;
        this.#move();
      }),
    );
    this.#awareness.on("change", this.#onPresence);
    window.addEventListener("resize", this.#publishSoon);
  }

  /** Starts to follow a peer, or stops when it is the one already followed. */
  toggle(peer: Peer): void {
    const current = this.#api.getAppState().userToFollow;
    const userToFollow =
      current?.socketId === peer.socketId ? null : { socketId: peer.socketId as SocketId, username: peer.name };
    this.#api.updateScene({ appState: { userToFollow }, captureUpdate: CaptureUpdateAction.NEVER });
  }

  destroy(): void {
    for (const off of this.#off) off();
    clearTimeout(this.#timer);
    this.#awareness.off("change", this.#onPresence);
    window.removeEventListener("resize", this.#publishSoon);
  }

  #onFollow({ userToFollow, action }: OnUserFollowedPayload): void {
    if (action === "UNFOLLOW") {
      if (this.#target() === null) this.#awareness.setLocalStateField(KEY, null);
      return;
    }
    this.#shown = "";
    const peer = this.#peers.find((one) => one.socketId === userToFollow.socketId);
    this.#awareness.setLocalStateField(KEY, peer?.clientId ?? null);
    this.#move();
  }

  #target(): Peer | null {
    const socketId = this.#api.getAppState().userToFollow?.socketId;
    return this.#peers.find((peer) => peer.socketId === socketId) ?? null;
  }

  readonly #onPresence = (): void => {
    const me = this.#awareness.clientID;
    const followers = new Set<SocketId>();
    for (const [clientId, state] of this.#awareness.getStates()) {
      if (clientId === me || (state as Record<string, unknown>)[KEY] !== me) continue;
      const peer = this.#peers.find((one) => one.clientId === clientId);
      if (peer) followers.add(peer.socketId as SocketId);
    }
    const before = this.#api.getAppState().followedBy;
    if (before.size !== followers.size || [...followers].some((one) => !before.has(one))) {
      this.#api.updateScene({ appState: { followedBy: followers }, captureUpdate: CaptureUpdateAction.NEVER });
    }
    const followed = followers.size > 0;
    if (followed !== this.#followed) {
      this.#followed = followed;
      if (followed) this.#publish();
      else this.#binding.setViewport(null);
    }
  };

  readonly #publishSoon = (): void => {
    if (!this.#followed || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#publish();
    }, PUBLISH_MS);
  };

  #publish(): void {
    if (this.#followed) this.#binding.setViewport(getVisibleSceneBounds(this.#api.getAppState()));
  }

  #move(): void {
    const target = this.#target();
    if (!target?.viewport) return;
    const shown = target.viewport.join();
    if (shown === this.#shown) return;
    const appState = this.#api.getAppState();
    // Two who follow each other would push each other around for ever.
    if (appState.followedBy.has(target.socketId as SocketId)) return;
    this.#shown = shown;
    this.#api.updateScene({ appState: viewOn(target.viewport, appState), captureUpdate: CaptureUpdateAction.NEVER });
  }
}
