// @vitest-environment happy-dom
import { afterEach, describe, expect, it } from "vitest";
import { Awareness } from "y-protocols/awareness";
import { WebsocketProvider } from "y-websocket";
import * as Y from "yjs";
import { Binding } from "../../src/binding/binding";
import { RoomDocument } from "../../src/binding/document";
import { Losses } from "../../src/binding/losses";
import { Saved } from "../../src/binding/saved";
import { splitElement } from "../../src/binding/shadow";
import { Editor, FakeClock } from "./editor";
import { Room } from "./room";
import { sample } from "./samples";

const settle = () => new Promise((resolve) => setTimeout(resolve, 5));

const DOWN = { cursorButton: "down", selectedElementsAreBeingDragged: true };
const UP = { cursorButton: "up", selectedElementsAreBeingDragged: false };

const alone = { groupIds: [], frameId: null };
const words = { ...alone, text: "words", originalText: "words" };

/** The server, and what it does after 30 days. */
class Server extends Room {
  readonly document = new RoomDocument(this.doc);

  constructor() {
    super();
    this.document.write([{ id: "r", groups: splitElement(sample("rectangle", { id: "r", x: 0, y: 0, index: "a1", ...alone })) }]);
  }

  add(type: string, fields: { id: string; [field: string]: unknown }): void {
    this.document.write([{ id: fields.id, groups: splitElement(sample(type, { ...alone, ...fields })) }]);
  }

  /** The delete-only update of a purge, or of a client that does so itself. */
  purge(...ids: string[]): void {
    const other = new Y.Doc();
    Y.applyUpdate(other, Y.encodeStateAsUpdate(this.doc));
    other.transact(() => ids.forEach((id) => other.getMap("elements").delete(id)));
    this.waiting.push(Y.encodeStateAsUpdate(other, Y.encodeStateVector(this.doc)));
    this.commit();
  }
}

/** One page of one person's: what RoomSession and Editor put together. */
class Page {
  readonly doc = new Y.Doc();
  readonly document = new RoomDocument(this.doc);
  readonly editor = new Editor();
  readonly clock = new FakeClock();
  readonly provider: WebsocketProvider;
  readonly saved: Saved;
  readonly losses: Losses;
  binding: Binding | null = null;

  constructor(room: Server, copy?: Uint8Array) {
    this.provider = new WebsocketProvider("ws://room", "r", this.doc, { connect: false, disableBc: true, WebSocketPolyfill: room.Socket });
    this.saved = new Saved(this.provider);
    this.losses = new Losses(this.doc, this.saved);
    // The browser's copy comes with an origin of its own.
    if (copy) Y.applyUpdate(this.doc, copy, "copy");
    pages.push(this);
  }

  async online(): Promise<this> {
    this.provider.connect();
    await settle();
    await this.rest();
    return this;
  }

  offline(): void {
    this.provider.disconnect();
  }

  async edit(): Promise<this> {
    this.binding = new Binding({ api: this.editor.api, doc: this.doc, awareness: new Awareness(this.doc), clock: this.clock, losses: this.losses });
    this.editor.onChange = this.binding.onChange as never;
    this.binding.attach();
    await this.rest();
    return this;
  }

  /** Until nothing is left to paint, write or send. */
  async rest(): Promise<void> {
    for (let turn = 0; turn < 4; turn++) {
      this.clock.advance(150);
      await settle();
    }
  }

  get ids(): string[] {
    return [...this.document.ids()].sort();
  }
}

const pages: Page[] = [];
afterEach(() => {
  for (const { binding, provider, losses, saved } of pages.splice(0)) {
    binding?.detach();
    losses.destroy();
    saved.destroy();
    provider.destroy();
  }
});

async function open(room: Server): Promise<Page> {
  const page = await new Page(room).online();
  return page.edit();
}

