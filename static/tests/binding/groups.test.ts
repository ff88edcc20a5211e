// @vitest-environment node
import { describe, expect, it } from "vitest";
import { ELEMENT_TYPES, join } from "../../src/binding/elements";
import { changedGroups, equal, GROUP_NAMES, isEmpty, split, type ElementLike } from "../../src/binding/groups";
import { SAMPLES } from "./samples";

const LOCAL = ["version", "versionNonce", "updated", "boundElements", "status"];
const stripped = (element: unknown) =>
  Object.fromEntries(Object.entries(element as object).filter(([field]) => !LOCAL.includes(field)));

describe("every element type", () => {
  it("has a sample", () => {
    const types = new Set(Object.values(SAMPLES).map(({ type }) => type));
    expect([...types].sort()).toEqual([...ELEMENT_TYPES].sort());
  });

  for (const [name, element] of Object.entries(SAMPLES)) {
    it(`${name} comes back with every field`, () => {
      const groups = JSON.parse(JSON.stringify(split(element as ElementLike)));
      const back = join(element["id"] as string, groups);
      expect(stripped(back)).toEqual(stripped(element));
      expect(isEmpty(changedGroups(groups, split(back as unknown as ElementLike)))).toBe(true);
    });

    it(`${name} keeps each field in exactly one group, and a change of it changes that group only`, () => {
      const groups = split(element as ElementLike);
      for (const field of Object.keys(element)) {
        if (["id", "type", ...LOCAL].includes(field)) continue;
        const other = split({ ...element, [field]: field === "isDeleted" ? true : field === "index" ? "a2" : "other" } as ElementLike);
        const changed = GROUP_NAMES.filter((group) => !equal(groups[group], other[group]));
        expect(changed, field).toHaveLength(1);
      }
    });

    it(`${name} stores nothing local or derived`, () => {
      const groups = split({ ...element, boundElements: [{ id: "x", type: "arrow" }] } as unknown as ElementLike);
      const stored = Object.values(groups).flatMap((group) => (typeof group === "object" ? Object.keys(group!) : []));
      for (const field of [...LOCAL, "isDeleted", "index", "id"]) expect(stored).not.toContain(field);
    });

    it(`${name} keeps unknown fields`, () => {
      const odd = { ...element, futureField: { a: [1] }, polygon: true } as unknown as ElementLike;
      expect(join(odd.id, split(odd))).toMatchObject({ futureField: { a: [1] }, polygon: true });
    });
  }
});

describe("split", () => {
  it("shares nothing with the element", () => {
    const element = structuredClone(SAMPLES["freedraw"]) as unknown as ElementLike & { points: number[][] };
    const groups = split(element);
    element.points[1]![0] = 777;
    expect(JSON.stringify(groups)).not.toContain("777");
  });

  it("turns what JSON can't carry into null and leaves out undefined", () => {
    const groups = split({ id: "a", type: "rectangle", x: Number.NaN, y: Infinity, customData: undefined, link: undefined });
    expect(groups.geometry).toEqual({ x: null, y: null });
    expect(groups.meta).toEqual({});
  });

  it("lets no field reach a prototype", () => {
    const element = JSON.parse('{"id":"a","type":"rectangle","__proto__":{"bad":1},"customData":{"__proto__":{"bad":1}}}');
    expect(JSON.stringify(split(element))).not.toContain("bad");
  });
});

describe("equal", () => {
  it("ignores key order and undefined members only", () => {
    expect(equal({ a: 1, b: [1, { c: 2 }] }, { b: [1, { c: 2 }], a: 1 })).toBe(true);
    expect(equal({ a: 1, b: undefined }, { a: 1 })).toBe(true);
    expect(equal({ a: null }, {})).toBe(false);
    expect(equal([1, 2], [1])).toBe(false);
    expect(equal([], {})).toBe(false);
    expect(equal(null, {})).toBe(false);
  });
});

