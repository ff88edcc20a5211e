/** Files in and out: ids that are free, references that follow. */
import type { ExcalidrawElement } from "@excalidraw/excalidraw/element/types";
import { describe, expect, it } from "vitest";
import { sha256 } from "../../src/room/bytes";
import { fileName, imagesAmong, parseScene, withFreeIds, withoutOrder } from "../../src/room/scene";

const el = (fields: Record<string, unknown>): ExcalidrawElement => fields as unknown as ExcalidrawElement;
const counter = () => {
  let next = 0;
  return () => `new-${(next += 1)}`;
};

const DRAWING = [
  el({ id: "box", type: "rectangle", groupIds: ["g1", "g2"], frameId: "frame", boundElements: [{ id: "label", type: "text" }, { id: "arrow", type: "arrow" }] }),
  el({ id: "label", type: "text", groupIds: [], containerId: "box", frameId: null, boundElements: null }),
  el({ id: "arrow", type: "arrow", groupIds: ["g1"], startBinding: { elementId: "box", focus: 0, gap: 1 }, endBinding: { elementId: "elsewhere", focus: 0, gap: 1 } }),
  el({ id: "frame", type: "frame", groupIds: [] }),
];

describe("withFreeIds", () => {
  it("leaves a drawing alone whose ids are free", () => {
    expect(withFreeIds(DRAWING, new Set(["other"]), counter())).toEqual(DRAWING);
  });

  it("renames everything together, and every reference follows", () => {
    const [box, label, arrow, frame] = withFreeIds(DRAWING, new Set(["label"]), counter()) as unknown as Record<string, any>[];
    expect(new Set([box?.["id"], label?.["id"], arrow?.["id"], frame?.["id"]]).size).toBe(4);
    expect(label?.["containerId"]).toBe(box?.["id"]);
    expect(box?.["frameId"]).toBe(frame?.["id"]);
    expect(box?.["boundElements"]).toEqual([
      { id: label?.["id"], type: "text" },
      { id: arrow?.["id"], type: "arrow" },
    ]);
    expect(arrow?.["startBinding"]).toEqual({ elementId: box?.["id"], focus: 0, gap: 1 });
    expect(arrow?.["groupIds"][0]).toBe(box?.["groupIds"][0]);
    expect(box?.["groupIds"]).not.toContain("g1");
    expect(label?.["frameId"]).toBeNull();
  });

  it("keeps references to what is not in the file", () => {
    const arrow = withFreeIds(DRAWING, new Set(["box"]), counter())[2] as unknown as Record<string, any>;
    expect(arrow["endBinding"].elementId).toBe("elsewhere");
  });

  it("does not change what it was given", () => {
    const before = JSON.stringify(DRAWING);
    withFreeIds(DRAWING, new Set(["box"]), counter());
    withoutOrder(DRAWING);
    expect(JSON.stringify(DRAWING)).toBe(before);
  });
});

describe("imagesAmong", () => {
  it("keeps images under their own id and nothing else", () => {
    const image = { id: "a", dataURL: "data:image/png;base64,AQ==", mimeType: "image/png" };
    expect(imagesAmong({ a: image, b: image, c: { id: "c", dataURL: "https://example.org/c.png" }, d: null })).toEqual({ a: image });
    expect(imagesAmong(null)).toEqual({});
  });
});

describe("parseScene", () => {
  it("reads what Excalidraw writes, without what was deleted", () => {
    const scene = parseScene(
      JSON.stringify({ type: "excalidraw", version: 2, elements: [DRAWING[0], { id: "x", type: "line", isDeleted: true }, null, 7], appState: { viewBackgroundColor: "#fff9db" }, files: {} }),
    );
    expect(scene.elements.map((element) => element.id)).toEqual(["box"]);
    expect(scene.background).toBe("#fff9db");
  });

  it.each(["", "{", "[]", "{}", '{"type":"excalidrawlib","elements":[]}', '{"type":"excalidraw"}'])("refuses %j in words", (text) => {
    expect(() => parseScene(text)).toThrow(/Excalidraw/);
  });
});

describe("fileName", () => {
  it.each([
    ["My room", "My room.excalidraw"],
    ["a/b\\c:d*?", "a b c d.excalidraw"],
    ["...", "Kanvas.excalidraw"],
    ["", "Kanvas.excalidraw"],
    ["Zoë’s plan", "Zoë’s plan.excalidraw"],
  ])("of %j is %j", (title, name) => {
    expect(fileName(title)).toBe(name);
  });
});

describe("bytes", () => {
  it("hashes as the server does", async () => {
    expect(await sha256(new TextEncoder().encode("abc"))).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  });
});
