/** What follows from threads: unread, events, mentions, and where pins are. */
import * as decoding from "lib0/decoding";
import { describe, expect, it } from "vitest";
import type { Remark, Thread } from "../../src/api/comments";
import type { Room } from "../../src/api/types";
import { anchorOf, pinsIn, placeAt, toCanvas, type Shape, type View } from "../../src/comments/placement";
import { complete, isUnread, labelOf, mentionAt, mentionsIn, microseconds, readEvent, rights, segments } from "../../src/comments/threads";
import { BESIDE, readBeside } from "../../src/room/beside";

const ada = { id: "ada", name: "Ada" };
const ben = { id: "ben", name: "Ben" };

function remark(author: { id: string; name: string }, at: string, body = "Look"): Remark {
  return { id: `c-${at}`, author, body, created_at: at, edited_at: null, mentions: [] };
}

function thread(comments: readonly Remark[], fields: Partial<Thread> = {}): Thread {
  const at = "2026-11-21T10:00:00Z";
  return {
    id: "t1", x: 10, y: 20, element_id: null, created_by: ada, created_at: at, updated_at: at, resolved_at: null,
    resolved_by: null, is_deleted: false, revision: 1, comments, read_at: null, ...fields,
  };
}

function shape(id: string, fields: Partial<Shape> = {}): Shape {
  return { id, x: 100, y: 100, width: 50, height: 30, angle: 0, isDeleted: false, ...fields };
}

describe("unread (X4)", () => {
  it("tells times apart that differ in a microsecond", () => {
    expect(microseconds("2026-11-21T10:00:00.000001Z") - microseconds("2026-11-21T10:00:00Z")).toBe(1);
    expect(microseconds("2026-11-21T10:00:00.5Z") - microseconds("2026-11-21T10:00:00.499999Z")).toBe(1);
  });

  it("is what others wrote after what was seen", () => {
    const written = thread([remark(ada, "2026-11-21T10:00:00.000001Z"), remark(ben, "2026-11-21T10:00:00.000002Z")]);
    expect(isUnread(written, "ben")).toBe(true);
    expect(isUnread(written, "ada")).toBe(true);
    expect(isUnread({ ...written, read_at: "2026-11-21T10:00:00.000001Z" }, "ben")).toBe(false);
    expect(isUnread({ ...written, read_at: "2026-11-21T10:00:00.000001Z" }, "ada")).toBe(true);
    expect(isUnread({ ...written, read_at: "2026-11-21T10:00:00.000002Z" }, "ada")).toBe(false);
  });
});

describe("events (X5, X6)", () => {
  it("are read from the socket", () => {
    const json = '{"kind":"comment","revision":7,"thread":null}';
    const decoder = decoding.createDecoder(new Uint8Array([BESIDE, json.length, ...new TextEncoder().encode(json)]));
    expect(decoding.readVarUint(decoder)).toBe(BESIDE);
    expect(readEvent(readBeside(decoder))).toEqual({ revision: 7, thread: null });
  });

  it("of another kind, or of a newer server, say nothing", () => {
    expect(readBeside(decoding.createDecoder(new Uint8Array([1, 0x7b])))).toBeNull();
    for (const told of [null, 1, "x", [], { kind: "people" }, { kind: "comment" }]) expect(readEvent(told)).toBeNull();
    expect(readEvent({ kind: "comment", revision: 1, thread: { id: "t" } })).toEqual({ revision: 1, thread: null });
  });
});

describe("mentions (X3)", () => {
  it("begin at an @ that begins a word", () => {
    expect(mentionAt("Hi @Ad", 6)).toEqual({ start: 3, query: "Ad" });
    expect(mentionAt("@", 1)).toEqual({ start: 0, query: "" });
    expect(mentionAt("@Ada Lo", 7)).toEqual({ start: 0, query: "Ada Lo" });
    expect(mentionAt("ada@home", 8)).toBeNull();
    expect(mentionAt("@Ada\nmore", 9)).toBeNull();
    expect(mentionAt("Hi @Ad and more", 6)).toEqual({ start: 3, query: "Ad" });
  });

  it("are completed where the caret is", () => {
    expect(complete("Hi @Ad, look", 3, 6, "Ada")).toEqual({ text: "Hi @Ada , look", caret: 8 });
    expect(complete("@", 0, 1, "Ben")).toEqual({ text: "@Ben ", caret: 5 });
  });

  it("count while the name is in the text", () => {
    const chosen = new Map([["a", "Ada"], ["b", "Ben"]]);
    expect(mentionsIn("@Ben look", chosen)).toEqual(["b"]);
    chosen.set("l", "Ada Lovelace");
    expect(mentionsIn("@Ada Lovelace, look", chosen)).toEqual(["l"]);
    expect(mentionsIn("@Ada Lovelace and @Ada", chosen)).toEqual(["a", "l"]);
  });

  it("are told apart from the rest of the text", () => {
    expect(segments("@Ada Lovelace and @Ada, mail a@b", ["Ada", "Ada Lovelace"])).toEqual([
      { text: "@Ada Lovelace", mention: true },
      { text: " and ", mention: false },
      { text: "@Ada", mention: true },
      { text: ", mail a@b", mention: false },
    ]);
    expect(segments("<b>@x</b>", [])).toEqual([{ text: "<b>@x</b>", mention: false }]);
    expect(segments("", ["Ada"])).toEqual([]);
  });
});

