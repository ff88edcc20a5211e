// @vitest-environment node
import { describe, expect, it } from "vitest";
import { Durable, subtract, type Range } from "../../src/binding/durable";

const clocks = (entries: Record<number, number>) => new Map(Object.entries(entries).map(([client, clock]) => [Number(client), clock]));
const NONE = new Map<number, Range[]>();
const deletes = (client: number, ...ranges: [number, number][]) =>
  new Map([[client, ranges.map(([clock, length]) => ({ clock, length }))]]);
const extent = (client: number, from: number, to: number) => ({ from: clocks({ [client]: from }), to: clocks({ [client]: to }) });

describe("Durable", () => {
  it("is saved while nothing happened", () => {
    expect(new Durable().isSaved).toBe(true);
  });

  it("counts an edit until its echo", () => {
    const durable = new Durable();
    durable.change(clocks({ 1: 3 }), NONE);
    durable.change(clocks({ 1: 5 }), NONE);
    expect([durable.isSaved, durable.waiting]).toEqual([false, 2]);
    durable.confirmUpdate(extent(1, 0, 3), NONE);
    expect([durable.isSaved, durable.waiting]).toEqual([false, 1]);
    durable.confirmUpdate(extent(1, 3, 5), NONE);
    expect([durable.isSaved, durable.waiting]).toEqual([true, 0]);
  });

  it("takes one merged echo for many edits", () => {
    const durable = new Durable();
    for (const clock of [1, 2, 3, 4]) durable.change(clocks({ 1: clock }), NONE);
    durable.confirmUpdate(extent(1, 0, 4), NONE);
    expect([durable.isSaved, durable.waiting]).toEqual([true, 0]);
  });

  it("does not believe an echo that starts beyond what is durable", () => {
    const durable = new Durable();
    durable.change(clocks({ 1: 10 }), NONE);
    durable.confirmUpdate(extent(1, 5, 10), NONE);
    expect(durable.isSaved).toBe(false);
    durable.confirmState(clocks({ 1: 10 }));
    expect(durable.isSaved).toBe(true);
  });

  it("covers edits brought back from the browser's copy under older client ids", () => {
    const durable = new Durable();
    durable.change(clocks({ 11: 7, 12: 4 }), NONE, true);
    expect([durable.isSaved, durable.isUnconfirmed, durable.waiting]).toEqual([false, true, 0]);
    durable.confirmState(clocks({ 11: 7, 12: 2 }));
    expect(durable.isSaved).toBe(false);
    durable.confirmUpdate(extent(12, 2, 4), NONE);
    expect([durable.isSaved, durable.isUnconfirmed]).toEqual([true, false]);
  });

  it("counts a pure deletion, which no clock shows", () => {
    const durable = new Durable();
    durable.confirmState(clocks({ 2: 20 }));
    durable.change(new Map(), deletes(2, [3, 4]));
    expect([durable.isSaved, durable.waiting, durable.hasOpenDeletes]).toEqual([false, 1, true]);
    durable.confirmUpdate({ from: new Map(), to: new Map() }, deletes(2, [3, 2]));
    expect(durable.isSaved).toBe(false);
    durable.confirmUpdate({ from: new Map(), to: new Map() }, deletes(2, [0, 4], [6, 9]));
    expect([durable.isSaved, durable.hasOpenDeletes]).toEqual([false, true]);
    durable.confirmUpdate({ from: new Map(), to: new Map() }, deletes(2, [0, 14]));
    expect([durable.isSaved, durable.waiting]).toEqual([true, 0]);
  });

  it("needs both halves of an edit that overwrites", () => {
    const durable = new Durable();
    durable.confirmState(clocks({ 2: 5 }));
    durable.change(clocks({ 1: 1 }), deletes(2, [4, 1]));
    durable.confirmState(clocks({ 1: 1 }));
    expect(durable.isSaved).toBe(false);
    durable.confirmUpdate({ from: new Map(), to: new Map() }, deletes(2, [4, 1]));
    expect(durable.isSaved).toBe(true);
  });

  it("takes others' edits for what they are: durable", () => {
    const durable = new Durable();
    durable.confirmUpdate(extent(9, 0, 100), NONE);
    expect([durable.isSaved, durable.waiting]).toEqual([true, 0]);
  });

  it("knows at once what is durable already", () => {
    const durable = new Durable();
    durable.confirmState(clocks({ 3: 8 }));
    durable.change(clocks({ 3: 8 }), NONE, true);
    expect(durable.isSaved).toBe(true);
  });
});

describe("subtract", () => {
  it("agrees with counting one by one, from a seed", () => {
    let seed = 7;
    const random = (below: number) => (seed = (seed * 48271) % 2147483647) % below;
    for (let round = 0; round < 500; round++) {
      const ranges = Array.from({ length: random(4) }, () => ({ clock: random(30), length: 1 + random(8) }));
      const flags = Array.from({ length: 40 }, () => random(2) === 1);
      const covered: Range[] = [];
      flags.forEach((flag, clock) => flag && covered.push({ clock, length: 1 }));
      const expected = ranges.flatMap(({ clock, length }) => Array.from({ length }, (_, at) => clock + at)).filter((clock) => !flags[clock]);
      const left = subtract(ranges, covered.reverse()).flatMap(({ clock, length }) => Array.from({ length }, (_, at) => clock + at));
      expect(left).toEqual(expected);
    }
  });
});
