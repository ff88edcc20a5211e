// @vitest-environment node
import { describe, expect, it } from "vitest";
import * as Y from "yjs";
import { Bonds } from "../../src/binding/bonds";
import { MAX_TRANSACTION_BYTES, partsOf, readBackground, readScene, RoomDocument } from "../../src/binding/document";
import { split, type ElementLike } from "../../src/binding/groups";
import { Overlays } from "../../src/binding/overlays";
import { Painter } from "../../src/binding/painter";
import { Scribe } from "../../src/binding/scribe";
import { Shadow, splitElement } from "../../src/binding/shadow";
import { sample, SAMPLES } from "./samples";

/** One person: a document, and what of it is written how. */
class Person {
  readonly doc = new Y.Doc();
  readonly document = new RoomDocument(this.doc);
  readonly shadow = new Shadow();
  readonly bonds = new Bonds();
  readonly overlays = new Overlays();
  readonly scribe = new Scribe(this.document, this.shadow, this.bonds, () => true);
  readonly painter = new Painter(this.document, this.shadow, this.bonds, this.overlays);
  scene: readonly ReturnType<typeof sample>[] = [];
  updates: number[] = [];

  constructor() {
    this.doc.on("update", (update: Uint8Array) => this.updates.push(update.length));
  }

  /** What the editor does to an element: a new version of it. */
  edit(id: string, fields: Record<string, unknown>): void {
    this.scene = this.scene.map((element) =>
      element.id === id
        ? ({ ...element, ...fields, version: element.version + 1, versionNonce: Math.random() } as never)
        : element,
    );
    this.scribe.write(this.scene);
  }

  show(): number {
    const painting = this.painter.paint(this.scene, this.painter.note(this.document.ids()));
    if (!painting) return 0;
    this.painter.hand(painting, this.scene, this.scribe.idle, () => undefined);
    this.scene = painting.elements;
    return painting.shown.size;
  }
}

function meet(...people: Person[]): void {
  for (const from of people) for (const to of people) Y.applyUpdate(to.doc, Y.encodeStateAsUpdate(from.doc, Y.encodeStateVector(to.doc)));
  for (const person of people) person.show();
}

const plain = (person: Person) =>
  person.scene.map(({ version, versionNonce, updated, ...rest }) => ({ ...rest, boundElements: rest.boundElements ?? [] }));

function pair(...elements: ReturnType<typeof sample>[]): [Person, Person] {
  const [ann, bob] = [new Person(), new Person()];
  ann.scene = elements;
  ann.scribe.write(ann.scene);
  meet(ann, bob);
  return [ann, bob];
}