describe("words and rights (X1)", () => {
  it("say what a pin is", () => {
    const written = thread([remark(ada, "2026-11-21T10:00:00Z", "Bigger,\nplease"), remark(ben, "2026-11-21T10:00:01Z")]);
    expect(labelOf(written, true)).toBe("Comment by Ada: Bigger, please. 1 reply, unread");
    expect(labelOf(thread([remark(ada, "2026-11-21T10:00:00Z", "Hi")]), false)).toBe("Comment by Ada: Hi");
  });

  it("come from the room, and from the role on a server that does not say them", () => {
    const room = { role: "editor" } as Room;
    expect(rights(room)).toEqual({ comment: true, moderate: false });
    expect(rights({ ...room, role: "owner" })).toEqual({ comment: true, moderate: true });
    expect(rights({ ...room, may: ["see"] } as Room)).toEqual({ comment: false, moderate: false });
    expect(rights({ ...room, may: ["see", "comment"] } as Room)).toEqual({ comment: true, moderate: false });
  });
});

describe("pins (X8)", () => {
  const view: View = { scrollX: 5, scrollY: -5, zoom: 2, width: 800, height: 600 };
  const shapes = (...all: Shape[]) => new Map(all.map((one) => [one.id, one]));

  it("are at the element's corner, and without it at their point", () => {
    const pinned = thread([], { element_id: "r" });
    expect(anchorOf(pinned, shapes(shape("r")))).toEqual({ x: 150, y: 100 });
    expect(anchorOf(pinned, shapes(shape("r", { isDeleted: true })))).toEqual({ x: 10, y: 20 });
    expect(anchorOf(pinned, shapes())).toEqual({ x: 10, y: 20 });
    const nowhere = { x: null, y: null, element_id: "r" };
    expect(anchorOf(nowhere, shapes(shape("r", { isDeleted: true })))).toEqual({ x: 150, y: 100 });
    expect(anchorOf(nowhere, shapes())).toBeNull();
  });

  it("turn with the element, and know lines that go up and left", () => {
    const turned = anchorOf(thread([], { element_id: "r" }), shapes(shape("r", { angle: Math.PI / 2 })));
    expect(turned?.x).toBeCloseTo(140);
    expect(turned?.y).toBeCloseTo(140);
    const line = shape("l", { points: [[0, 0], [-20, -40]] });
    expect(anchorOf(thread([], { element_id: "l" }), shapes(line))).toEqual({ x: 100, y: 60 });
  });

  it("follow scroll and zoom, lie side by side at one place, and are left out beyond the edge", () => {
    const both = [thread([]), thread([], { id: "t2" })];
    expect(pinsIn(both, shapes(), view)).toEqual([{ id: "t1", left: 30, top: 30 }, { id: "t2", left: 56, top: 30 }]);
    expect(toCanvas(30, 30, view)).toEqual({ x: 10, y: 20 });
    expect(pinsIn([thread([], { x: 1000 })], shapes(), view)).toEqual([]);
  });

  it("are put on the smallest element under the click, else on the point", () => {
    const all = [shape("big", { x: 0, y: 0, width: 500, height: 500 }), shape("small"), shape("gone", { isDeleted: true, width: 1 })];
    expect(placeAt({ x: 120, y: 110 }, all, 1)).toEqual({ x: 150, y: 100, element_id: "small" });
    expect(placeAt({ x: 300, y: 300 }, all, 1)).toEqual({ x: 500, y: 0, element_id: "big" });
    expect(placeAt({ x: 120, y: 110 }, [...all, shape("label", { width: 30, containerId: "small" })], 1).element_id).toBe("small");
    expect(placeAt({ x: -300, y: 300 }, all, 1)).toEqual({ x: -300, y: 300, element_id: null });
  });
});
