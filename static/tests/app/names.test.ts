/** Names of people and rooms. */
import { describe, expect, it } from "vitest";
import { friendlyName, initials, NAME_MAX, parseName, tintOf } from "../../src/identity/names";
import { checkTitle, TITLE_MAX } from "../../src/lobby/titles";

describe("parseName", () => {
  it("joins white space and drops what can't be seen", () => {
    expect(parseName("  Ann \n\t Archer\u200b ")).toEqual({ ok: true, name: "Ann Archer" });
  });

  it("refuses nothing and too much, in words", () => {
    expect(parseName(" \u200b ")).toMatchObject({ ok: false });
    expect(parseName("x".repeat(NAME_MAX + 1))).toMatchObject({ ok: false, reason: expect.stringContaining(String(NAME_MAX)) });
  });

  it("counts characters as people do", () => {
    expect(parseName("🦊".repeat(NAME_MAX))).toMatchObject({ ok: true });
  });

  it("keeps emoji whole and undoes what reorders text", () => {
    expect(parseName("👩‍💻 Ann")).toEqual({ ok: true, name: "👩‍💻 Ann" });
    expect(parseName("Ann\u202eeve")).toEqual({ ok: true, name: "Ann eve" });
  });

  it("composes accents, so that equal names are equal", () => {
    expect(parseName("Zoe\u0308")).toEqual({ ok: true, name: "Zoë" });
  });
});

describe("friendlyName", () => {
  it("is always a valid name", () => {
    for (const random of [() => 0, () => 0.5, () => 0.999999]) {
      const name = friendlyName(random);
      expect(name).toMatch(/^[A-Z][a-z]+ [A-Z][a-z]+$/);
      expect(parseName(name)).toEqual({ ok: true, name });
    }
  });
});

describe("initials", () => {
  it.each([
    ["Ann Archer", "AA"],
    ["ann", "A"],
    ["Jean Luc van Damme", "JD"],
    ["🦊 fox", "🦊F"],
    ["👩‍💻 Ann", "👩‍💻A"],
    ["", "?"],
    ["  ", "?"],
  ])("of %j are %j", (name, letters) => {
    expect(initials(name)).toBe(letters);
  });
});

describe("tintOf", () => {
  it("is the same for the same person and spreads over the hues", () => {
    expect(tintOf("u-17")).toBe(tintOf("u-17"));
    const tints = new Set(Array.from({ length: 400 }, (_, index) => tintOf(`user-${index}`)));
    expect(tints.size).toBeGreaterThan(25);
    for (const tint of tints) expect(tint).toMatch(/^#[0-9a-f]{6}$/);
  });

  it("is the colour Excalidraw gives the cursor: hsl(hue, 100%, 83%)", () => {
    expect(tintOf("")).toBe("#ffa8a8"); // hash 0: hue 0
  });

  it("is what the server stamps on presence (tests/party/test_presence.py has the same four)", () => {
    expect(["u-anna", "usr_1", "ö😀x", "a".repeat(64)].map(tintOf)).toEqual(["#a8ffd4", "#a8a8ff", "#ffa8a8", "#a8f1ff"]);
  });
});

describe("checkTitle", () => {
  it("takes an empty title and tidies others", () => {
    expect(checkTitle("  ")).toEqual({ ok: true, title: "" });
    expect(checkTitle(" My\nroom ")).toEqual({ ok: true, title: "My room" });
    expect(checkTitle("x".repeat(TITLE_MAX + 1)).ok).toBe(false);
  });
});
