/** When a token is renewed. */
import { describe, expect, it } from "vitest";
import { LONGEST_WAIT_MS, lifeOf, readClaims, renewDelay } from "../../src/identity/token";

function jwt(claims: unknown): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "HS256" })}.${part(claims)}.signature`;
}

describe("readClaims", () => {
  it("reads base64url and UTF-8", () => {
    expect(readClaims(jwt({ sub: "u1", name: "Zoë ✏️ ?>" }))).toEqual({ sub: "u1", name: "Zoë ✏️ ?>" });
  });

  it.each(["", "abc", "a.b.c", "a.!!!.c", jwt(7), jwt(null)])("gives null for %j", (token) => {
    expect(readClaims(token)).toBeNull();
  });
});

describe("lifeOf", () => {
  const now = Date.parse("2026-11-01T12:00:00Z");

  it("comes from the server's own times, whatever the clock here says", () => {
    const token = jwt({ iat: 1000, exp: 4600 });
    expect(lifeOf(token, "2020-01-01T00:00:00Z", now)).toBe(3_600_000);
  });

  it("falls back to expires_at, then to an hour", () => {
    expect(lifeOf("opaque", "2026-11-01T12:30:00Z", now)).toBe(1_800_000);
    expect(lifeOf("opaque", "2026-11-01T11:00:00Z", now)).toBe(3_600_000);
    expect(lifeOf("opaque", "soon", now)).toBe(3_600_000);
  });
});

describe("renewDelay", () => {
  it("is at 80 % of the life", () => {
    expect(renewDelay(0, 0, 1000)).toBe(800);
    expect(renewDelay(500, 0, 1000)).toBe(300);
  });

  it("is now when it is overdue, and never longer than a timer can be", () => {
    expect(renewDelay(5000, 0, 1000)).toBe(0);
    expect(renewDelay(0, 0, 365 * 86_400_000)).toBe(LONGEST_WAIT_MS);
  });
});
