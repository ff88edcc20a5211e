// @vitest-environment happy-dom
/**
 * What the server deleted while this browser was away stays gone, whether the sync says so or the base over HTTP.
 *
 * Source: CLIENT.md, "Saved"; roomsession.ts (#fetchBase: copy, then base, then connection).
 */
import { expect, it } from "vitest";
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

async function scenario(withBase: boolean): Promise<string[]> {
  const room = new Room();
  const document = new RoomDocument(room.doc);
  for (const [id, index] of [["kept", "a1"], ["gone", "a2"]] as const) {
    const shape = sample("rectangle", { id, x: 0, y: 0, index, groupIds: [], frameId: null });
    document.write([{ id, groups: splitElement(shape) }]);
  }
  // a copy in a browser, everything of it saved long ago, nothing edited since
  const copy = Y.encodeStateAsUpdate(room.doc);
  // somebody deletes "gone", and the purge removes it 30 days later
  const other = new Y.Doc();
  Y.applyUpdate(other, copy);
  other.transact(() => other.getMap("elements").delete("gone"));
  room.waiting.push(Y.encodeStateAsUpdate(other, Y.encodeStateVector(room.doc)));
  room.commit();

  // RoomSession.#start: copy, then the base over HTTP (#fetchBase), then connect
  const doc = new Y.Doc();
  const provider = new WebsocketProvider("ws://room", "r", doc, { connect: false, disableBc: true, WebSocketPolyfill: room.Socket });
  const saved = new Saved(provider);
  const losses = new Losses(doc, saved);
  Y.applyUpdate(doc, copy, "copy");
  if (withBase) {
    const base = Y.encodeStateAsUpdate(room.doc);
    saved.confirmBase(base);
    Y.applyUpdate(doc, base, provider);
  }
  provider.connect();
  await settle();
  const editor = new Editor();
  const clock = new FakeClock();
  const binding = new Binding({ api: editor.api, doc, awareness: new Awareness(doc), clock, losses });
  editor.onChange = binding.onChange as never;
  binding.attach();
  for (let turn = 0; turn < 6; turn++) {
    clock.advance(150);
    await settle();
  }
  const ids = [...new RoomDocument(room.doc).ids()];
  binding.detach();
  losses.destroy();
  saved.destroy();
  provider.destroy();
  return ids;
}

it("stays gone when the sync brings the purge", async () => {
  expect(await scenario(false)).toEqual(["kept"]);
});

it("stays gone when the base brings the purge", async () => {
  expect(await scenario(true)).toEqual(["kept"]);
});
