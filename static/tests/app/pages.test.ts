/** Addresses, people, doodles: the rest of what is pure. */
import { describe, expect, it } from "vitest";
import { askedThread, isPlainClick, parseRoute, roomPath, threadPath } from "../../src/app/router";
import type { Peer } from "../../src/binding";
import { distinctPeople } from "../../src/room/distinct";
import { doodle, INK_COUNT } from "../../src/ui/doodles";

describe("parseRoute", () => {
  it("knows the two pages", () => {
    expect(parseRoute("/")).toEqual({ page: "lobby" });
    expect(parseRoute("/r/01HZX")).toEqual({ page: "room", id: "01HZX" });
    expect(parseRoute("/r/my-room_1/")).toEqual({ page: "room", id: "my-room_1" });
    expect(parseRoute(roomPath("abc"))).toEqual({ page: "room", id: "abc" });
  });

  it.each(["/r/", "/r/a/b", "/x", "/r/<script>", `/r/${"x".repeat(65)}`])("does not know %j", (path) => {
    expect(parseRoute(path)).toEqual({ page: "unknown" });
  });
});

describe("isPlainClick", () => {
  const click = { button: 0, metaKey: false, ctrlKey: false, shiftKey: false, altKey: false };
  it("leaves clicks for new tabs to the browser", () => {
    expect(isPlainClick(click)).toBe(true);
    expect(isPlainClick({ ...click, ctrlKey: true })).toBe(false);
    expect(isPlainClick({ ...click, button: 1 })).toBe(false);
  });
});

describe("distinctPeople", () => {
  const peer = (clientId: number, userId: string, name: string, more: Partial<Peer> = {}): Peer => ({
    clientId, socketId: String(clientId), userId, name, color: "#000", pointer: null, button: "up", selection: [], viewport: null, ...more,
  });
  const pointer = { x: 0, y: 0, tool: "pointer" as const };

  it("shows each person once, by name, and not me in another tab", () => {
    const people = distinctPeople([peer(1, "b", "Bob"), peer(2, "a", "Ann"), peer(3, "b", "Bob"), peer(4, "me", "Me")], "me", null);
    expect(people.map((one) => one.name)).toEqual(["Ann", "Bob"]);
  });

  it("stands for a person with the tab that is followed, else the one in use", () => {
    const peers = [peer(1, "b", "Bob"), peer(3, "b", "Bob", { pointer }), peer(5, "b", "Bob")];
    expect(distinctPeople(peers, "me", null)[0]?.clientId).toBe(3);
    expect(distinctPeople(peers, "me", "5")[0]?.clientId).toBe(5);
  });
});

describe("doodle", () => {
  it("is the same for the same room and stays on its sheet", () => {
    expect(doodle("room-1")).toEqual(doodle("room-1"));
    expect(doodle("room-1")).not.toEqual(doodle("room-2"));
    for (let index = 0; index < 50; index += 1) {
      for (const stroke of doodle(`seed-${index}`)) {
        expect(stroke.ink).toBeLessThan(INK_COUNT);
        expect(stroke.d).toMatch(/^M[\d.-]/);
        expect(stroke.d).not.toContain("NaN");
      }
    }
  });
});

describe("threadPath", () => {
  it("names a thread of a room, and is read again", () => {
    const path = threadPath("r-1", "01m&x=?");
    expect(parseRoute(path.split("?")[0]!)).toEqual({ page: "room", id: "r-1" });
    expect(askedThread(path.slice(path.indexOf("?")))).toBe("01m&x=?");
    expect(askedThread("?element=1")).toBeNull();
  });
});
