/** Times in words. */
import { describe, expect, it } from "vitest";
import { ago, ahead, count, daysLeft } from "../../src/app/time";

const NOW = Date.parse("2026-11-20T12:00:00Z");
const before = (seconds: number) => new Date(NOW - seconds * 1000).toISOString();

describe("ago", () => {
  it.each([
    [0, "just now"],
    [59, "just now"],
    [-500, "just now"],
    [60, "1 minute ago"],
    [59 * 60, "59 minutes ago"],
    [3600, "1 hour ago"],
    [26 * 3600, "yesterday"],
    [3 * 86_400, "3 days ago"],
    [8 * 86_400, "last week"],
    [40 * 86_400, "last month"],
    [800 * 86_400, "2 years ago"],
  ])("%i s", (seconds, words) => {
    expect(ago(before(seconds), NOW)).toBe(words);
  });

  it("says nothing about what is no time", () => {
    expect(ago("", NOW)).toBe("");
  });
});

describe("ahead", () => {
  it.each([
    [0, "now"],
    [59, "in a minute"],
    [60, "in 1 minute"],
    [3601, "in 1 hour"],
    [86_400, "tomorrow"],
    // what somebody chose, a moment later
    [7 * 86_400 - 5, "in 7 days"],
    [14 * 86_400 - 5, "in 14 days"],
    [30 * 86_400 - 5, "in 30 days"],
    [90 * 86_400 - 5, "in 3 months"],
    [365 * 86_400 - 5, "in 12 months"],
    [800 * 86_400, "in 2 years"],
  ])("%i s", (seconds, words) => {
    expect(ahead(before(-seconds), NOW)).toBe(words);
  });
});

describe("daysLeft", () => {
  it.each([
    [-30 * 86_400, "30 days left"],
    [-86_400, "1 day left"],
    [-3600, "1 day left"],
    [0, "goes today"],
    [3600, "goes today"],
  ])("%i s", (seconds, words) => {
    expect(daysLeft(before(seconds), NOW)).toBe(words);
  });
});

describe("count", () => {
  it("has a singular", () => {
    expect(count(1, "change", "changes")).toBe("1 change");
    expect(count(0, "change", "changes")).toBe("0 changes");
    expect(count(1200, "change", "changes")).toBe("1,200 changes");
  });
});
