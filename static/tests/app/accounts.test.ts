/** Links to sign in with: what this browser remembers, the words for it, and what can be pressed in a mail. */
import { describe, expect, it } from "vitest";
import { parseRoute } from "../../src/app/router";
import { linkWords, parseAsked } from "../../src/identity/asked";
import { piecesOf } from "../../src/identity/links";

describe("parseAsked", () => {
  const asked = { email: "ada@example.org", guest: "fox", at: 1000 };
  it("remembers for as long as a link lives (T1)", () => {
    expect(parseAsked(asked, 1000 + 15 * 60_000)).toEqual(asked);
    expect(parseAsked(asked, 1001 + 15 * 60_000)).toBeNull();
    expect(parseAsked(asked, 999)).toBeNull();
    expect(parseAsked({ ...asked, guest: 7 }, 1000)).toEqual({ ...asked, guest: null });
  });

  it.each([null, 7, "x", {}, { email: "x" }, { email: 7, at: 1000 }])("takes nothing else: %j", (value) => {
    expect(parseAsked(value, 1000)).toBeNull();
  });
});

describe("linkWords", () => {
  const asked = { email: "ada@example.org", guest: "fox", at: 0 };
  it("says whose rooms come along (T4)", () => {
    const fox = { id: "fox", name: "Fox", guest: true };
    expect(linkWords(asked, fox)).toContain("become your account’s");
    expect(linkWords({ ...asked, guest: null }, fox)).toContain("stay behind");
    expect(linkWords(null, fox)).toContain("stay behind");
    expect(linkWords(asked, { id: "eve", name: "Eve", guest: false })).toContain("as Eve");
    expect(linkWords(asked, null)).toContain("in this browser");
    expect(linkWords(null, null)).toContain("not the one it was asked for in");
  });
});

describe("piecesOf", () => {
  it("finds addresses and leaves the rest as it is", () => {
    const text = "Sign in:\n\nhttp://127.0.0.1:8000/signin/ks_a-b_c\n\njavascript:alert(1) <b>x</b>";
    const pieces = piecesOf(text);
    expect(pieces.map((piece) => piece.text).join("")).toBe(text);
    expect(pieces.filter((piece) => piece.kind === "link").map((piece) => piece.text)).toEqual(["http://127.0.0.1:8000/signin/ks_a-b_c"]);
    expect(piecesOf("")).toEqual([]);
    expect(piecesOf("https://a.b")).toEqual([{ kind: "link", text: "https://a.b" }]);
  });
});

describe("parseRoute", () => {
  it("knows the pages of accounts", () => {
    expect(parseRoute("/signin/ks_a-b_c")).toEqual({ page: "signin", secret: "ks_a-b_c" });
    expect(parseRoute("/mailbox")).toEqual({ page: "mailbox" });
    expect(parseRoute("/signin/")).toEqual({ page: "unknown" });
    expect(parseRoute("/signin/a/b")).toEqual({ page: "unknown" });
  });
});