describe("two people at one element", () => {
  it("moving and recolouring at once: both win", () => {
    const [ann, bob] = pair(sample("rectangle"));
    ann.edit("rectangle-1", { x: 500, y: 600 });
    bob.edit("rectangle-1", { strokeColor: "#2f9e44" });
    meet(ann, bob);
    expect(plain(ann)).toEqual(plain(bob));
    expect(ann.scene[0]).toMatchObject({ x: 500, y: 600, strokeColor: "#2f9e44" });
  });

  it("any two groups of every type merge", () => {
    const edits: Record<string, Record<string, unknown>> = {
      geometry: { x: 1, y: 2 }, style: { opacity: 5 }, meta: { locked: false }, z: { index: "a9" }, deleted: { isDeleted: true },
      text: { text: "new", originalText: "new" }, image: { scale: [1, -1] },
    };
    for (const [name, element] of Object.entries(SAMPLES)) {
      const groups = Object.keys(split(element as ElementLike)).filter((group) => group !== "kind");
      groups.forEach((one, at) => {
        const other = groups[(at + 1) % groups.length]!;
        const [ann, bob] = pair(sample(name));
        const id = element["id"] as string;
        ann.edit(id, edits[one]!);
        bob.edit(id, edits[other]!);
        meet(ann, bob);
        expect(ann.scene[0], `${name} ${one} ${other}`).toMatchObject({ ...edits[one], ...edits[other] });
        expect(plain(ann)).toEqual(plain(bob));
      });
    }
  });

  it("two people binding arrows to one shape keep both", () => {
    const [ann, bob] = pair(sample("rectangle"), sample("ellipse", { index: "a2" }));
    const end = { elementId: "rectangle-1", focus: 0, gap: 1 };
    for (const [person, id] of [[ann, "one"], [bob, "two"]] as const) {
      person.scene = [...person.scene, sample("arrow", { id, index: "a3", startBinding: end, endBinding: null })];
      person.scribe.write(person.scene);
    }
    meet(ann, bob);
    for (const person of [ann, bob]) {
      expect(person.scene[0]!.boundElements?.map(({ id }) => id).sort()).toEqual(["one", "two"]);
      // The same index twice: both see the same order.
      expect(person.scene.map(({ id }) => id)).toEqual(["rectangle-1", "ellipse-1", "one", "two"]);
    }
    ann.edit("one", { isDeleted: true });
    meet(ann, bob);
    expect(bob.scene[0]!.boundElements?.map(({ id }) => id)).toEqual(["two"]);
  });

  it("deleting wins over moving", () => {
    const [ann, bob] = pair(sample("rectangle"));
    ann.edit("rectangle-1", { isDeleted: true });
    bob.edit("rectangle-1", { x: 1 });
    meet(ann, bob);
    for (const person of [ann, bob]) expect(person.scene[0]).toMatchObject({ isDeleted: true, x: 1 });
  });
});

