/** The token of an open connection, and coming back from the identity provider. */
import * as decoding from "lib0/decoding";
import { describe, expect, it } from "vitest";
import { readLanding, signInAddress } from "../../src/identity/landing";
import { isFinal, isGuest, isOperator } from "../../src/identity/token";
import { readSignal, SIGNAL, stepAtEnd, tokenMessage } from "../../src/room/signal";
import { tellsOfPeople } from "../../src/share/news";

function read(...bytes: number[]) {
  const decoder = decoding.createDecoder(new Uint8Array(bytes));
  expect(decoding.readVarUint(decoder)).toBe(SIGNAL);
  return readSignal(decoder);
}

function jwt(claims: unknown): string {
  return `x.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.y`;
}

describe("signals (I6)", () => {
  it("reads what the server writes", () => {
    expect(read(64, 0, 58)).toEqual({ kind: "ending", seconds: 58 });
    expect(read(64, 1, 0x80, 0xa3, 0x05)).toEqual({ kind: "renewed", seconds: 86_400 });
    expect(read(64, 2, 3, 0x4e, 0x6f, 0x2e)).toEqual({ kind: "refused", words: "No." });
    expect(read(64, 3, 6, ...Buffer.from("viewer"))).toEqual({ kind: "role", role: "viewer" });
    expect(read(64, 3, 4, ...Buffer.from("king"))).toBeNull();
    expect(read(64, 9, 1, 2)).toBeNull();
  });

  it("writes what the server reads", () => {
    expect([...tokenMessage("a.b")]).toEqual([64, 0, 3, 0x61, 0x2e, 0x62]);
  });
});

describe("the end of a token (I6, I9)", () => {
  it("is met with the token that came since, the last of a sign-in too", () => {
    expect(stepAtEnd({ token: "b" }, "a")).toBe("send");
    expect(stepAtEnd({ token: "b", final: true }, "a")).toBe("send");
    expect(stepAtEnd({ token: "a" }, "a")).toBe("renew");
    expect(stepAtEnd({ token: "a", final: true }, "a")).toBe("end");
  });
});

describe("news of people", () => {
  it("are known by their kind", () => {
    expect(tellsOfPeople({ kind: "people" })).toBe(true);
    expect([{ kind: "comment" }, {}, null, "people", ["people"], 7].some(tellsOfPeople)).toBe(false);
  });
});

describe("landing (I5)", () => {
  it("knows how it went", () => {
    expect(readLanding("#signed-in")).toEqual({ kind: "signed-in" });
    expect(readLanding("#sign-in-failed=denied")).toMatchObject({ kind: "failed", words: expect.stringContaining("not signed in") });
  });

  it.each(["", "#", "#signed-in-x", "#other"])("says nothing of %j", (hash) => {
    expect(readLanding(hash)).toBeNull();
  });

  it.each(["<b>Call 555</b>", "constructor", "__proto__", ""])("never shows the words of an address: %j", (code) => {
    expect(readLanding(`#sign-in-failed=${code}`)).toEqual({ kind: "failed", words: "You were not signed in. Try again." });
  });

  it("comes back to the same page", () => {
    expect(signInAddress("/start", "/r/a b")).toBe("/start?next=%2Fr%2Fa+b");
  });
});

describe("tokens", () => {
  it("that end the sign-in are told from those that can be renewed (I9)", () => {
    expect(isFinal(jwt({ exp: 10, until: 10 }))).toBe(true);
    expect(isFinal(jwt({ exp: 10, until: 20 }))).toBe(false);
    expect(isFinal(jwt({ exp: 10 }))).toBe(false);
    expect(isFinal("opaque")).toBe(false);
  });

  it("of guests are known by their claim", () => {
    expect(isGuest(jwt({ guest: true }))).toBe(true);
    expect(isGuest(jwt({}))).toBe(false);
    expect([jwt({ admin: true }), jwt({ admin: "true" }), "opaque"].map(isOperator)).toEqual([true, false, false]);
  });
});
