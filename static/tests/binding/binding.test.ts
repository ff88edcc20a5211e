// @vitest-environment happy-dom
import { afterEach, describe, expect, it } from "vitest";
import { Awareness } from "y-protocols/awareness";
import * as Y from "yjs";
import { Binding, type BindingOptions } from "../../src/binding/binding";
import { RoomDocument } from "../../src/binding/document";
import { splitElement } from "../../src/binding/shadow";
import { Editor, FakeClock } from "./editor";
import { sample } from "./samples";

const DOWN = { cursorButton: "down", selectedElementsAreBeingDragged: true };
const UP = { cursorButton: "up", selectedElementsAreBeingDragged: false };
const rendered = () => new Promise((resolve) => setTimeout(resolve, 0));

class Desk {
  readonly doc = new Y.Doc();
  readonly document = new RoomDocument(this.doc);
  readonly awareness = new Awareness(this.doc);
  readonly editor = new Editor();
  readonly clock = new FakeClock();
  readonly binding: Binding;
  /** Updates of this desk's own making. */
  readonly written: Uint8Array[] = [];

  constructor(options: Partial<BindingOptions> = {}) {
    this.binding = new Binding({ api: this.editor.api, doc: this.doc, awareness: this.awareness, clock: this.clock, ...options });
    this.editor.onChange = this.binding.onChange as never;
    this.doc.on("update", (update: Uint8Array, origin: unknown) => origin !== "remote" && this.written.push(update));
  }

  /** Somebody else's edit arrives. */
  remote(id: string, fields: object, type = "rectangle"): void {
    const doc = new Y.Doc();
    Y.applyUpdate(doc, Y.encodeStateAsUpdate(this.doc));
    const document = new RoomDocument(doc);
    const groups = splitElement(sample(type, { id, ...fields }));
    if (document.has(id)) for (const name of Object.keys(groups)) if (!relevant(name, fields)) delete groups[name as never];
    document.write([{ id, groups }]);
    Y.applyUpdate(this.doc, Y.encodeStateAsUpdate(doc, Y.encodeStateVector(this.doc)), "remote");
  }

  async frame(): Promise<void> {
    this.clock.advance(20);
    await rendered();
  }
}

const relevant = (group: string, fields: object) =>
  Object.keys(fields).some((field) =>
    group === "style" ? ["strokeColor", "opacity"].includes(field) : group === "geometry" ? ["x", "y", "width", "height"].includes(field) : group === "deleted" && field === "isDeleted",
  );

const desks: Desk[] = [];
function desk(options?: Partial<BindingOptions>): Desk {
  const made = new Desk(options);
  desks.push(made);
  made.remote("r", { x: 0, y: 0, strokeColor: "#000000" });
  made.binding.attach();
  return made;
}
afterEach(() => {
  for (const { binding, awareness } of desks.splice(0)) {
    binding.detach();
    awareness.destroy();
  }
});

