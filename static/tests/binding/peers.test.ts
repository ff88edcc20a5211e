// @vitest-environment node
import { describe, expect, it } from "vitest";
import { Awareness } from "y-protocols/awareness";
import * as Y from "yjs";
import type { Clock } from "../../src/binding/clock";
import { collaboratorsOf, colorOf, readPeer } from "../../src/binding/peers";
import { Presence, PRESENCE_MS } from "../../src/binding/presence";
import type { Preview } from "../../src/binding/previews";
import { FakeClock } from "./editor";

describe("a peer", () => {
  const state = {
    user: { id: "u1", name: "Ann", color: "#123456" }, pointer: { x: 1, y: 2, tool: "laser" }, button: "down",
    selection: ["a", "b"], viewport: [0, 0, 100, 50], preview: null,
  };

  it("is read whole, and becomes a collaborator", () => {
    const peer = readPeer(7, state)!;
    expect(peer).toEqual({
      clientId: 7, socketId: "7", userId: "u1", name: "Ann", color: "#123456", pointer: { x: 1, y: 2, tool: "laser" },
      button: "down", selection: ["a", "b"], viewport: [0, 0, 100, 50],
    });
    expect(collaboratorsOf([peer]).get("7" as never)).toMatchObject({
      id: "u1", username: "Ann", button: "down", selectedElementIds: { a: true, b: true }, pointer: { x: 1, y: 2, tool: "laser" },
    });
  });

  it("without the server's stamp is nobody", () => {
    for (const bad of [null, 5, "x", [], {}, { user: null }, { user: { name: "Ann" } }, { user: { id: 5 } }, { user: { id: "" } }]) {
      expect(readPeer(7, bad)).toBeNull();
    }
  });

  it("who sends nonsense is still drawable", () => {
    for (const bad of [null, 5, "x", [], { x: "a" }, { x: Number.NaN, y: 1e999 }, [1, 2, 3, "y"], [5, 5, 1, 1]]) {
      const peer = readPeer(7, { user: { id: "u", name: bad, color: bad }, pointer: bad, button: bad, selection: bad, viewport: bad });
      expect(peer).toMatchObject({ userId: "u", button: "up", color: colorOf(7) });
      expect(typeof peer!.name).toBe("string");
      expect(peer!.viewport).toBeNull();
      if (peer!.pointer) expect(Number.isFinite(peer!.pointer.x)).toBe(true);
    }
    expect(readPeer(7, { user: { id: "u", color: "url(//evil)" } })!.color).toBe(colorOf(7));
    expect(readPeer(7, { user: { id: "u", name: "x".repeat(500) } })!.name).toHaveLength(80);
  });
});

describe("my presence", () => {
  function make(clock: Clock) {
    const doc = new Y.Doc();
    const awareness = new Awareness(doc);
    const sent: number[] = [];
    const presence = new Presence(awareness, "#123456", clock);
    awareness.on("update", () => sent.push(JSON.stringify(awareness.getLocalState()).length));
    return { awareness, presence, sent, state: () => awareness.getLocalState() as Record<string, never> };
  }

  it("goes out at most 20 times a second, the last word always", () => {
    const clock = new FakeClock();
    const { awareness, presence, sent, state } = make(clock);
    presence.flush();
    for (let ms = 0; ms < 1000; ms += 5) {
      presence.point({ x: ms, y: ms, tool: "pointer" }, "up");
      clock.advance(5);
    }
    clock.advance(PRESENCE_MS);
    expect(sent.length).toBeLessThanOrEqual(22);
    expect(sent.length).toBeGreaterThan(15);
    expect(state()["pointer"]).toEqual({ x: 995, y: 995, tool: "pointer" });
    awareness.destroy();
  });

  it("is at most 3 KB with everything in it", () => {
    const clock = new FakeClock();
    const { awareness, presence, sent } = make(clock);
    const preview: Preview = { gesture: "1-1", items: [{ kind: "move", ids: Array.from({ length: 80 }, (_, at) => `${"x".repeat(19)}${at}`), x: 1, y: 2 }] };
    presence.select(Array.from({ length: 500 }, (_, at) => `${"y".repeat(18)}${at}`));
    presence.point({ x: -12345.678, y: 98765.432, tool: "pointer" }, "down");
    presence.view([-12345.678, -12345.678, 98765.432, 98765.432]);
    presence.preview(() => preview);
    presence.flush();
    expect(Math.max(...sent)).toBeLessThan(3072);
    awareness.destroy();
  });

  it("says nothing when nothing changed, keeps what the app put there, and leaves", () => {
    const clock = new FakeClock();
    const { awareness, presence, sent, state } = make(clock);
    awareness.setLocalState({ app: 1, user: { name: "mine" } });
    presence.point({ x: 1, y: 1, tool: "pointer" }, "up");
    clock.advance(100);
    const count = sent.length;
    presence.point({ x: 1.01, y: 1, tool: "pointer" }, "up");
    presence.endPreview();
    clock.advance(100);
    expect(sent.length).toBe(count);
    expect(state()).toMatchObject({ app: 1, user: { name: "mine", color: "#123456" } });
    presence.leave();
    expect(state()["pointer"]).toBeNull();
    awareness.destroy();
  });

  it("asks for a preview only when it goes out", () => {
    const clock = new FakeClock();
    const { awareness, presence, state } = make(clock);
    presence.flush();
    let asked = 0;
    for (let frame = 0; frame < 10; frame++) {
      presence.preview(() => ({ gesture: String(++asked), items: [] }));
      clock.advance(10);
    }
    expect(asked).toBeLessThanOrEqual(3);
    presence.endPreview();
    clock.advance(100);
    expect(state()["preview"]).toBeNull();
    awareness.destroy();
  });
});
