/**
 * C10: the server's export and ours are one file. `export.json` holds a document and the file the server makes of it
 * (tests/party/test_excalidraw.py checks that it does); here our client reads both.
 *
 * After a change of what is exported: KANVAS_WRITE_EXPORT=1 npx vitest run tests/app/export.test.ts
 */
import { readFileSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import * as Y from "yjs";
import { readBackground, readScene, RoomDocument } from "../../src/binding/document";
import { GROUP_NAMES, split, type ElementLike } from "../../src/binding/groups";
import { parseScene } from "../../src/room/scene";
import { ODD } from "../binding/odd";
import { SAMPLES } from "../binding/samples";

const FIXTURE = new URL("export.json", import.meta.url);
const fileOf = (doc: Y.Doc) => ({
  type: "excalidraw",
  version: 2,
  source: "https://kanvas.example",
  elements: JSON.parse(JSON.stringify(readScene(doc))) as unknown[],
  appState: { viewBackgroundColor: readBackground(doc) ?? "#ffffff" },
  files: {},
});

/** One element of every type as we store it, odd ones as others may, one that is no map. */
function makeDocument(): Y.Doc {
  const doc = new Y.Doc();
  doc.clientID = 7;
  const room = new RoomDocument(doc);
  room.write(Object.values(SAMPLES).map((element) => ({ id: element["id"] as string, groups: split(element as ElementLike) })));
  room.write(Object.entries(ODD).map(([id, groups]) => ({ id, groups })));
  room.background = "#fff9db";
  doc.getMap("elements").set("no map", "at all");
  return doc;
}

if (process.env["KANVAS_WRITE_EXPORT"]) {
  const doc = makeDocument();
  const update = Buffer.from(Y.encodeStateAsUpdate(doc)).toString("base64");
  writeFileSync(FIXTURE, `${JSON.stringify({ update, file: fileOf(doc) }, null, 1)}\n`);
}

const fixture = JSON.parse(readFileSync(FIXTURE, "utf-8")) as { update: string; file: ReturnType<typeof fileOf> };

describe("C10: a drawing exported by the server", () => {
  const doc = new Y.Doc();
  Y.applyUpdate(doc, Buffer.from(fixture.update, "base64"));

  it("is the one of the samples", () => {
    const made = makeDocument().getMap<Y.Map<unknown>>("elements");
    const kept = doc.getMap<Y.Map<unknown>>("elements");
    expect([...kept.keys()].sort()).toEqual([...made.keys()].sort());
    for (const [id, map] of kept) {
      if (!(map instanceof Y.Map)) continue;
      for (const name of GROUP_NAMES) expect(map.get(name), `${id} ${name}`).toEqual(made.get(id)?.get(name));
    }
  });

  it("is the file our client would have written", () => {
    expect(fixture.file).toEqual(fileOf(doc));
    expect(fixture.file.elements.length).toBeGreaterThan(35);
  });

  it("is opened by our client as the drawing it was", () => {
    const scene = parseScene(JSON.stringify(fixture.file));
    expect(scene.elements).toEqual(JSON.parse(JSON.stringify(readScene(doc))));
    expect(scene.background).toBe("#fff9db");
  });
});
