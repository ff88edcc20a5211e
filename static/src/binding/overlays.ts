/**
 * What peers are doing right now, laid over what the document says: shown, never written.
 *
 * Owns which preview covers which element and until when. Does not own: the previews' form (previews.ts), the scene
 * (scene.ts). Pure: time is passed in. Source: CLIENT.md "Gestures".
 */
import type { Groups, Json } from "./groups";
import { strokePoints, type Preview, type PreviewItem } from "./previews";
import { readNumber, readObject, type Pair } from "./values";

/** A preview outlives its gesture until the commit comes, at most this long. */
export const LINGER_MS = 1000;

interface Layer {
  gesture: string;
  color: string;
  /** Element id to the item that covers it. */
  items: Map<string, PreviewItem>;
  /** Points of a stroke as far as they were heard of; a gap is drawn straight. */
  points: Map<string, Pair[]>;
  /** Elements whose commit came after their last preview. */
  settled: Set<string>;
  /** When it goes for good; null while the gesture is open. */
  endsAtMs: number | null;
}

/** What to show for one element. */
export interface Overlaid {
  groups: Groups;
  /** Not in the document: shown from the preview only. */
  ghost: boolean;
}

/** The id under which a peer's bounding box is shown. */
const boxId = (client: number) => `preview-${client}`;

export class Overlays {
  readonly #layers = new Map<number, Layer[]>();

  /** A peer's newest preview (null: none). Answers the elements that look different now. */
  set(client: number, preview: Preview | null, color: string, nowMs: number): Set<string> {
    const layers = this.#layers.get(client) ?? [];
    const affected = new Set<string>();
    let open = layers.find((layer) => layer.endsAtMs === null);
    if (open && open.gesture !== preview?.gesture) {
      this.#end(open, nowMs, affected);
      open = undefined;
    }
    if (preview) {
      if (!open) layers.push((open = emptyLayer(preview.gesture, color)));
      this.#fill(open, client, preview, affected);
    }
    this.#keep(client, layers);
    return affected;
  }

  /** The document changed an element: its commit may have come. */
  settle(id: string): void {
    for (const [client, layers] of this.#layers) {
      for (const layer of layers) {
        if (!layer.items.has(id)) continue;
        if (layer.endsAtMs === null) layer.settled.add(id);
        else layer.items.delete(id);
      }
      this.#keep(client, layers);
    }
  }

  /** Drops what has lingered long enough. Answers the elements that look different now. */
  expire(nowMs: number): Set<string> {
    const affected = new Set<string>();
    for (const [client, layers] of this.#layers) {
      for (const layer of layers) {
        if (layer.endsAtMs === null || layer.endsAtMs > nowMs) continue;
        for (const id of layer.items.keys()) affected.add(id);
        layer.items.clear();
      }
      this.#keep(client, layers);
    }
    return affected;
  }

  /** When the next one ends; null when none does. */
  get nextEndMs(): number | null {
    let next: number | null = null;
    for (const layers of this.#layers.values()) {
      for (const { endsAtMs } of layers) if (endsAtMs !== null && (next === null || endsAtMs < next)) next = endsAtMs;
    }
    return next;
  }

  /** The element as it is to be shown: the document's groups (null: it has none) under what covers them. */
  apply(id: string, stored: Groups | null, storedOf: (id: string) => Groups | null): Overlaid | null {
    // The newest layer alone: each says where the element is, measured from the document.
    let top: { item: PreviewItem; layer: Layer } | null = null;
    for (const layers of this.#layers.values()) {
      for (const layer of layers) {
        const item = layer.items.get(id);
        if (item) top = { item, layer };
      }
    }
    const groups = top ? cover(id, top.item, stored, top.layer, storedOf) : stored;
    return groups ? { groups, ghost: stored === null } : null;
  }

