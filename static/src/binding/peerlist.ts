/**
 * The list of peers, kept up to date from awareness.
 *
 * Owns subscription and what changed. Does not own: what of a state is believed (peers.ts).
 */
import type { Awareness } from "y-protocols/awareness";
import { colorOf, readPeer, readPeerPreview, type Peer } from "./peers";
import type { Preview } from "./previews";

interface AwarenessChange {
  added: number[];
  updated: number[];
  removed: number[];
}

export class PeerList {
  readonly #awareness: Awareness;
  readonly #onChange: () => void;
  readonly #onPreview: (client: number, color: string, preview: Preview | null) => void;
  readonly #peers = new Map<number, Peer>();
  readonly #listeners = new Set<(peers: readonly Peer[]) => void>();
  #list: readonly Peer[] = [];
  #changed = false;

  constructor(
    awareness: Awareness, onChange: () => void,
    onPreview: (client: number, color: string, preview: Preview | null) => void,
  ) {
    this.#awareness = awareness;
    this.#onChange = onChange;
    this.#onPreview = onPreview;
  }

  /** Everybody else, in the order of client ids. */
  get list(): readonly Peer[] {
    return this.#list;
  }

  subscribe(listener: (peers: readonly Peer[]) => void): () => void {
    this.#listeners.add(listener);
    listener(this.#list);
    return () => this.#listeners.delete(listener);
  }

  /** True once after each change: whether the editor needs the collaborators anew. */
  takeChanged(): boolean {
    const changed = this.#changed;
    this.#changed = false;
    return changed;
  }

  attach(): () => void {
    this.#read([...this.#awareness.getStates().keys()]);
    const onChange = ({ added, updated, removed }: AwarenessChange) => this.#read([...added, ...updated, ...removed]);
    this.#awareness.on("change", onChange);
    return () => this.#awareness.off("change", onChange);
  }

  #read(clients: readonly number[]): void {
    let changed = false;
    for (const client of clients) {
      if (client === this.#awareness.clientID) continue;
      const state = this.#awareness.getStates().get(client);
      const peer = state === undefined ? null : readPeer(client, state);
      if (peer) this.#peers.set(client, peer);
      else this.#peers.delete(client);
      this.#onPreview(client, peer?.color ?? colorOf(client), peer && readPeerPreview(state));
      changed = true;
    }
    if (!changed) return;
    this.#list = [...this.#peers.values()].sort((a, b) => a.clientId - b.clientId);
    this.#changed = true;
    for (const listener of this.#listeners) listener(this.#list);
    this.#onChange();
  }
}
