/** What the server says, as words for a person. */
import { describe, expect, it } from "vitest";
import { ApiError, problemOf, wordsFor } from "../../src/api/errors";

describe("problemOf", () => {
  it("reads problem+json", () => {
    const error = problemOf(
      422,
      JSON.stringify({ detail: "The title is too long.", code: "invalid", request_id: "r1", errors: [{ field: "title", message: "At most 200." }] }),
      "application/problem+json; charset=utf-8",
    );
    expect(error).toMatchObject({ status: 422, code: "invalid", requestId: "r1", message: "The title is too long." });
    expect(wordsFor(error)).toEqual({ title: "Please check this", detail: "At most 200.", retry: false });
  });

  it.each([
    ["a proxy's page", 502, "<h1>Bad gateway</h1>", "text/html"],
    ["a cut-off body", 500, '{"detail": "x', "application/problem+json"],
    ["json that is no object", 500, "null", "application/json"],
    ["nothing", 503, "", ""],
  ])("survives %s", (_what, status, body, type) => {
    const error = problemOf(status, body, type);
    expect(error.status).toBe(status);
    expect(error.code).toBe(`http_${status}`);
    expect(error.message).toContain(String(status));
  });
});

describe("wordsFor", () => {
  it("knows when a retry can help", () => {
    const retry = (error: unknown) => wordsFor(error).retry;
    expect(retry(new ApiError("", { kind: "offline" }))).toBe(true);
    expect(retry(new ApiError("", { kind: "timeout" }))).toBe(true);
    expect(retry(problemOf(503, "", ""))).toBe(true);
    expect(retry(problemOf(412, "", ""))).toBe(true);
    expect(retry(problemOf(403, "", ""))).toBe(false);
    expect(retry(problemOf(404, "", ""))).toBe(false);
    expect(retry(problemOf(413, "", ""))).toBe(false);
  });

  it("gives the request id only for the server's own mistakes", () => {
    const body = JSON.stringify({ request_id: "01ABC" });
    expect(wordsFor(problemOf(500, body, "application/problem+json")).detail).toContain("01ABC");
    expect(wordsFor(problemOf(404, body, "application/problem+json")).detail).not.toContain("01ABC");
  });

  it("has a sentence for every status it can meet", () => {
    for (const status of [400, 401, 403, 404, 405, 409, 412, 413, 415, 422, 429, 500, 502, 503, 504]) {
      const words = wordsFor(problemOf(status, "", ""));
      expect(words.title.length, String(status)).toBeGreaterThan(3);
      expect(words.detail, String(status)).toMatch(/\S.*\.$/);
    }
  });

  it.each([
    [1, "1 second"],
    [12, "12 seconds"],
    [89, "89 seconds"],
    [90, "2 minutes"],
    [3600, "60 minutes"],
    [undefined, "a moment"],
  ])("says how long to wait: %s (L4)", (seconds, told) => {
    const error = problemOf(429, JSON.stringify({ code: "rate_limited", retry_after_s: seconds }), "application/problem+json");
    expect(error.retryAfterS).toBe(seconds);
    expect(wordsFor(error)).toEqual({ title: "A little slower", detail: `There were too many requests. Try again in ${told}.`, retry: true });
  });

  it("takes anything that was thrown", () => {
    expect(wordsFor(new Error("Disk is full.")).detail).toBe("Disk is full.");
    expect(wordsFor("boom").detail).toMatch(/unexpected/);
    expect(wordsFor(undefined).retry).toBe(true);
  });
});

describe("unreachable", () => {
  it("is what a kept copy can stand in for", () => {
    expect(new ApiError("", { kind: "offline" }).unreachable).toBe(true);
    expect(problemOf(503, "", "").unreachable).toBe(true);
    expect(problemOf(404, "", "").unreachable).toBe(false);
    expect(problemOf(500, "", "").unreachable).toBe(false);
  });
});