describe("no echo", () => {
  it("showing a remote change writes nothing, whatever the type", () => {
    const [ann, bob] = pair(...Object.keys(SAMPLES).map((name, at) => sample(name, { index: `a${at + 1}` })));
    for (const { id } of ann.scene) ann.edit(id, { opacity: 50, x: 3 });
    meet(ann, bob);
    bob.updates = [];
    bob.scribe.write(bob.scene);
    expect(bob.updates).toEqual([]);
    expect(bob.show()).toBe(0);
  });

  it("a change nobody made moves only the version on", () => {
    const [ann] = pair(sample("image"));
    ann.updates = [];
    ann.edit("image-1", { status: "error" });
    expect(ann.updates).toEqual([]);
    expect(ann.shadow.isDirty(ann.scene[0]!)).toBe(false);
  });

  it("a repaired index is not written, and a later move doesn't carry it", () => {
    const [ann, bob] = pair(sample("rectangle"), sample("ellipse", { index: "a2" }));
    bob.edit("rectangle-1", { opacity: 1 });
    Y.applyUpdate(ann.doc, Y.encodeStateAsUpdate(bob.doc));
    const painting = ann.painter.paint(ann.scene, ann.painter.note(["rectangle-1"]))!;
    ann.painter.hand(painting, ann.scene, ann.scribe.idle, () => {
      // As Excalidraw repairs a duplicate: in place, with a new version.
      Object.assign(painting.elements[1]!, { index: "a3", version: 50, versionNonce: 51 });
    });
    ann.scene = painting.elements;
    ann.updates = [];
    ann.scribe.write(ann.scene);
    expect(ann.updates).toEqual([]);
    ann.edit("ellipse-1", { x: 77 });
    expect(ann.document.index("ellipse-1")).toBe("a2");
  });

  it("an element put between two of one index brings their repair along, unless somebody moved them meanwhile", () => {
    for (const moved of [false, true]) {
      const [ann, bob] = pair(sample("rectangle", { index: "a1" }), sample("ellipse", { index: "a1" }), sample("diamond", { index: "a2" }));
      bob.edit("diamond-1", { opacity: 1 });
      Y.applyUpdate(ann.doc, Y.encodeStateAsUpdate(bob.doc));
      const painting = ann.painter.paint(ann.scene, ann.painter.note(["diamond-1"]))!;
      ann.painter.hand(painting, ann.scene, ann.scribe.idle, () => {
        const second = painting.elements.findIndex(({ id }) => id === "rectangle-1");
        Object.assign(painting.elements[second]!, { index: "a1V", version: 50, versionNonce: 51 });
      });
      ann.scene = painting.elements;
      if (moved) {
        bob.edit("rectangle-1", { index: "a9" });
        Y.applyUpdate(ann.doc, Y.encodeStateAsUpdate(bob.doc));
      }
      // Another change of mine in between changes nothing of that.
      ann.edit("rectangle-1", { x: 5 });
      ann.edit("diamond-1", { index: "a1G" });
      const order = readScene(ann.doc).map(({ id }) => id);
      expect(order).toEqual(["ellipse-1", "diamond-1", "rectangle-1"]);
      expect(ann.document.index("rectangle-1")).toBe(moved ? "a9" : "a1V");
      ann.updates = [];
      ann.edit("diamond-1", { index: "a1H" });
      expect(ann.updates[0]).toBeLessThan(60);
    }
  });

  it("an order I changed and that isn't written yet outlives somebody else's reorder", () => {
    const [ann, bob] = pair(sample("rectangle", { index: "a1" }), sample("ellipse", { index: "a2" }), sample("diamond", { index: "a3" }));
    ann.scene = ann.scene.map((element) => (element.id === "rectangle-1" ? { ...element, index: "a4" as never, version: 9, versionNonce: 9 } : element));
    bob.edit("diamond-1", { index: "a0" });
    Y.applyUpdate(ann.doc, Y.encodeStateAsUpdate(bob.doc));
    const painting = ann.painter.paint(ann.scene, ann.painter.note(["diamond-1"]))!;
    expect(painting.elements.map(({ id }) => id)).toEqual(["diamond-1", "ellipse-1", "rectangle-1"]);
  });

  it("a reorder that isn't written yet outlives a repair of its index", () => {
    const [ann, bob] = pair(sample("rectangle", { index: "a1" }), sample("ellipse", { index: "a2" }));
    // To the front, while the last change is younger than the throttle.
    ann.scene = ann.scene.map((element) => (element.id === "rectangle-1" ? { ...element, index: "a3" as never, version: 9, versionNonce: 9 } : element));
    bob.scene = [...bob.scene, sample("diamond", { index: "a3" })];
    bob.scribe.write(bob.scene);
    Y.applyUpdate(ann.doc, Y.encodeStateAsUpdate(bob.doc));
    const painting = ann.painter.paint(ann.scene, ann.painter.note(["diamond-1"]))!;
    ann.painter.hand(painting, ann.scene, ann.scribe.idle, () => {
      Object.assign(painting.elements.find(({ id }) => id === "rectangle-1")!, { index: "a3V", version: 50, versionNonce: 51 });
    });
    ann.scene = painting.elements;
    ann.scribe.write(ann.scene);
    expect(ann.document.index("rectangle-1")).toBe("a3V");
  });

  it("a drag of many frames costs one value, less than 100 bytes more", () => {
    const [ann] = pair(sample("rectangle"));
    const before = Y.encodeStateAsUpdate(ann.doc).length;
    ann.updates = [];
    for (let frame = 0; frame < 1000; frame++) {
      ann.scene = ann.scene.map((element) => ({ ...element, x: frame, version: element.version + 1, versionNonce: frame + 1000 }));
    }
    ann.scribe.write(ann.scene);
    expect(ann.updates).toHaveLength(1);
    expect(ann.updates[0]).toBeLessThan(150);
    expect(Y.encodeStateAsUpdate(ann.doc).length - before).toBeLessThan(100);
  });
});