describe("the binding", () => {
  it("shows the document when the editor is ready, and writes nothing by it", async () => {
    const made = new Desk();
    desks.push(made);
    made.remote("r", {});
    made.editor.state = { ...made.editor.state, isLoading: true };
    made.binding.attach();
    expect(made.editor.elements).toHaveLength(0);
    made.editor.act(null, {}, { isLoading: false });
    await rendered();
    expect(made.editor.get("r")).toMatchObject({ type: "rectangle", version: 1 });
    expect(made.written).toHaveLength(0);
  });

  it("makes one update of the scene of many remote changes", async () => {
    const { editor, clock, ...made } = desk();
    const before = editor.updates;
    for (let at = 0; at < 50; at++) made.document.observe(() => undefined)();
    for (let at = 0; at < 5; at++) desks[0]!.remote(`n${at}`, {});
    clock.advance(20);
    expect(editor.updates).toBe(before + 1);
    expect(editor.elements).toHaveLength(6);
  });

  it("keeps the identity of what didn't change, and raises version and nonce of what did", async () => {
    const made = desk();
    made.remote("other", { index: "a2" });
    await made.frame();
    const [old, other] = [made.editor.get("r"), made.editor.get("other")];
    made.remote("r", { strokeColor: "#ffffff" });
    await made.frame();
    expect(made.editor.get("other")).toBe(other);
    expect(made.editor.get("r")).toMatchObject({ strokeColor: "#ffffff", version: (old!["version"] as number) + 1 });
    expect(made.editor.get("r")!["versionNonce"]).not.toBe(old!["versionNonce"]);
  });

  it("does nothing for a moving cursor", () => {
    const made = desk();
    const before = made.editor.updates;
    for (let at = 0; at < 100; at++) made.editor.act(null, {});
    expect(made.written).toHaveLength(0);
    expect(made.editor.updates).toBe(before);
  });

  it("writes a drag once, at its end", () => {
    const made = desk();
    for (let frame = 1; frame <= 60; frame++) {
      made.editor.act("r", { x: frame }, DOWN);
      made.clock.advance(16);
    }
    expect(made.written).toHaveLength(0);
    made.editor.act(null, {}, UP);
    expect(made.written).toHaveLength(1);
    expect(made.document.groups("r")!.geometry).toMatchObject({ x: 60 });
  });

  it("writes a long one every second, and on blur", () => {
    const made = desk();
    for (let frame = 1; frame <= 300; frame++) {
      made.editor.act("r", { x: frame }, DOWN);
      made.clock.advance(16);
    }
    expect(made.written.length).toBeGreaterThanOrEqual(2);
    expect(made.written.length).toBeLessThanOrEqual(4);
    made.editor.act("r", { x: 999 });
    window.dispatchEvent(new Event("blur"));
    expect(made.document.groups("r")!.geometry).toMatchObject({ x: 999 });
  });

  it("queues others' changes of what I am dragging until I let go", async () => {
    const made = desk();
    made.editor.act("r", { x: 5 }, DOWN);
    made.remote("r", { strokeColor: "#2f9e44" });
    await made.frame();
    expect(made.editor.get("r")).toMatchObject({ x: 5, strokeColor: "#000000" });
    made.editor.act("r", { x: 9 });
    made.editor.act(null, {}, UP);
    await rendered();
    expect(made.editor.get("r")).toMatchObject({ x: 9, strokeColor: "#2f9e44" });
    expect(made.document.groups("r")).toMatchObject({ geometry: { x: 9 }, style: { strokeColor: "#2f9e44" } });
    expect(made.written).toHaveLength(1);
  });

  it("lets others' changes of other elements in meanwhile", async () => {
    const made = desk();
    made.editor.act("r", { x: 5 }, DOWN);
    made.remote("new", {});
    await made.frame();
    expect(made.editor.get("new")).toBeDefined();
    expect(made.editor.get("r")).toMatchObject({ x: 5 });
  });

  it("lists at a shape what holds on to it, though the editor forgot: a copied arrow, a deleted one", async () => {
    const made = desk();
    const arrow = { startBinding: null, endBinding: { elementId: "r", focus: 0, gap: 4 }, frameId: null };
    made.editor.add(sample("arrow", { ...arrow, id: "copy", index: "a3" }));
    await made.frame();
    expect(made.editor.get("r")).toMatchObject({ boundElements: [{ id: "copy", type: "arrow" }] });
    made.clock.advance(150);
    made.editor.act("copy", { isDeleted: true });
    await made.frame();
    expect(made.editor.get("r")).toMatchObject({ boundElements: [] });
    made.clock.advance(150);
    expect(made.written).toHaveLength(2);
    // As when two people gave one arrow a label: the editor lists the second one twice.
    made.editor.act("r", { boundElements: [{ id: "gone", type: "text" }, { id: "gone", type: "text" }] });
    await made.frame();
    made.clock.advance(150);
    await made.frame();
    expect(made.editor.get("r")).toMatchObject({ boundElements: [] });
    expect(made.written).toHaveLength(2);
  });

  it("forgets a hold that somebody deleted while I changed what held on", async () => {
    const made = desk();
    made.remote("t", { containerId: "r", frameId: null, index: "a3" }, "text");
    await made.frame();
    expect(made.editor.get("r")).toMatchObject({ boundElements: [{ id: "t", type: "text" }] });
    made.editor.act("t", { strokeColor: "#111111" });
    made.editor.act("t", { strokeColor: "#222222" }); // waits for the throttle
    made.remote("t", { isDeleted: true }, "text");
    await made.frame();
    await made.frame();
    expect(made.document.groups("t")).toMatchObject({ deleted: true, style: { strokeColor: "#222222" } });
    expect(made.editor.get("r")).toMatchObject({ boundElements: [] });
  });

  describe("while I type into a shape", () => {
    const words = { text: "", originalText: "", containerId: "r", x: 40, y: 20, angle: 0, frameId: null, index: "a2" };
    const bond = { id: "t", type: "text" };
    function typing(): Desk {
      const made = desk();
      made.editor.add(sample("text", { id: "t", ...words }), { editingTextElement: { id: "t" } });
      made.editor.act("r", { boundElements: [bond] });
      return made;
    }

    it("lets others move it when I am done, and takes my words along", async () => {
      const made = typing();
      made.remote("r", { x: 200, y: 100 });
      await made.frame();
      expect(made.editor.get("r")).toMatchObject({ x: 0, y: 0, boundElements: [bond] });
      made.editor.act("t", { text: "in", originalText: "in" });
      made.clock.advance(1500);
      expect(made.document.groups("t")).toMatchObject({ geometry: { x: 40 }, text: { originalText: "in" } });
      made.editor.act("t", { text: "inside", originalText: "inside" });
      made.editor.act(null, {}, { editingTextElement: null });
      await rendered();
      expect(made.editor.get("r")).toMatchObject({ x: 200, y: 100, boundElements: [bond] });
      made.clock.advance(150);
      expect(made.document.groups("r")!.geometry).toMatchObject({ x: 200, y: 100 });
      expect(made.document.groups("t")).toMatchObject({ geometry: { x: 240, y: 120 }, text: { originalText: "inside" } });
    });

    it("keeps others' colors of it out of my undo, also when my words made it grow and that is written", async () => {
      const made = typing();
      made.editor.act("t", { text: "in", originalText: "in" });
      made.editor.act("r", { height: 500 });
      made.clock.advance(1500);
      expect(made.document.groups("r")!.geometry).toMatchObject({ height: 500 });
      made.remote("r", { strokeColor: "#2f9e44" });
      await made.frame();
      expect(made.editor.get("r")).toMatchObject({ strokeColor: "#000000", height: 500 });
      made.editor.act(null, {}, { editingTextElement: null });
      await rendered();
      expect(made.editor.get("r")).toMatchObject({ strokeColor: "#2f9e44", height: 500 });
    });

    it("takes my words along when it was moved just as I ended, or before anybody knew of them", async () => {
      const made = typing();
      made.editor.act("t", { text: "in", originalText: "in", x: 40, y: 20 });
      made.remote("r", { x: 200, y: 100 });
      // No frame in between: the text editor closed on a shape that stood where it was.
      made.editor.act(null, {}, { editingTextElement: null });
      expect(made.document.groups("t")!.geometry).toMatchObject({ x: 40, y: 20 });
      await made.frame();
      made.clock.advance(150);
      expect(made.editor.get("t")).toMatchObject({ x: 240, y: 120 });
      expect(made.document.groups("t")!.geometry).toMatchObject({ x: 240, y: 120 });
      made.remote("r", { x: 500, y: 100 });
      await made.frame();
      made.clock.advance(150);
      expect(made.document.groups("t")!.geometry).toMatchObject({ x: 540, y: 120 });
    });

    it("leaves my words where somebody put them, me or another", async () => {
      const made = typing();
      made.editor.act("t", { text: "in", originalText: "in" }, { editingTextElement: null });
      await made.frame();
      made.remote("r", { x: 200, y: 100 });
      made.remote("t", { x: 205, y: 105 }, "text");
      await made.frame();
      made.clock.advance(150);
      expect(made.document.groups("t")!.geometry).toMatchObject({ x: 205, y: 105 });
      const before = made.written.length;
      made.remote("r", { x: 300, y: 100 });
      await made.frame();
      made.clock.advance(150);
      expect(made.written).toHaveLength(before);
    });

    it("doesn't move words that another's resize left where their alignment holds them", async () => {
      const made = desk();
      const corner = { ...words, x: 5, y: 5, width: 50, height: 25, textAlign: "left", verticalAlign: "top" };
      made.editor.add(sample("text", { id: "t", ...corner }), { editingTextElement: { id: "t" } });
      made.editor.act("t", { text: "in", originalText: "in" }, { editingTextElement: null });
      await made.frame();
      made.clock.advance(150);
      const before = made.written.length;
      made.remote("r", { x: 0, y: 0, width: 300, height: 60 });
      await made.frame();
      made.clock.advance(150);
      expect(made.written).toHaveLength(before);
    });

    it("keeps up with them while I type elsewhere, and drops those that somebody placed", async () => {
      for (const placed of [false, true]) {
        const made = typing();
        made.editor.act("t", { text: "in", originalText: "in" }, { editingTextElement: null });
        made.remote("r2", { x: 1000, y: 0, index: "a5" });
        await made.frame();
        made.editor.add(sample("text", { id: "t2", ...words, containerId: "r2", index: "a6" }), { editingTextElement: { id: "t2" } });
        if (placed) made.remote("t", { x: 70, y: 20 }, "text");
        else made.remote("r", { x: 200, y: 0 });
        await made.frame();
        made.editor.act("t2", { text: "q", originalText: "q" }, { editingTextElement: null });
        await made.frame();
        made.remote("r", { strokeColor: "#2f9e44" });
        await made.frame();
        made.clock.advance(1000);
        expect(made.document.groups("t")!.geometry).toMatchObject({ x: placed ? 70 : 240, y: 20 });
      }
    });

    it("takes them along when the last preview was already where the shape ends, and whatever I do under a preview", async () => {
      const made = typing();
      const tell = (x: number | null) => {
        const preview = x === null ? null : { gesture: "g", items: [{ kind: "move", ids: ["r"], x, y: 0 }] };
        made.awareness.states.set(42, { user: { id: "u", name: "Bob" }, preview } as never);
        made.awareness.emit("change", [{ added: [], updated: [42], removed: [] }, "test"]);
      };
      tell(300);
      await made.frame();
      made.editor.act("t", { text: "in", originalText: "in" });
      made.editor.act(null, {}, { editingTextElement: null });
      await made.frame();
      tell(500);
      await made.frame();
      made.editor.act("r", { strokeColor: "#123456" });
      made.clock.advance(150);
      made.remote("r", { x: 500, y: 0 });
      tell(null);
      await made.frame();
      made.clock.advance(1000);
      expect(made.editor.get("r")).toMatchObject({ x: 500 });
      expect(made.document.groups("t")!.geometry).toMatchObject({ x: 540, y: 20 });
    });

    it("takes them along from a shape that I recolored at that moment", async () => {
      const made = typing();
      made.editor.act("t", { text: "in", originalText: "in" }, { editingTextElement: null });
      await made.frame();
      made.clock.advance(150);
      made.editor.act("r", { strokeColor: "#111111" });
      made.editor.act("r", { strokeColor: "#222222" }); // waits for the throttle
      made.remote("r", { x: 200, y: 100 });
      await made.frame();
      made.clock.advance(150);
      expect(made.document.groups("r")).toMatchObject({ geometry: { x: 200 }, style: { strokeColor: "#222222" } });
      expect(made.document.groups("t")!.geometry).toMatchObject({ x: 240, y: 120 });
    });

    it("keeps my nudge of them, not written yet, and my choice of another alignment", async () => {
      const made = typing();
      made.editor.act("t", { text: "in", originalText: "in" }, { editingTextElement: null });
      await made.frame();
      made.clock.advance(150);
      made.editor.act("t", { textAlign: "left", x: 3 });
      made.editor.act("t", { x: 5 }); // waits for the throttle
      made.remote("r", { x: 200, y: 100 });
      await made.frame();
      made.clock.advance(150);
      expect(made.document.groups("t")).toMatchObject({ geometry: { x: 205, y: 120 }, text: { textAlign: "left" } });
    });

    it("takes them along from where I put them since", async () => {
      const made = typing();
      made.editor.act("t", { text: "in", originalText: "in" }, { editingTextElement: null });
      made.editor.act("t", { x: 60, y: 30 });
      made.clock.advance(150);
      made.remote("r", { x: 200, y: 100 });
      await made.frame();
      made.clock.advance(150);
      expect(made.document.groups("t")!.geometry).toMatchObject({ x: 260, y: 130 });
    });

    it("keeps it where it is once my words made it grow", async () => {
      const made = typing();
      made.editor.act("r", { height: 500 });
      made.remote("r", { x: 200, y: 100 });
      await made.frame();
      expect(made.editor.get("r")).toMatchObject({ x: 0, height: 500 });
      made.editor.act("t", { text: "in", originalText: "in" });
      made.editor.act(null, {}, { editingTextElement: null });
      await rendered();
      expect(made.document.groups("r")!.geometry).toMatchObject({ x: 0, height: 500 });
      expect(made.editor.get("r")).toMatchObject({ x: 0, height: 500, boundElements: [bond] });
    });

    it("lets go of it when I leave it empty", async () => {
      const made = typing();
      made.remote("r", { x: 200, y: 100 });
      await made.frame();
      made.editor.act("t", { isDeleted: true }, { editingTextElement: null });
      await rendered();
      made.remote("r", { strokeColor: "#2f9e44" });
      await made.frame();
      expect(made.editor.get("r")).toMatchObject({ strokeColor: "#2f9e44", boundElements: [] });
      expect(made.document.has("t")).toBe(false);
    });
  });

  it("throttles nudges and writes the last one", () => {
    const made = desk();
    for (let x = 1; x <= 30; x++) {
      made.editor.act("r", { x });
      made.clock.advance(10);
    }
    made.clock.advance(200);
    expect(made.written.length).toBeLessThanOrEqual(5);
    expect(made.document.groups("r")!.geometry).toMatchObject({ x: 30 });
  });

  it("writes an unwritten nudge before somebody's recolour enters", async () => {
    const made = desk();
    made.editor.act("r", { x: 1 });
    made.editor.act("r", { x: 2 });
    made.remote("r", { strokeColor: "#2f9e44" });
    await made.frame();
    expect(made.editor.get("r")).toMatchObject({ x: 2, strokeColor: "#2f9e44" });
    expect(made.document.groups("r")).toMatchObject({ geometry: { x: 2 }, style: { strokeColor: "#2f9e44" } });
  });

  it("adds to the scene what opening a file dropped from it", async () => {
    const made = desk();
    made.editor.elements = [sample("ellipse", { id: "from-file" })];
    made.editor.changed();
    await made.frame();
    expect(made.editor.elements.map(({ id }) => id).sort()).toEqual(["from-file", "r"]);
    expect(made.document.groups("r")!.deleted).toBe(false);
    expect(made.document.has("from-file")).toBe(true);
  });

  it("deletes what was written in a gesture that came to nothing", () => {
    const made = desk();
    made.editor.add(sample("ellipse", { id: "small" }), { cursorButton: "down", newElement: { id: "small" } });
    window.dispatchEvent(new Event("pagehide"));
    expect(made.document.groups("small")!.deleted).toBe(false);
    made.editor.elements = made.editor.elements.filter(({ id }) => id !== "small");
    made.editor.act(null, {}, { cursorButton: "up", newElement: null });
    expect(made.document.groups("small")!.deleted).toBe(true);
  });

  it("takes an element away that was purged without an edit of mine", async () => {
    const made = desk();
    const other = new Y.Doc();
    Y.applyUpdate(other, Y.encodeStateAsUpdate(made.doc));
    other.getMap("elements").delete("r");
    Y.applyUpdate(made.doc, Y.encodeStateAsUpdate(other), "remote");
    await made.frame();
    expect(made.editor.elements).toHaveLength(0);
    expect([...made.document.ids()]).toEqual([]);
  });

  it("keeps the canvas color in the document", async () => {
    const made = desk();
    for (const color of ["#111111", "#222222", "#333333"]) made.editor.act(null, {}, { viewBackgroundColor: color });
    made.clock.advance(150);
    expect(made.document.background).toBe("#333333");
    const other = new Y.Doc();
    Y.applyUpdate(other, Y.encodeStateAsUpdate(made.doc));
    other.getMap("meta").set("background", "#444444");
    Y.applyUpdate(made.doc, Y.encodeStateAsUpdate(other), "remote");
    await made.frame();
    expect(made.editor.state.viewBackgroundColor).toBe("#444444");
    made.clock.advance(150);
    expect(made.document.background).toBe("#444444");
  });

  it("commits an image when its bytes are stored, under their hash", async () => {
    const uploads: string[] = [];
    let fail = true;
    const assets = {
      upload: async (fileId: string) => {
        if (fail) throw new Error("no network");
        uploads.push(fileId);
      },
      fetch: async () => null,
    };
    const made = desk({ assets });
    made.editor.files = { local: { id: "local", mimeType: "image/png", dataURL: "data:image/png;base64,aGVsbG8=" } };
    made.editor.add(sample("image", { id: "i", fileId: "local" }));
    const sha = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    // Hashing happens in another thread: as many frames as it takes where that has to wait.
    for (let at = 0; at < 1000 && made.editor.get("i")?.["fileId"] !== sha; at++) await made.frame();
    expect(made.editor.get("i")).toMatchObject({ fileId: sha });
    expect(made.document.has("i")).toBe(false);
    fail = false;
    for (let at = 0; at < 1000 && !made.document.has("i"); at++) {
      made.clock.advance(3000);
      await made.frame();
    }
    expect(uploads).toEqual([sha]);
    expect(made.document.groups("i")!.image).toMatchObject({ fileId: sha });
  });

  it("leaves a file alone that the app sends by itself, and commits its image when that is done", async () => {
    let done!: () => void;
    const settled = new Promise<void>((resolve) => (done = resolve));
    const uploads: string[] = [];
    const assets = {
      upload: async (fileId: string) => void uploads.push(fileId),
      fetch: async () => null,
      settled: (fileId: string) => (fileId === "own" ? settled : null),
    };
    const made = desk({ assets });
    // A smaller form of it is shown: its bytes are not the file's.
    made.editor.files = { own: { id: "own", mimeType: "image/webp", dataURL: "data:image/webp;base64,c21hbGw=" } };
    made.editor.add(sample("image", { id: "i", fileId: "own" }));
    for (let at = 0; at < 50; at++) await made.frame();
    expect(made.document.has("i")).toBe(false);
    done();
    for (let at = 0; at < 1000 && !made.document.has("i"); at++) await made.frame();
    expect(made.document.groups("i")!.image).toMatchObject({ fileId: "own" });
    expect(made.editor.get("i")).toMatchObject({ fileId: "own" });
    expect(uploads).toEqual([]);
  });

  it("sends the whole file where only a smaller form of it was pasted", async () => {
    const sha = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    const uploads: { id: string; text: string }[] = [];
    const assets = {
      upload: async (id: string, blob: Blob) => void uploads.push({ id, text: await blob.text() }),
      fetch: async () => null,
      original: async () => new Blob(["hello"], { type: "image/png" }),
    };
    const made = desk({ assets });
    made.editor.files = { [sha]: { id: sha, mimeType: "image/webp", dataURL: "data:image/webp;kanvas=r;base64,c21hbGw=" } };
    made.editor.add(sample("image", { id: "i", fileId: sha }));
    for (let at = 0; at < 1000 && !made.document.has("i"); at++) await made.frame();
    expect(uploads).toEqual([{ id: sha, text: "hello" }]);
    expect(made.document.groups("i")!.image).toMatchObject({ fileId: sha });
  });

  it("shows a peer's preview without writing it, and drops it when the commit comes", async () => {
    const made = desk();
    const peer = { user: { id: "u", name: "Bob" }, preview: { gesture: "g", items: [{ kind: "move", ids: ["r"], x: 50, y: 60 }] } };
    const tell = (state: object | null) => {
      if (state) made.awareness.states.set(42, state as never);
      else made.awareness.states.delete(42);
      made.awareness.emit("change", [{ added: [], updated: state ? [42] : [], removed: state ? [] : [42] }, "test"]);
    };
    tell(peer);
    await made.frame();
    expect(made.editor.get("r")).toMatchObject({ x: 50, y: 60 });
    expect(made.binding.peers).toMatchObject([{ clientId: 42, name: "Bob" }]);
    made.editor.act("r", { strokeColor: "#2f9e44" });
    made.clock.advance(150);
    expect(made.document.groups("r")).toMatchObject({ geometry: { x: 0 }, style: { strokeColor: "#2f9e44" } });
    tell(null);
    await made.frame();
    expect(made.editor.get("r")).toMatchObject({ x: 50 });
    made.remote("r", { x: 51, y: 60 });
    await made.frame();
    expect(made.editor.get("r")).toMatchObject({ x: 51, strokeColor: "#2f9e44" });
  });

  it("stops when detached, with everything written", () => {
    const made = desk();
    made.editor.act("r", { x: 4 }, DOWN);
    made.binding.detach();
    expect(made.document.groups("r")!.geometry).toMatchObject({ x: 4 });
    const before = made.editor.updates;
    made.remote("late", {});
    made.clock.advance(100);
    expect(made.editor.updates).toBe(before);
  });
});
