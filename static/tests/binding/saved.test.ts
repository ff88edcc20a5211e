// @vitest-environment node
import { afterEach, describe, expect, it } from "vitest";
import { applyAwarenessUpdate, Awareness, encodeAwarenessUpdate } from "y-protocols/awareness";
import { WebsocketProvider } from "y-websocket";
import * as Y from "yjs";
import { sendOwnAwarenessOnly } from "../../src/binding/presence";
import { Saved } from "../../src/binding/saved";
import { Room } from "./room";

const open: WebsocketProvider[] = [];
afterEach(() => {
  for (const provider of open.splice(0)) {
    provider.destroy();
    provider.awareness.destroy();
  }
});

const settle = () => new Promise((resolve) => setTimeout(resolve, 5));

function join(room: Room, doc = new Y.Doc(), connect = true) {
  const provider = new WebsocketProvider("ws://room", "r", doc, { connect: false, disableBc: true, WebSocketPolyfill: room.Socket });
  open.push(provider);
  const saved = new Saved(provider);
  if (connect) provider.connect();
  return { doc, provider, saved, elements: doc.getMap<unknown>("elements") };
}

describe("Saved", () => {
  it("is green only after the echo", async () => {
    const room = new Room();
    const { saved, elements } = join(room);
    const kinds: string[] = [];
    saved.subscribe(({ kind }) => kinds.push(kind));
    expect(saved.status.kind).toBe("saving");
    await settle();
    expect(saved.status).toEqual({ kind: "saved", waiting: 0, unconfirmed: false });
    room.frozen = true;
    elements.set("a", 1);
    elements.set("b", 2);
    await settle();
    expect(saved.status).toEqual({ kind: "saving", waiting: 2, unconfirmed: false });
    room.commit();
    await settle();
    expect(saved.status).toEqual({ kind: "saved", waiting: 0, unconfirmed: false });
    expect(kinds.at(-1)).toBe("saved");
  });

  it("counts nothing of a base that came over HTTP: it is committed", async () => {
    const room = new Room();
    room.doc.getMap("elements").set("a", 1);
    room.doc.getMap("elements").delete("a");
    room.doc.getMap("elements").set("b", 2);
    const base = Y.encodeStateAsUpdate(room.doc);
    room.doc.getMap("elements").set("c", 3);
    const { doc, provider, saved, elements } = join(room, new Y.Doc(), false);
    Y.applyUpdate(doc, base, provider);
    expect(saved.status).toEqual({ kind: "offline", waiting: 0, unconfirmed: false });
    room.frozen = true;
    elements.set("mine", 1);
    expect(saved.status.waiting).toBe(1);
    provider.connect();
    await settle();
    expect(elements.toJSON()).toEqual({ b: 2, c: 3, mine: 1 });
    expect(saved.status).toEqual({ kind: "saving", waiting: 1, unconfirmed: false });
    room.commit();
    await settle();
    expect(saved.status).toEqual({ kind: "saved", waiting: 0, unconfirmed: false });
  });

  it("never shows as saved what a crash takes back, and saves it afterwards", async () => {
    const room = new Room();
    const { saved, provider, elements } = join(room);
    await settle();
    room.frozen = true;
    elements.set("a", 1);
    await settle();
    room.crash();
    expect(saved.status).toEqual({ kind: "offline", waiting: 1, unconfirmed: false });
    provider.connect();
    await settle();
    expect(saved.status.kind).not.toBe("saved");
    room.frozen = false;
    room.commit();
    await settle();
    expect(saved.status.kind).toBe("saved");
    expect(room.doc.getMap("elements").get("a")).toBe(1);
  });

  it("waits for the echo of a pure deletion", async () => {
    const room = new Room();
    const { saved, elements } = join(room);
    elements.set("a", 1);
    await settle();
    room.frozen = true;
    elements.delete("a");
    await settle();
    expect(saved.status).toMatchObject({ kind: "saving", waiting: 1 });
    room.commit();
    await settle();
    expect(saved.status.kind).toBe("saved");
  });

  it("covers edits of an earlier page load, deletions among them", async () => {
    const room = new Room();
    const earlier = join(room);
    earlier.elements.set("a", 1);
    await settle();
    earlier.provider.disconnect();
    earlier.elements.set("b", 2);
    earlier.elements.delete("a");
    const cache = Y.encodeStateAsUpdate(earlier.doc);

    room.frozen = true;
    const page = join(room, new Y.Doc(), false);
    // As y-indexeddb does: one transaction, not local.
    Y.transact(page.doc, () => Y.applyUpdate(page.doc, cache), "indexeddb", false);
    expect(page.saved.status).toMatchObject({ kind: "offline", waiting: 0, unconfirmed: true });
    page.provider.connect();
    await settle();
    expect(page.saved.status).toMatchObject({ kind: "saving", unconfirmed: true });
    room.commit();
    await settle();
    expect(page.saved.status).toEqual({ kind: "saved", waiting: 0, unconfirmed: false });
    expect(room.doc.getMap("elements").toJSON()).toEqual({ b: 2 });
  });

  it("counts a document that was filled before it was watched", async () => {
    const room = new Room();
    const doc = new Y.Doc();
    doc.getMap("elements").set("a", 1);
    room.frozen = true;
    const { saved } = join(room, doc);
    await settle();
    expect(saved.status).toMatchObject({ kind: "saving", unconfirmed: true });
    room.commit();
    await settle();
    expect(saved.status.kind).toBe("saved");
  });

  it("stays green through other people's edits, overwriting each other's", async () => {
    const room = new Room();
    const [ann, bob] = [join(room), join(room)];
    await settle();
    const kinds: string[] = [];
    ann.saved.subscribe(({ kind }) => kinds.push(kind));
    for (let round = 0; round < 20; round++) {
      bob.elements.set("k", round);
      await settle();
    }
    expect(new Set(kinds)).toEqual(new Set(["saved"]));
    room.frozen = true;
    ann.elements.set("k", "ann");
    bob.elements.set("k", "bob");
    await settle();
    room.commit();
    await settle();
    for (const { saved, elements } of [ann, bob]) {
      expect(saved.status.kind).toBe("saved");
      expect(elements.get("k")).toBe(room.doc.getMap("elements").get("k"));
    }
  });

  it("lets go", async () => {
    const room = new Room();
    const { saved, elements } = join(room);
    await settle();
    let calls = 0;
    saved.subscribe(() => calls++);
    saved.destroy();
    elements.set("a", 1);
    await settle();
    expect(calls).toBe(1);
    expect(room.doc.getMap("elements").get("a")).toBe(1);
  });
});

describe("sendOwnAwarenessOnly", () => {
  it("sends my state and nobody else's", async () => {
    const room = new Room();
    const { provider } = join(room, new Y.Doc(), false);
    sendOwnAwarenessOnly(provider);
    provider.connect();
    await settle();
    room.awareness = [];
    const other = new Awareness(new Y.Doc());
    other.setLocalState({ pointer: 1 });
    applyAwarenessUpdate(provider.awareness, encodeAwarenessUpdate(other, [other.clientID]), provider);
    await settle();
    expect(room.awareness).toHaveLength(0);
    provider.awareness.setLocalState({ pointer: 2 });
    await settle();
    expect(room.awareness).toHaveLength(1);
    const seen = new Awareness(new Y.Doc());
    applyAwarenessUpdate(seen, room.awareness[0]!, null);
    expect(seen.getStates().get(provider.awareness.clientID)).toEqual({ pointer: 2 });
    expect(seen.getStates().has(other.clientID)).toBe(false);
    other.destroy();
    seen.destroy();
  });
});
