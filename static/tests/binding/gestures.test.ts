// @vitest-environment node
import { describe, expect, it } from "vitest";
import { gestureIds, Gestures, isGestureOpen, type GestureState } from "../../src/binding/gestures";

const IDLE = {
  cursorButton: "up", newElement: null, multiElement: null, editingTextElement: null, resizingElement: null,
  isResizing: false, isRotating: false, selectedElementsAreBeingDragged: false, croppingElementId: null,
  selectedElementIds: { chosen: true },
} as GestureState;

const state = (fields: Record<string, unknown>) => ({ ...IDLE, ...fields }) as GestureState;

describe("a gesture", () => {
  it("is open while the pointer is down or any of the flags is set", () => {
    expect(isGestureOpen(IDLE)).toBe(false);
    for (const fields of [
      { cursorButton: "down" }, { newElement: { id: "a" } }, { multiElement: { id: "a" } }, { editingTextElement: { id: "a" } },
      { resizingElement: { id: "a" } }, { isResizing: true }, { isRotating: true }, { selectedElementsAreBeingDragged: true },
      { croppingElementId: "a" },
    ]) expect(isGestureOpen(state(fields)), JSON.stringify(fields)).toBe(true);
  });

  it("names what it works on: the selection only while the pointer is down", () => {
    expect([...gestureIds(IDLE)]).toEqual([]);
    expect([...gestureIds(state({ editingTextElement: { id: "t" } }))]).toEqual(["t"]);
    expect([...gestureIds(state({ cursorButton: "down", newElement: { id: "n" } }))].sort()).toEqual(["chosen", "n"]);
  });

  it("is written once, at its end", () => {
    const gestures = new Gestures();
    const verdicts = [0, 16, 32, 1500, 1990].map((ms) => gestures.look(true, ms > 0, false, ms));
    expect(verdicts.every(({ commit }) => !commit)).toBe(true);
    expect(gestures.look(false, true, false, 1999)).toEqual({ commit: true, ended: true, againMs: null });
    expect(gestures.look(false, false, false, 2000)).toEqual({ commit: false, ended: false, againMs: null });
  });

  it("ends even when it changed nothing", () => {
    const gestures = new Gestures();
    gestures.look(true, false, false, 0);
    expect(gestures.look(false, false, false, 5)).toEqual({ commit: false, ended: true, againMs: null });
  });

  it("over 2 s is written about every second, even if the hand rests", () => {
    const gestures = new Gestures();
    gestures.look(true, true, false, 0);
    expect(gestures.look(true, true, false, 500)).toEqual({ commit: false, ended: false, againMs: 1500 });
    expect(gestures.look(true, true, false, 2000).commit).toBe(true);
    expect(gestures.look(true, true, false, 2500)).toEqual({ commit: false, ended: false, againMs: 500 });
    expect(gestures.look(true, true, false, 3000).commit).toBe(true);
    expect(gestures.look(true, false, false, 9000).commit).toBe(false);
    expect(gestures.look(false, true, false, 9100)).toMatchObject({ commit: true, ended: true });
  });

  it("of typing is written every second from the first on", () => {
    const gestures = new Gestures();
    gestures.look(true, true, true, 0);
    expect(gestures.look(true, true, true, 999)).toMatchObject({ commit: false, againMs: 1 });
    expect(gestures.look(true, true, true, 1000).commit).toBe(true);
    expect(gestures.look(true, true, true, 1100)).toMatchObject({ commit: false, againMs: 900 });
  });

  it("has a number of its own", () => {
    const gestures = new Gestures();
    gestures.look(true, false, false, 0);
    const first = gestures.number;
    gestures.look(false, false, false, 1);
    gestures.look(true, false, false, 2);
    expect(gestures.number).not.toBe(first);
  });
});

describe("nudges and sliders", () => {
  it("are written at once, then at most every 100 ms, the last one always", () => {
    const gestures = new Gestures();
    expect(gestures.look(false, true, false, 1000).commit).toBe(true);
    expect(gestures.look(false, true, false, 1030)).toEqual({ commit: false, ended: false, againMs: 70 });
    expect(gestures.look(false, true, false, 1060)).toEqual({ commit: false, ended: false, againMs: 40 });
    expect(gestures.look(false, true, false, 1100).commit).toBe(true);
    expect(gestures.look(false, false, false, 1110)).toEqual({ commit: false, ended: false, againMs: null });
  });
});
