// @vitest-environment node
import { describe, expect, it } from "vitest";
import { join } from "../../src/binding/elements";
import type { Groups } from "../../src/binding/groups";
import { LINGER_MS, Overlays } from "../../src/binding/overlays";
import { makePreview, PREVIEW_BYTES, readPreview, strokePoints, type Preview } from "../../src/binding/previews";
import { Shadow, splitElement } from "../../src/binding/shadow";
import { sample, SAMPLES } from "./samples";

type Element = ReturnType<typeof sample>;

const bytes = (value: unknown) => new TextEncoder().encode(JSON.stringify(value)).length;
const id = (at: number) => `${"x".repeat(18)}${String(at).padStart(3, "0")}`;

/** A preview of these elements, those of `before` being in the document, as a peer reads it. */
function preview(before: Element[], now: Element[], growing: string | null = null): Preview | null {
  const shadow = new Shadow();
  for (const element of before) shadow.set(element);
  const made = makePreview("g", now, shadow, (of) => before.some((element) => element.id === of), growing);
  if (made) expect(bytes(made)).toBeLessThanOrEqual(PREVIEW_BYTES);
  const read = readPreview(JSON.parse(JSON.stringify(made)));
  if (made) expect(bytes(read)).toBeLessThanOrEqual(bytes(made));
  return read;
}

function shown(overlays: Overlays, before: Element[], of: string): Record<string, unknown> | null {
  const groups = (one: string): Groups | null => {
    const element = before.find((candidate) => candidate.id === one);
    return element ? splitElement(element) : null;
  };
  const overlaid = overlays.apply(of, groups(of), groups);
  return overlaid && { ...join(of, overlaid.groups), ghost: overlaid.ghost };
}

describe("a preview", () => {
  it("of a move names the elements and where the first one is", () => {
    const before = Array.from({ length: 30 }, (_, at) => sample("rectangle", { id: id(at), x: at * 10, y: 5 }));
    const read = preview(before, before.map((element) => ({ ...element, x: element.x + 7, y: element.y - 3 })));
    expect(read?.items).toEqual([{ kind: "move", ids: before.map((element) => element.id), x: 7, y: 2 }]);
    const overlays = new Overlays();
    overlays.set(1, read, "#ff0000", 0);
    expect(shown(overlays, before, id(4))).toMatchObject({ x: 47, y: 2, ghost: false });
    // A commit in the middle of the gesture moves nothing twice.
    const committed = before.map((element) => ({ ...element, x: element.x + 7, y: element.y - 3 }));
    expect(shown(overlays, committed, id(4))).toMatchObject({ x: 47, y: 2 });
  });

  it("of a resize brings the geometry, of up to 20 elements", () => {
    const before = [sample("ellipse"), sample("arrow")];
    const read = preview(before, before.map((element) => ({ ...element, width: 333 })));
    expect(read?.items).toMatchObject([{ kind: "transform", elements: [{ id: "ellipse-1" }, { id: "arrow-1" }] }]);
    const overlays = new Overlays();
    overlays.set(1, read, "#ff0000", 0);
    expect(shown(overlays, before, "ellipse-1")).toMatchObject({ width: 333, strokeColor: "#e03131" });
    expect(shown(overlays, before, "arrow-1")).toMatchObject({ startBinding: { elementId: "rectangle-1" } });
  });

  it("of too much is a box", () => {
    const before = Array.from({ length: 400 }, (_, at) => sample("rectangle", { id: id(at), x: at, y: 0, width: 10, height: 10 }));
    for (const change of [{ x: 50 }, { width: 77 }]) {
      const read = preview(before, before.map((element) => ({ ...element, ...change })));
      expect(read?.items[0]?.kind).toBe("box");
      const overlays = new Overlays();
      const [box] = [...overlays.set(9, read, "#00ff00", 0)];
      expect(shown(overlays, before, box!)).toMatchObject({ type: "rectangle", ghost: true, locked: true, strokeColor: "#00ff00", strokeStyle: "dashed" });
      overlays.set(9, null, "#00ff00", 10);
      expect(shown(overlays, before, box!)).toBeNull();
    }
  });

  it("of a stroke stays small, and a peer who missed nothing sees all of it", () => {
    const overlays = new Overlays();
    const points: [number, number][] = [];
    let last = 0;
    for (let at = 0; at < 3000; at++) {
      points.push([at * 3.3, 80 * Math.sin(at / 9)]);
      if (at % 60 !== 59) continue;
      const stroke = sample("freedraw", { id: "s", index: null, points: points.map(([x, y]) => [x, y]), x: 5, y: 6 });
      overlays.set(1, preview([], [stroke], "s"), "#ff0000", at);
      const seen = shown(overlays, [], "s") as unknown as { points: [number, number][]; x: number; strokeColor: string };
      expect(seen).toMatchObject({ type: "freedraw", ghost: true, locked: true, x: 5, y: 6, strokeColor: "#e03131" });
      expect(seen.points).toHaveLength(points.length);
      last = Math.max(...seen.points.map(([x, y], n) => Math.hypot(x - points[n]![0], y - points[n]![1])));
    }
    expect(last).toBeLessThan(0.2);
  });

  it("of a fast pen keeps the end of the stroke", () => {
    const points = Array.from({ length: 300 }, (_, at) => [((at * 7919) % 9973) * 50, ((at * 104729) % 9967) * 50]);
    const read = preview([], [sample("freedraw", { points })], "freedraw-1");
    const stroke = read?.items[0];
    expect(stroke?.kind).toBe("stroke");
    if (stroke?.kind === "stroke") expect(strokePoints(stroke).at(-1)).toEqual(points.at(-1));
  });

  it("of something new is a ghost that can't be picked up and holds on to nothing", () => {
    for (const [name, element] of Object.entries(SAMPLES)) {
      const read = preview([], [sample(name, { text: "short", originalText: "short" })]);
      if (element["type"] === "image") {
        expect(read).toBeNull();
        continue;
      }
      const overlays = new Overlays();
      overlays.set(1, read, "#ff0000", 0);
      const ghost = shown(overlays, [], element["id"] as string);
      expect(ghost, name).toMatchObject({ type: element["type"], ghost: true, locked: true, index: null, isDeleted: false });
      if (element["type"] === "arrow") expect(ghost).toMatchObject({ startBinding: null, endBinding: null });
    }
  });

  it("of nothing new is none", () => {
    expect(preview([sample("rectangle")], [])).toBeNull();
    expect(preview([sample("rectangle")], [sample("rectangle", { strokeColor: "#000000" })])).toBeNull();
  });

  it("from a hostile peer is ignored, or drawable", () => {
    for (const value of [null, 5, "x", [], {}, { gesture: "g" }, { gesture: 5, items: [] }]) expect(readPreview(value)).toBeNull();
    const items = [
      null, 5, {}, { kind: "move" }, { kind: "move", ids: [5, {}] }, { kind: "move", ids: ["rectangle-1"], x: "a", y: null },
      { kind: "transform", elements: "x" }, { kind: "transform", elements: [null, { id: "rectangle-1" }, { id: "rectangle-1", groups: { geometry: "x" } }] },
      { kind: "box", bounds: [1, 2] }, { kind: "box", bounds: ["a", {}, null, 1e999] }, { kind: "stroke", id: "s" },
      { kind: "stroke", id: "s", deltas: ["a", 1e308, null], from: -5 }, { kind: "draft", id: "d" },
      { kind: "draft", id: "d", groups: { kind: { type: "freedraw" }, geometry: { points: "x" } } }, { kind: "__proto__" },
    ];
    const before = [sample("rectangle")];
    for (const item of items) {
      const overlays = new Overlays();
      const read = readPreview({ gesture: "g", items: [item] });
      for (const of of overlays.set(1, read, "#ff0000", 0)) {
        const element = shown(overlays, before, of);
        for (const value of Object.values(element ?? {})) if (typeof value === "number") expect(Number.isFinite(value)).toBe(true);
      }
    }
  });
});

