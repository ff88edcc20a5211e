// @vitest-environment happy-dom
/** Somebody who may look, not edit: nothing of the document leaves this page, and nothing stays that is not in it. */
import { afterEach, describe, expect, it } from "vitest";
import { WebsocketProvider } from "y-websocket";
import { Awareness } from "y-protocols/awareness";
import * as Y from "yjs";
import { Binding } from "../../src/binding/binding";
import { RoomDocument } from "../../src/binding/document";
import { Saved } from "../../src/binding/saved";
import { splitElement } from "../../src/binding/shadow";
import { Viewing } from "../../src/room/viewing";
import { Editor, FakeClock } from "./editor";
import { Room } from "./room";
import { sample } from "./samples";

const DOWN = { cursorButton: "down", selectedElementsAreBeingDragged: true };
const UP = { cursorButton: "up", selectedElementsAreBeingDragged: false };
const settled = () => new Promise((resolve) => setTimeout(resolve, 5));
const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

function desk(readOnly = true) {
  const doc = new Y.Doc();
  const document = new RoomDocument(doc);
  const awareness = new Awareness(doc);
  const editor = new Editor();
  const clock = new FakeClock();
  const binding = new Binding({ api: editor.api, doc, awareness, clock, readOnly });
  editor.onChange = binding.onChange as never;
  const remote = (id: string, fields: object = {}) => {
    const other = new Y.Doc();
    Y.applyUpdate(other, Y.encodeStateAsUpdate(doc));
    new RoomDocument(other).write([{ id, groups: splitElement(sample("rectangle", { id, ...fields })) }]);
    Y.applyUpdate(doc, Y.encodeStateAsUpdate(other, Y.encodeStateVector(doc)), "remote");
  };
  remote("r", { x: 0 });
  remote("s", { x: 500, index: "a2" });
  const written: unknown[] = [];
  doc.on("update", (_update: Uint8Array, origin: unknown) => origin !== "remote" && written.push(origin));
  binding.attach();
  ends.push(() => {
    binding.detach();
    awareness.destroy();
  });
  const frame = async () => {
    clock.advance(20);
    await settled();
  };
  return { doc, document, editor, clock, binding, remote, written, frame };
}

describe("a binding that only shows", () => {
  it("writes nothing, whatever happens in the editor", async () => {
    const { editor, binding, written, frame } = desk();
    editor.act("r", { x: 90 }, DOWN);
    editor.act("r", { x: 95 }, UP);
    editor.act("r", { isDeleted: true });
    editor.add(sample("ellipse", { id: "mine" }));
    editor.act(null, {}, { viewBackgroundColor: "#ff0000" });
    await frame();
    binding.flush();
    window.dispatchEvent(new Event("blur"));
    window.dispatchEvent(new Event("pagehide"));
    await frame();
    expect(written).toHaveLength(0);
  });

  it("puts back what was changed, deleted or added here all the same", async () => {
    const { editor, frame } = desk();
    editor.act("r", { x: 90 });
    editor.add(sample("ellipse", { id: "mine" }));
    await frame();
    expect(editor.get("r")).toMatchObject({ x: 0 });
    expect(editor.get("mine")).toBeUndefined();
    editor.act("r", { isDeleted: true });
    await frame();
    expect(editor.get("r")).toMatchObject({ isDeleted: false });
    editor.elements = editor.elements.filter(({ id }) => id !== "s");
    editor.changed();
    await frame();
    expect(editor.get("s")).toMatchObject({ x: 500 });
  });

  it("comes to rest: what the editor changes by itself starts no quarrel", async () => {
    const { editor, frame } = desk();
    await frame();
    const before = editor.updates;
    for (let at = 0; at < 5; at++) {
      editor.act("r", {});
      await frame();
    }
    expect(editor.updates).toBe(before);
  });

  it("goes on showing what the others draw", async () => {
    const { editor, remote, frame } = desk();
    remote("r", { x: 40 });
    remote("new", {});
    await frame();
    expect(editor.get("r")).toMatchObject({ x: 40 });
    expect(editor.get("new")).toBeDefined();
  });
});

describe("a role that changes while the room is open", () => {
  it("downwards: what was drawn up to then is written, what comes after it is not", async () => {
    const { editor, binding, document, written, frame } = desk(false);
    editor.act("r", { x: 60 }, DOWN);
    expect(written).toHaveLength(0);
    binding.setReadOnly(true);
    expect(document.groups("r")!.geometry).toMatchObject({ x: 60 });
    const count = written.length;
    editor.act("r", { x: 80 }, UP);
    await frame();
    expect(written).toHaveLength(count);
    expect(editor.get("r")).toMatchObject({ x: 60 });
  });

  it("upwards: what is drawn from then on is written, what came before it is not", async () => {
    const { editor, binding, document, written, frame } = desk();
    editor.act("r", { x: 90 });
    await frame();
    binding.setReadOnly(false);
    await frame();
    expect(written).toHaveLength(0);
    editor.act("s", { x: 510 });
    expect(document.groups("s")!.geometry).toMatchObject({ x: 510 });
    expect(document.groups("r")!.geometry).toMatchObject({ x: 0 });
  });
});

describe("a connection that only looks", () => {
  async function connect(room: Room, on: boolean) {
    const doc = new Y.Doc();
    const provider = new WebsocketProvider("ws://room", "one", doc, { WebSocketPolyfill: room.Socket, disableBc: true, connect: false });
    const viewing = new Viewing(provider);
    viewing.isOn = on;
    const saved = new Saved(provider);
    ends.push(() => {
      saved.destroy();
      provider.destroy();
    });
    return { doc, provider, viewing, saved };
  }
  const put = (doc: Y.Doc, key: string) => doc.getMap("elements").set(key, 1);
  const keys = (doc: Y.Doc) => [...doc.getMap("elements").keys()].sort();

  it("hears everything and sends nothing, neither edits nor what an earlier page left", async () => {
    const room = new Room();
    put(room.doc, "theirs");
    const { doc, provider, saved } = await connect(room, true);
    put(doc, "old");
    provider.connect();
    await settled();
    put(doc, "new");
    await settled();
    expect(keys(doc)).toEqual(["new", "old", "theirs"]);
    expect(keys(room.doc)).toEqual(["theirs"]);
    expect(saved.status.waiting).toBeGreaterThan(0);
  });

  it("is saved where there is nothing of its own", async () => {
    const room = new Room();
    put(room.doc, "theirs");
    const { provider, saved } = await connect(room, true);
    provider.connect();
    await settled();
    expect(saved.status).toEqual({ kind: "saved", waiting: 0, unconfirmed: false });
  });

  it("sends again once it may, and with the next sync what waited", async () => {
    const room = new Room();
    const { doc, provider, viewing, saved } = await connect(room, true);
    put(doc, "waited");
    provider.connect();
    await settled();
    viewing.isOn = false;
    provider.disconnect();
    provider.connect();
    await settled();
    put(doc, "new");
    await settled();
    expect(keys(room.doc)).toEqual(["new", "waited"]);
    expect(saved.status.kind).toBe("saved");
  });
});