describe("a hostile document", () => {
  const NASTY = [
    null, undefined, true, "x", 7, -1, 1e308, -1e308, [], {}, [[]], [null], { type: null }, { elementId: 5 },
    Array.from({ length: 5 }, () => [Number.MAX_VALUE, "y"]), "javascript:alert(1)", { type: "arrow" },
  ];

  const finite = (value: unknown): boolean => {
    if (typeof value === "number") return Number.isFinite(value);
    if (Array.isArray(value)) return value.every(finite);
    return typeof value !== "object" || value === null || Object.values(value).every(finite);
  };

  for (const type of ELEMENT_TYPES) {
    it(`makes a drawable ${type} of anything`, () => {
      const sample = Object.values(SAMPLES).find((element) => element["type"] === type)!;
      const good = split(sample as ElementLike);
      const shape = join("good", good)!;
      const bad: string[] = [];
      for (const group of GROUP_NAMES) {
        if (group === "kind") continue;
        const fields = typeof good[group] === "object" ? Object.keys(good[group] as object) : [];
        const values = NASTY.flatMap((nasty) => [nasty, ...fields.map((field) => ({ ...(good[group] as object), [field]: nasty }))]);
        for (const value of values) {
          const element = join("bad", { ...good, [group]: value } as never) as unknown as Record<string, unknown>;
          if (!finite({ ...element, customData: null })) bad.push(`${group} ${JSON.stringify(value)}: not finite`);
          for (const [field, was] of Object.entries(shape)) {
            const is = element[field];
            if (was === null || is === null || field === "customData") continue;
            if (typeof is === typeof was && Array.isArray(is) === Array.isArray(was)) continue;
            bad.push(`${group} ${JSON.stringify(value)}: ${field} is ${JSON.stringify(is)}`);
          }
        }
      }
      expect(bad).toEqual([]);
    });
  }

  it("shows no element without a kind, of an unknown kind, or a selection", () => {
    for (const kind of [undefined, null, {}, { type: "selection" }, { type: "hologram" }, { type: "__proto__" }]) {
      expect(join("a", { kind } as never)).toBeNull();
    }
  });

  it("makes something of a kind alone", () => {
    for (const type of ELEMENT_TYPES) expect(join("a", { kind: { type } })).toMatchObject({ id: "a", type, x: 0, opacity: 100 });
  });

  it("never binds an element to itself, nests frames, or keeps a link that runs", () => {
    expect(join("a", { kind: { type: "arrow" }, geometry: { startBinding: { elementId: "a", focus: 0, gap: 1 } } })).toMatchObject({ startBinding: null });
    expect(join("a", { kind: { type: "text" }, text: { containerId: "a" } })).toMatchObject({ containerId: null });
    expect(join("f", { kind: { type: "frame" }, meta: { frameId: "g" } })).toMatchObject({ frameId: null });
    for (const link of ["javascript:alert(1)", " java\nscript:alert(1)", "JAVASCRIPT:x", "data:text/html,x", "vbscript:x"]) {
      expect(join("a", { kind: { type: "rectangle" }, meta: { link } }), link).toMatchObject({ link: null });
    }
    for (const link of ["https://a.b/c", "mailto:a@b.c", "/r/room", "example.com:8080/x", "#here"]) {
      expect(join("a", { kind: { type: "rectangle" }, meta: { link } }), link).toMatchObject({ link });
    }
  });

  it("takes only indices the index library can compute with", () => {
    const index = (z: unknown) => join("a", { kind: { type: "rectangle" }, z } as never)!.index;
    for (const good of ["a0", "a1V", "Zz", "b00", "b12V", "zzzzzzzzzzzzzzzzzzzzzzzzzzz"]) expect(index(good), good).toBe(good);
    for (const bad of ["", "a", "a10", "b0", "0a", "a!", "A00000000000000000000000000", "a0 ", 5, null]) expect(index(bad), String(bad)).toBeNull();
  });
});