describe("an element that was purged", () => {
  it("comes back under a new id with all its groups when I edited it offline", async () => {
    const room = new Server();
    const page = await open(room);
    page.offline();
    page.editor.act("r", { x: 77 });
    await page.rest();
    room.purge("r");
    await page.online();
    const [id, ...others] = page.ids;
    expect(others).toEqual([]);
    expect(id).not.toBe("r");
    const { kind, style, geometry, deleted } = room.document.groups(id!)!;
    expect({ kind, style, geometry, deleted }).toMatchObject({ kind: { type: "rectangle" }, style: { opacity: 70 }, geometry: { x: 77 }, deleted: false });
    expect(page.editor.elements.map((element) => element.id)).toEqual([id]);
    expect(page.saved.status.kind).toBe("saved");
  });

  it("comes back after a reload, whose sync is over before there is an editor", async () => {
    const room = new Server();
    room.add("ellipse", { id: "above", index: "a2" });
    const before = await open(room);
    before.offline();
    before.editor.act("r", { x: 77 });
    await before.rest();
    before.binding!.detach();
    room.purge("r");
    const page = await new Page(room, Y.encodeStateAsUpdate(before.doc)).online();
    expect(page.ids).toEqual(["above"]);
    await page.edit();
    const id = page.ids.find((one) => one !== "above")!;
    expect(room.document.groups(id)).toMatchObject({ geometry: { x: 77 }, z: "a1", kind: { type: "rectangle" }, deleted: false });
    expect(page.editor.elements.map((element) => element.id)).toEqual([id, "above"]);
    // Once.
    await page.rest();
    expect(page.ids).toHaveLength(2);
  });

  it("comes back when my edit and the purge meet on the way, in one message too", async () => {
    for (const together of [false, true]) {
      const room = new Server();
      const page = await open(room);
      room.frozen = true;
      page.editor.act("r", { x: 77 });
      await page.rest();
      const mine = room.waiting.splice(0);
      if (together) room.waiting.push(...mine);
      room.purge("r");
      room.waiting.push(...mine);
      room.frozen = false;
      room.commit();
      await page.rest();
      expect(page.ids).toHaveLength(1);
      expect(page.ids).not.toEqual(["r"]);
      expect(room.document.groups(page.ids[0]!)).toMatchObject({ geometry: { x: 77 }, deleted: false });
    }
  });

  it("stays away when my edits of it were saved, or when I had seen it deleted", async () => {
    const room = new Server();
    room.add("ellipse", { id: "e", index: "a2" });
    const page = await open(room);
    page.editor.act("r", { x: 77 });
    await page.rest();
    expect(room.document.groups("r")!.geometry).toMatchObject({ x: 77 });
    page.offline();
    page.editor.act("e", { x: 5 });
    page.editor.act("e", { isDeleted: true });
    await page.rest();
    room.purge("r", "e");
    await page.online();
    expect(page.ids).toEqual([]);
    expect(page.editor.elements.filter((element) => !element.isDeleted)).toEqual([]);
    expect([...room.document.ids()]).toEqual([]);
  });

  it("comes back with its words, and what is bound to it finds it; what went with it stays away", async () => {
    const room = new Server();
    room.add("text", { id: "t", index: "a2", ...words, containerId: "r" });
    const end = { elementId: "r", focus: 0, gap: 1 };
    room.add("arrow", { id: "kept", index: "a3", startBinding: end, endBinding: null });
    room.add("arrow", { id: "gone", index: "a4", startBinding: end, endBinding: null });
    for (const reload of [false, true]) {
      const page = await open(room);
      page.offline();
      page.editor.act("r", { strokeColor: "#123456" });
      await page.rest();
      const server = new Server();
      Y.applyUpdate(server.doc, Y.encodeStateAsUpdate(room.doc));
      const copy = Y.encodeStateAsUpdate(page.doc);
      server.purge("r", "t", "gone");
      const back = new Page(server, copy);
      if (reload) await back.online();
      await back.edit();
      if (!reload) await back.online();
      expect(back.ids).toHaveLength(3);
      const text = back.ids.find((id) => server.document.type(id) === "text")!;
      const shape = back.ids.find((id) => server.document.type(id) === "rectangle")!;
      expect(text).not.toBe("t");
      expect(server.document.groups(text)!.text).toMatchObject({ originalText: "words", containerId: shape });
      expect(server.document.groups(shape)!.style).toMatchObject({ strokeColor: "#123456" });
      expect(server.document.groups("kept")!.geometry).toMatchObject({ startBinding: { elementId: shape } });
      expect(back.editor.elements.map((element) => element.id)).toEqual([shape, text, "kept"]);
    }
  });

  it("leaves my words without it, when only they are mine", async () => {
    const room = new Server();
    room.add("text", { id: "t", index: "a2", ...words, containerId: "r" });
    const page = await open(room);
    page.offline();
    page.editor.act("t", { originalText: "mine", text: "mine" });
    await page.rest();
    room.purge("r", "t");
    await page.online();
    expect(page.ids).toHaveLength(1);
    expect(room.document.groups(page.ids[0]!)!.text).toMatchObject({ originalText: "mine", containerId: null });
  });

  it("in my hand is written with all its groups at the end of the gesture", async () => {
    const room = new Server();
    const page = await open(room);
    page.editor.act("r", { x: 5 }, DOWN);
    room.purge("r");
    await page.rest();
    expect(page.editor.get("r")).toMatchObject({ x: 5 });
    page.editor.act("r", { x: 77 }, UP);
    await page.rest();
    expect(page.ids).toEqual(["r"]);
    expect(room.document.groups("r")).toMatchObject({ kind: { type: "rectangle" }, geometry: { x: 77 }, deleted: false });
  });

  it("comes back after a gesture that had written it and changed no more", async () => {
    const room = new Server();
    const page = await open(room);
    page.offline();
    page.editor.act("r", { x: 5 }, DOWN);
    window.dispatchEvent(new Event("pagehide"));
    expect(page.document.groups("r")!.geometry).toMatchObject({ x: 5 });
    room.purge("r");
    await page.online();
    expect(page.ids).toEqual([]);
    page.editor.act(null, {}, UP);
    await page.rest();
    expect(page.ids).toHaveLength(1);
    expect(page.ids).not.toEqual(["r"]);
    expect(room.document.groups(page.ids[0]!)!.geometry).toMatchObject({ x: 5 });
  });

  it("is written with all its groups when I undo its deletion", async () => {
    const room = new Server();
    const page = await open(room);
    page.editor.act("r", { isDeleted: true });
    const deleted = page.editor.get("r")!;
    await page.rest();
    room.purge("r");
    await page.rest();
    expect(page.ids).toEqual([]);
    expect(page.editor.elements).toEqual([]);
    // The editor's history still has it.
    page.editor.add({ ...deleted, isDeleted: false, version: 99, versionNonce: 99 } as never);
    await page.rest();
    expect(room.document.groups("r")).toEqual(splitElement(page.editor.get("r") as never));
    expect(room.document.groups("r")).toMatchObject({ kind: { type: "rectangle" }, deleted: false });
  });

  it("is one loss for everybody who edited it: all their edits come back", async () => {
    const room = new Server();
    const [ann, bob] = [await open(room), await open(room)];
    for (const [page, x] of [[ann, 11], [bob, 22]] as const) {
      page.offline();
      page.editor.act("r", { x });
      await page.rest();
    }
    room.purge("r");
    await ann.online();
    await bob.online();
    await ann.rest();
    expect(ann.ids).toEqual(bob.ids);
    expect(ann.ids.map((id) => (ann.document.groups(id)!.geometry as { x: number }).x).sort()).toEqual([11, 22]);
  });
});