  #fill(layer: Layer, client: number, preview: Preview, affected: Set<string>): void {
    const before = new Set(layer.items.keys());
    const items = new Map<string, PreviewItem>();
    for (const item of preview.items) for (const id of idsOf(item, client)) items.set(id, item);
    for (const id of before) if (!items.has(id)) affected.add(id);
    for (const [id, item] of items) {
      affected.add(id);
      layer.settled.delete(id);
      if (item.kind === "stroke") {
        const points = (layer.points.get(id) ?? []).slice(0, item.from);
        layer.points.set(id, [...points, ...strokePoints(item)]);
      }
    }
    // An item that left an open gesture was committed in its middle: it stays until that commit comes.
    for (const [id, item] of layer.items) if (!items.has(id) && !layer.settled.has(id)) items.set(id, item);
    layer.items = items;
  }

  #end(layer: Layer, nowMs: number, affected: Set<string>): void {
    layer.endsAtMs = nowMs + LINGER_MS;
    for (const id of layer.settled) {
      layer.items.delete(id);
      affected.add(id);
    }
    for (const [id, item] of layer.items) {
      if (item.kind !== "box") continue;
      layer.items.delete(id);
      affected.add(id);
    }
  }

  #keep(client: number, layers: Layer[]): void {
    const left = layers.filter((layer) => layer.endsAtMs === null || layer.items.size > 0);
    if (left.length > 0) this.#layers.set(client, left);
    else this.#layers.delete(client);
  }
}

function emptyLayer(gesture: string, color: string): Layer {
  return { gesture, color, items: new Map(), points: new Map(), settled: new Set(), endsAtMs: null };
}

function idsOf(item: PreviewItem, client: number): string[] {
  switch (item.kind) {
    case "move":
      return item.ids;
    case "transform":
      return item.elements.map(({ id }) => id);
    case "box":
      return [boxId(client)];
    default:
      return [item.id];
  }
}

function cover(
  id: string, item: PreviewItem, stored: Groups | null, layer: Layer, storedOf: (id: string) => Groups | null,
): Groups | null {
  switch (item.kind) {
    case "move": {
      if (!stored) return null;
      const lead = readObject(storedOf(item.ids[0]!)?.geometry);
      const own = readObject(stored.geometry);
      const dx = item.x - readNumber(lead["x"], item.x);
      const dy = item.y - readNumber(lead["y"], item.y);
      return { ...stored, geometry: { ...own, x: readNumber(own["x"], 0) + dx, y: readNumber(own["y"], 0) + dy } };
    }
    case "transform": {
      const groups = item.elements.find((element) => element.id === id)?.groups;
      // The ends it holds on to are the document's business.
      const { startBinding, endBinding } = readObject(stored?.geometry);
      if (!stored || !groups) return stored;
      return { ...stored, ...groups, geometry: { ...readObject(groups.geometry), startBinding, endBinding } };
    }
    case "box":
      return ghostBox(item.bounds, layer.color);
    case "stroke": {
      const points = layer.points.get(id) ?? [];
      const drawn = { points: points as unknown as Json, simulatePressure: true };
      const box = { x: item.x, y: item.y, ...extentOf(points), angle: 0, ...drawn };
      if (stored) return { ...stored, geometry: box };
      return ghost({ kind: { type: "freedraw", seed: 1 }, geometry: box, style: item.style });
    }
    case "draft":
      return stored ? { ...stored, geometry: item.groups.geometry } : ghost(item.groups);
  }
}

/** Locked, so that nobody picks up what isn't there yet. */
function ghost(groups: Groups): Groups {
  return { ...groups, meta: { ...readObject(groups.meta), locked: true }, deleted: false };
}

function ghostBox([minX, minY, maxX, maxY]: readonly number[], color: string): Groups {
  return ghost({
    kind: { type: "rectangle", seed: 1 },
    geometry: { x: minX!, y: minY!, width: maxX! - minX!, height: maxY! - minY!, angle: 0 },
    style: { strokeColor: color, strokeStyle: "dashed", strokeWidth: 1, roughness: 0 },
  });
}

function extentOf(points: readonly Pair[]): { width: number; height: number } {
  const xs = points.map(([x]) => x);
  const ys = points.map(([, y]) => y);
  if (points.length === 0) return { width: 0, height: 0 };
  const span = (values: number[]) => values.reduce((a, b) => Math.max(a, b)) - values.reduce((a, b) => Math.min(a, b));
  return { width: span(xs), height: span(ys) };
}
