/**
 * The room's document: reading and writing groups of elements in the Y.Doc.
 *
 * Owns the layout (root map `elements`: id to map of groups; root map `meta`), transaction sizes and what a change event
 * means. Does not own: what a group means (groups.ts, elements.ts). Source: DESIGN.md "The document".
 */
import type { ExcalidrawElement } from "@excalidraw/excalidraw/element/types";
import * as Y from "yjs";
import { Bonds } from "./bonds";
import { join } from "./elements";
import { GROUP_NAMES, type Groups, type Json } from "./groups";
import { readIndex, readObject } from "./values";

/** Groups to write for one element: all of them when it is new. */
export interface Change {
  id: string;
  groups: Groups;
}

/** What somebody else's transaction (or the cache) touched. */
export interface RemoteChange {
  elements: ReadonlySet<string>;
  background: boolean;
}

/** The root map of elements. */
export const ELEMENTS = "elements";
const SCHEMA_VERSION = 1;
/** The server takes updates of up to 1 MiB; 5,000 elements in one transaction are 1.9 MB. */
export const MAX_TRANSACTION_BYTES = 256 * 1024;

/** One room's document; every write of one `RoomDocument` carries itself as the transaction's origin. */
export class RoomDocument {
  readonly #doc: Y.Doc;
  readonly #elements: Y.Map<unknown>;
  readonly #meta: Y.Map<unknown>;

  constructor(doc: Y.Doc) {
    this.#doc = doc;
    this.#elements = doc.getMap(ELEMENTS);
    this.#meta = doc.getMap("meta");
  }

  ids(): IterableIterator<string> {
    return this.#elements.keys();
  }

  /** True when the document has this element, deleted or not. */
  has(id: string): boolean {
    return this.#elements.get(id) instanceof Y.Map;
  }

  /** The element's groups, null when it isn't there. Shared with the document: never change them. */
  groups(id: string): Groups | null {
    const stored = this.#elements.get(id);
    if (!(stored instanceof Y.Map)) return null;
    const groups: Groups = {};
    for (const name of GROUP_NAMES) {
      const value: unknown = stored.get(name);
      // A shared type in the place of a plain value is nobody's idea of an element.
      if (value !== undefined && !(value instanceof Y.AbstractType)) groups[name] = value as Json;
    }
    return groups;
  }

  /** The element's type as stored, null when it has none. */
  type(id: string): string | null {
    const stored = this.#elements.get(id);
    const type = stored instanceof Y.Map ? readObject(stored.get("kind"))["type"] : null;
    return typeof type === "string" ? type : null;
  }

  /** The element's place in the drawing order as stored, null when it has no usable one. */
  index(id: string): string | null {
    const stored = this.#elements.get(id);
    return stored instanceof Y.Map ? readIndex(stored.get("z")) : null;
  }

  /** The canvas color, null when none was chosen. */
  get background(): string | null {
    const color = this.#meta.get("background");
    return typeof color === "string" && color.length <= 128 ? color : null;
  }

  set background(color: string | null) {
    this.#doc.transact(() => {
      if (color === null) this.#meta.delete("background");
      else this.#meta.set("background", color);
    }, this);
  }

  /** Writes the changes in transactions of at most 256 KiB each; an element is never split over two. */
  write(changes: readonly Change[]): void {
    for (const part of partsOf(changes)) {
      this.#doc.transact(() => {
        for (const { id, groups } of part) this.#put(id, groups);
      }, this);
    }
  }

  #put(id: string, groups: Groups): void {
    const stored = this.#elements.get(id);
    const map = stored instanceof Y.Map ? (stored as Y.Map<unknown>) : new Y.Map<unknown>();
    for (const name of GROUP_NAMES) if (groups[name] !== undefined) map.set(name, groups[name]);
    if (map === stored) return;
    this.#elements.set(id, map);
    if (this.#meta.get("schemaVersion") === undefined) this.#meta.set("schemaVersion", SCHEMA_VERSION);
  }

  /** Calls back after every transaction that isn't our own; the answer stops it. */
  observe(listener: (change: RemoteChange) => void): () => void {
    const onElements = (events: readonly Y.YEvent<any>[], transaction: Y.Transaction) => {
      if (transaction.origin === this) return;
      const touched = new Set<string>();
      for (const event of events) {
        if (event.target === this.#elements) for (const id of event.keys.keys()) touched.add(id);
        else if (typeof event.path[0] === "string") touched.add(event.path[0]);
      }
      listener({ elements: touched, background: false });
    };
    const onMeta = (event: Y.YMapEvent<unknown>, transaction: Y.Transaction) => {
      if (transaction.origin === this || !event.keysChanged.has("background")) return;
      listener({ elements: new Set(), background: true });
    };
    const elements = this.#elements;
    const meta = this.#meta;
    elements.observeDeep(onElements);
    meta.observe(onMeta);
    return () => {
      elements.unobserveDeep(onElements);
      meta.unobserve(onMeta);
    };
  }
}

/** Cuts a list of changes into parts below the transaction limit, in order. */
export function partsOf(changes: readonly Change[], limitBytes = MAX_TRANSACTION_BYTES): Change[][] {
  const parts: Change[][] = [];
  let part: Change[] = [];
  let bytes = 0;
  for (const change of changes) {
    const size = new TextEncoder().encode(JSON.stringify(change.groups)).length + change.id.length + PER_ELEMENT_BYTES;
    if (part.length > 0 && bytes + size > limitBytes) {
      parts.push(part);
      part = [];
      bytes = 0;
    }
    part.push(change);
    bytes += size;
  }
  if (part.length > 0) parts.push(part);
  return parts;
}

/** Ids, parents and keys that Yjs writes around the eight values. */
const PER_ELEMENT_BYTES = 200;

/** Orders by (fractional index, id); what has no index comes last. */
export function byIndex(a: { index: string | null; id: string }, b: { index: string | null; id: string }): number {
  if (a.index !== b.index) {
    if (a.index === null) return 1;
    if (b.index === null) return -1;
    return a.index < b.index ? -1 : 1;
  }
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}

/** Every live element as Excalidraw JSON in drawing order, `boundElements` derived: for a `.excalidraw` file. */
export function readScene(doc: Y.Doc): ExcalidrawElement[] {
  const room = new RoomDocument(doc);
  const bonds = new Bonds();
  const elements: ExcalidrawElement[] = [];
  for (const id of room.ids()) {
    const groups = room.groups(id);
    const element = groups && join(id, groups);
    if (!element || element.isDeleted) continue;
    bonds.set(id, element);
    elements.push(element);
  }
  return elements.sort(byIndex).map((element) => ({ ...element, boundElements: bonds.of(element.id) }));
}

/** The canvas color, or null when nobody chose one. */
export function readBackground(doc: Y.Doc): string | null {
  return new RoomDocument(doc).background;
}