describe("the document", () => {
  it("creates an element with all its groups in one transaction", () => {
    const ann = new Person();
    ann.scene = [sample("text")];
    ann.scribe.write(ann.scene);
    expect(ann.updates).toHaveLength(1);
    expect(Object.keys(ann.document.groups("text-1")!).sort()).toEqual(["deleted", "geometry", "kind", "meta", "style", "text", "z"]);
    expect(ann.doc.getMap("meta").get("schemaVersion")).toBe(1);
  });

  it("writes everything again when it lost the element", () => {
    const [ann] = pair(sample("rectangle"));
    ann.doc.getMap("elements").delete("rectangle-1");
    ann.edit("rectangle-1", { x: 9 });
    expect(ann.document.groups("rectangle-1")).toMatchObject({ kind: { type: "rectangle" }, geometry: { x: 9 }, deleted: false });
  });

  it("never hears of what was drawn and taken back", () => {
    const ann = new Person();
    ann.scene = [sample("rectangle", { isDeleted: true })];
    expect(ann.scribe.write(ann.scene)).toEqual([]);
    expect([...ann.document.ids()]).toEqual([]);
  });

  it("holds images back until their bytes are stored, and empty texts", () => {
    const ann = new Person();
    const stored = new Set<string>();
    const scribe = new Scribe(ann.document, ann.shadow, ann.bonds, (fileId) => stored.has(fileId));
    const scene = [sample("image"), sample("text", { text: "", originalText: "" }), sample("image", { id: "i2", fileId: null })];
    expect(scribe.write(scene)).toEqual([]);
    expect(scribe.awaitedFile(scene[0]!)).toBe("ab".repeat(32));
    stored.add("ab".repeat(32));
    expect(scribe.write(scene).map(({ id }) => id)).toEqual(["image-1"]);
  });

  it("survives foreign types in the place of values", () => {
    const ann = new Person();
    const elements = ann.doc.getMap("elements");
    elements.set("plain", 5);
    elements.set("array", new Y.Array());
    const odd = new Y.Map();
    odd.set("kind", { type: "rectangle" });
    odd.set("geometry", new Y.Map());
    elements.set("odd", odd);
    ann.doc.getMap("meta").set("background", { not: "a color" });
    expect(readScene(ann.doc).map(({ id }) => id)).toEqual(["odd"]);
    expect(readBackground(ann.doc)).toBeNull();
    expect(ann.show()).toBe(1);
  });

  it("splits what is too much for one transaction, never an element", () => {
    const big = (id: string) => ({ id, groups: { text: { text: "é".repeat(60_000) } } });
    const parts = partsOf([big("a"), big("b"), big("c"), big("d")]);
    expect(parts.map((part) => part.map(({ id }) => id))).toEqual([["a", "b"], ["c", "d"]]);
    expect(partsOf([{ id: "huge", groups: { text: { text: "x".repeat(MAX_TRANSACTION_BYTES * 2) } } }])).toHaveLength(1);
    const ann = new Person();
    ann.scene = Array.from({ length: 1200 }, (_, at) => sample("rectangle", { id: `r${at}`, versionNonce: at }));
    ann.scribe.write(ann.scene);
    expect(ann.updates.length).toBeGreaterThan(2);
    expect(Math.max(...ann.updates)).toBeLessThan(MAX_TRANSACTION_BYTES);
    expect(readScene(ann.doc)).toHaveLength(1200);
  });

  it("orders by index and id, and derives bound elements for a file", () => {
    const ann = new Person();
    ann.scene = [
      sample("arrow", { index: "a3" }), sample("rectangle", { index: "a2" }), sample("ellipse", { index: "a2" }),
      sample("diamond", { index: "a1", isDeleted: true }),
    ];
    for (const element of ann.scene) ann.document.write([{ id: element.id, groups: splitElement(element) }]);
    const file = readScene(ann.doc);
    expect(file.map(({ id }) => id)).toEqual(["ellipse-1", "rectangle-1", "arrow-1"]);
    expect(file[1]!.boundElements).toEqual([{ id: "arrow-1", type: "arrow" }]);
  });
});
