/**
 * My own presence: pointer, selection, viewport and preview as one small state, sent at most 20 times a second.
 *
 * Owns what is sent and how often, and that only our own state is. Does not own: reading the others (peers.ts), names
 * and ids of people (the server stamps them from the token). Source: CLIENT.md "Connection", y-protocols/awareness.js.
 */
import * as encoding from "lib0/encoding";
import { encodeAwarenessUpdate, type Awareness } from "y-protocols/awareness";
import type { WebsocketProvider } from "y-websocket";
import type { Clock } from "./clock";
import type { Preview } from "./previews";

/** Scene coordinates: [minX, minY, maxX, maxY]. */
export type Bounds = readonly [number, number, number, number];

export interface Pointer {
  x: number;
  y: number;
  tool: "pointer" | "laser";
}

/** What our client puts into its awareness state. `user.id` and `user.name` come from the server. */
export interface PresenceState {
  user: { color: string };
  pointer: Pointer | null;
  button: "up" | "down";
  selection: string[];
  viewport: Bounds | null;
  preview: Preview | null;
}

/** At most 20 states a second. */
export const PRESENCE_MS = 50;
/** Others see the outline of so many; ids are the longest part of a state. */
const MAX_SELECTION = 24;

const round = (value: number) => Math.round(value * 10) / 10;

export class Presence {
  readonly #awareness: Awareness;
  readonly #clock: Clock;
  #state: PresenceState;
  #sentAtMs = Number.NEGATIVE_INFINITY;
  #cancel: (() => void) | null = null;
  #dirty = true;
  #make: (() => Preview | null) | null = null;

  constructor(awareness: Awareness, color: string, clock: Clock) {
    this.#awareness = awareness;
    this.#clock = clock;
    this.#state = { user: { color }, pointer: null, button: "up", selection: [], viewport: null, preview: null };
  }

  /** Where my pointer is; null takes it off the others' canvas. */
  point(pointer: Pointer | null, button: "up" | "down"): void {
    const rounded = pointer && { x: round(pointer.x), y: round(pointer.y), tool: pointer.tool };
    const last = this.#state.pointer;
    if (last?.x === rounded?.x && last?.y === rounded?.y && last?.tool === rounded?.tool && button === this.#state.button) return;
    this.#change({ pointer: rounded, button });
  }

  select(ids: readonly string[]): void {
    const selection = ids.slice(0, MAX_SELECTION);
    const last = this.#state.selection;
    if (last.length === selection.length && selection.every((id, at) => last[at] === id)) return;
    this.#change({ selection });
  }

  view(bounds: Bounds | null): void {
    this.#change({ viewport: bounds && (bounds.map(round) as unknown as Bounds) });
  }

  /** My gesture went on: `make` is asked when the state goes out (null: nothing new to show). */
  preview(make: () => Preview | null): void {
    this.#make = make;
    this.#change({});
  }

  /** My gesture ended. */
  endPreview(): void {
    this.#make = null;
    if (this.#state.preview !== null) this.#change({ preview: null });
  }

  /** Sends what is unsent. */
  flush(): void {
    this.#cancel?.();
    this.#cancel = null;
    if (!this.#dirty) return;
    this.#dirty = false;
    this.#sentAtMs = this.#clock.now();
    const preview = this.#make?.();
    this.#make = null;
    if (preview) this.#state = { ...this.#state, preview };
    const { user, ...rest } = this.#state;
    const others = this.#awareness.getLocalState() ?? {};
    const known = typeof others["user"] === "object" && others["user"] !== null ? others["user"] : {};
    this.#awareness.setLocalState({ ...others, ...rest, user: { ...known, ...user } });
  }

  /** Takes pointer, selection and preview off the others' screens. */
  leave(): void {
    this.#make = null;
    this.#change({ pointer: null, selection: [], preview: null, button: "up" });
    this.flush();
  }

  #change(patch: Partial<PresenceState>): void {
    this.#state = { ...this.#state, ...patch };
    this.#dirty = true;
    if (this.#cancel) return;
    const waitMs = this.#sentAtMs + PRESENCE_MS - this.#clock.now();
    if (waitMs <= 0) this.flush();
    else this.#cancel = this.#clock.after(waitMs, () => this.flush());
  }
}

const MESSAGE_AWARENESS = 1;
const MESSAGE_QUERY_AWARENESS = 3;

/** The handler y-websocket keeps on the instance and takes off in destroy(); not in its types. */
interface Relaying {
  _awarenessUpdateHandler: (changes: { added: number[]; updated: number[]; removed: number[] }, origin: unknown) => void;
}

/**
 * Stops the provider from relaying other people's states: only our own client id is sent. Call before `connect()`.
 *
 * y-websocket answers every remote state by sending it back, n clients n times; the server ignores foreign ids, but
 * reading them costs it 50 µs each.
 */
export function sendOwnAwarenessOnly(provider: WebsocketProvider): void {
  const { awareness } = provider;
  const relaying = provider as unknown as Relaying;
  const message = (): Uint8Array<ArrayBuffer> => {
    const encoder = encoding.createEncoder();
    encoding.writeVarUint(encoder, MESSAGE_AWARENESS);
    encoding.writeVarUint8Array(encoder, encodeAwarenessUpdate(awareness, [awareness.clientID]));
    return encoding.toUint8Array(encoder) as Uint8Array<ArrayBuffer>;
  };
  awareness.off("update", relaying._awarenessUpdateHandler);
  relaying._awarenessUpdateHandler = ({ added, updated, removed }) => {
    const own = awareness.clientID;
    if (!added.includes(own) && !updated.includes(own) && !removed.includes(own)) return;
    const socket = provider.ws;
    if (provider.wsconnected && socket && socket.readyState === socket.OPEN) socket.send(message());
  };
  awareness.on("update", relaying._awarenessUpdateHandler);
  provider.messageHandlers[MESSAGE_QUERY_AWARENESS] = (encoder) => {
    encoding.writeVarUint(encoder, MESSAGE_AWARENESS);
    encoding.writeVarUint8Array(encoder, encodeAwarenessUpdate(awareness, [awareness.clientID]));
  };
}
