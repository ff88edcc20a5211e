import { describe, expect, it } from "vitest";
import { exportPath, type AuditEntry } from "../../src/api/audit";
import { deedOf, refusalOf, whoOf } from "../../src/activity/words";

const entry = (changes: Partial<AuditEntry> = {}): AuditEntry => ({
  id: "e1",
  at: "2026-01-31T12:00:00Z",
  actor: { id: "ada", name: "Ada" },
  action: "room.freeze",
  words: "froze the room",
  target: "",
  result: "done",
  address: null,
  room_id: "plan",
  details: {},
  ...changes,
});

describe("activity", () => {
  it("says who", () => {
    expect(whoOf(entry(), "ada")).toBe("You");
    expect(whoOf(entry(), "bob")).toBe("Ada");
    expect(whoOf(entry({ actor: null }), "bob")).toBe("Somebody who was not signed in");
  });

  it("says what, with what was before and is now where that is known", () => {
    expect(deedOf(entry())).toBe("froze the room");
    const tried = entry({ action: "link.create", words: "tried to make a link", result: "refused", details: { role: "viewer" } });
    expect(deedOf(tried)).toBe("tried to make a link");
    expect(deedOf(entry({ action: "asset.add", words: "added a file", details: { filename: "a.png" } }))).toBe("added a file: a.png");
    const both = { title: { from: "Plan", to: "Floor plan" }, visibility: { from: "unlisted", to: "public" } };
    expect(deedOf(entry({ action: "room.change", words: "changed the room", details: both }))).toBe(
      "renamed the room to “Floor plan” and made the room public: it is listed for everybody",
    );
    expect(deedOf(entry({ action: "room.change", words: "changed the room", details: { title: "odd" } }))).toBe("changed the room: odd");
    const deed = (details: AuditEntry["details"]) => deedOf(entry({ action: "room.change", words: "changed the room", details }));
    expect(deed({ default_role: { from: "none", to: "commenter" } })).toBe("let whoever has the address look and comment");
    expect(deed({ default_role: { from: "editor", to: "none" }, shows_viewers: { from: true, to: false } })).toBe(
      "let in only the room’s people and hid who only looks",
    );
    const change = entry({ action: "comment.change", words: "resolved, reopened or moved a comment" });
    expect(deedOf({ ...change, details: { resolved: true } })).toBe("resolved a comment");
    expect(deedOf({ ...change, details: { resolved: false, moved: true } })).toBe("moved a comment and opened a comment again");
    expect(deedOf(change)).toBe("resolved, reopened or moved a comment");
  });

  it("says whose role it was, where the name is known", () => {
    const change = entry({ action: "member.change", words: "changed a role", target: "bob", details: { from: "editor", to: "viewer" } });
    expect(deedOf(change, new Map([["bob", "Bob"]]))).toBe("changed the role of Bob to viewer");
    expect(deedOf(change)).toBe("changed the role of somebody to viewer");
    const invited = entry({ action: "invitation.create", words: "invited somebody", target: "i1", details: { role: "editor", email: "eve@example.org", user_id: null } });
    expect(deedOf(invited)).toBe("invited eve@example.org as editor");
    expect(deedOf(entry({ action: "link.create", words: "made a link", target: "l1", details: { role: "viewer" } }))).toBe("made a link for the role viewer");
    expect(deedOf(entry({ action: "member.remove", words: "removed somebody", target: "bob" }))).toBe("removed somebody");
  });

  it("says what was refused, and how often", () => {
    expect(refusalOf(entry())).toBe("");
    expect(refusalOf(entry({ result: "refused" }))).toBe("Refused");
    expect(refusalOf(entry({ result: "refused", details: { times: 12 } }))).toBe("Refused 12 times");
  });

  it("asks for a file by the room's own address", () => {
    expect(exportPath("a/b", "csv")).toBe("/api/v1/rooms/a%2Fb/audit/export?format=csv");
  });
});