describe("an overlay", () => {
  const before = [sample("rectangle", { x: 0, y: 0 })];
  const moved = (x: number): Preview => ({ gesture: "g", items: [{ kind: "move", ids: ["rectangle-1"], x, y: 0 }] });

  it("stays until the commit comes", () => {
    const overlays = new Overlays();
    overlays.set(1, moved(9), "#ff0000", 0);
    overlays.set(1, null, "#ff0000", 10);
    expect(shown(overlays, before, "rectangle-1")).toMatchObject({ x: 9 });
    expect(overlays.nextEndMs).toBe(10 + LINGER_MS);
    overlays.settle("rectangle-1");
    expect(shown(overlays, before, "rectangle-1")).toMatchObject({ x: 0 });
    expect(overlays.nextEndMs).toBeNull();
  });

  it("goes at once when the commit came first", () => {
    const overlays = new Overlays();
    overlays.set(1, moved(9), "#ff0000", 0);
    overlays.settle("rectangle-1");
    expect([...overlays.set(1, null, "#ff0000", 10)]).toEqual(["rectangle-1"]);
    expect(shown(overlays, before, "rectangle-1")).toMatchObject({ x: 0 });
  });

  it("goes after a second without a commit", () => {
    const overlays = new Overlays();
    overlays.set(1, moved(9), "#ff0000", 0);
    overlays.set(1, null, "#ff0000", 10);
    expect([...overlays.expire(900)]).toEqual([]);
    expect([...overlays.expire(1010)]).toEqual(["rectangle-1"]);
    expect(shown(overlays, before, "rectangle-1")).toMatchObject({ x: 0 });
  });

  it("of the next gesture goes before the last one's", () => {
    const overlays = new Overlays();
    overlays.set(1, moved(9), "#ff0000", 0);
    overlays.set(1, { ...moved(20), gesture: "h" }, "#ff0000", 5);
    expect(shown(overlays, before, "rectangle-1")).toMatchObject({ x: 20 });
  });

  it("never brings back an element nobody has", () => {
    const overlays = new Overlays();
    overlays.set(1, moved(9), "#ff0000", 0);
    expect(shown(overlays, [], "rectangle-1")).toBeNull();
  });
});
