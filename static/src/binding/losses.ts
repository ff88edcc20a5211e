/**
 * Elements that somebody removed from the document while edits of mine in them were on their way.
 *
 * Such an edit is gone for everybody and nobody would hear of it: the server takes it in, but what it changed is no
 * more. It happens to whoever was offline when an element was deleted and, 30 days later, purged. Owns noticing it,
 * from before the browser's copy is loaded on: the sync may be over before there is an editor. Does not own how they
 * come back (binding.ts, renewal.ts). Source: DESIGN.md "The document".
 */
import * as Y from "yjs";
import { ELEMENTS } from "./document";
import { GROUP_NAMES, type Groups, type Json } from "./groups";
import { readObject } from "./values";

/** Tells what the server had said it has before the message in hand (saved.ts). */
export interface Durability {
  wasDurable(client: number, clock: number): boolean;
}

export class Losses {
  readonly #elements: Y.Map<unknown>;
  readonly #durability: Durability;
  readonly #lost = new Map<string, Groups>();

  /** Create it together with `Saved`. */
  constructor(doc: Y.Doc, durability: Durability) {
    this.#elements = doc.getMap(ELEMENTS);
    this.#durability = durability;
    this.#elements.observe(this.#onChange);
  }

  get isEmpty(): boolean {
    return this.#lost.size === 0;
  }

  /** What was lost since the last call: by id the groups as they were here. */
  take(): Map<string, Groups> {
    const lost = new Map(this.#lost);
    this.#lost.clear();
    return lost;
  }

  destroy(): void {
    this.#elements.unobserve(this.#onChange);
  }

  readonly #onChange = (event: Y.YMapEvent<unknown>, transaction: Y.Transaction) => {
    if (transaction.local) return;
    const saved = new Map<string, Groups>();
    for (const [id, { action, oldValue }] of event.keys) {
      // Replaced is not lost: somebody brought it back.
      if (action !== "delete" || !(oldValue instanceof Y.Map)) continue;
      const { groups, unsaved } = this.#remainsOf(oldValue as Y.Map<unknown>);
      if (groups.deleted !== true) (unsaved ? this.#lost : saved).set(id, groups);
    }
    if (this.#lost.size === 0) return;
    // A shape comes back with its words.
    for (const [id, groups] of saved) {
      const container = readObject(groups.text)["containerId"];
      if (typeof container === "string" && this.#lost.has(container)) this.#lost.set(id, groups);
    }
  };

  /** The groups of a removed element as they were here, and whether an edit of mine is among them that nobody has. */
  #remainsOf(removed: Y.Map<unknown>): { groups: Groups; unsaved: boolean } {
    const groups: Groups = {};
    let unsaved = false;
    for (const name of GROUP_NAMES) {
      // Struck with its map, and not collected yet: observers come first.
      const item = removed._map.get(name);
      const value: unknown = item?.content.getContent().at(-1);
      if (!item || value === undefined || value instanceof Y.AbstractType) continue;
      groups[name] = value as Json;
      unsaved ||= !this.#durability.wasDurable(item.id.client, item.id.clock);
    }
    return { groups, unsaved };
  }
}
