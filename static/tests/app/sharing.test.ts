/** Roles, sharing, the account: what is read and said about them. */
import { describe, expect, it } from "vitest";
import type { Action, Role } from "../../src/api/types";
import type { ShareLink } from "../../src/api/sharing";
import { deviceWords, scopesFor, sessionWords, tokenWords } from "../../src/account/words";
import { parseRoute } from "../../src/app/router";
import { ahead } from "../../src/app/time";
import { addressWords, can, changeWords, isRole, viewWords, withRole } from "../../src/share/roles";
import { endAfter, linkWords, readInvitee, viaWords } from "../../src/share/words";

const NOW = Date.parse("2026-05-04T12:00:00Z");
const at = (days: number) => new Date(NOW + days * 86_400_000).toISOString();
const ROLES: readonly Role[] = ["viewer", "commenter", "editor", "owner"];

describe("can", () => {
  const least: readonly (readonly [Action, Role])[] = [
    ["see", "viewer"], ["present", "viewer"], ["comment", "commenter"], ["edit", "editor"], ["moderate", "owner"], ["rename", "owner"],
    ["share", "owner"], ["audit", "owner"], ["delete", "owner"], ["transfer", "owner"],
  ];
  it.each(least)("%s begins with %s", (action, first) => {
    expect(ROLES.filter((role) => can({ role }, action))).toEqual(ROLES.slice(ROLES.indexOf(first)));
    expect(can({ role: null }, action)).toBe(false);
  });

  it("goes by what the server says, where it says it", () => {
    expect(can({ role: "owner", may: ["see"] }, "share")).toBe(false);
    expect(can({ role: null, may: ["see", "share"] }, "share")).toBe(true);
    expect(can({ role: null, may: ["see", "share"] }, "edit")).toBe(false);
  });
});

describe("a role that changes", () => {
  const room = { id: "r", role: "editor", may: ["see", "edit"] } as never;
  it("forgets what was allowed under the other one", () => {
    expect(can(withRole(room, "viewer"), "edit")).toBe(false);
    expect(can(withRole(room, "owner"), "share")).toBe(true);
  });

  it("is said in words, both ways, and not when nothing changed", () => {
    expect(changeWords({ role: "editor" }, { role: "viewer" })).toBe("You may only look now.");
    expect(changeWords({ role: "editor" }, { role: "commenter" })).toContain("comment");
    expect(changeWords({ role: "viewer" }, { role: "editor" })).toBe("You may draw here now.");
    expect(changeWords({ role: "editor" }, { role: "owner" })).toBe("You own this room now.");
    expect(changeWords({ role: "owner" }, { role: "editor" })).toContain("still draw");
    expect(changeWords({ role: "editor" }, { role: "editor" })).toBeNull();
  });

  it("is only known by its four names", () => {
    expect(ROLES.every(isRole)).toBe(true);
    expect(["admin", "", "constructor", "Owner"].some(isRole)).toBe(false);
  });
});

describe("what stands below the bar", () => {
  it("is there for whom looks, and nobody else", () => {
    expect(viewWords({ role: "owner" })).toBeNull();
    expect(viewWords({ role: "editor" })).toBeNull();
    expect(viewWords({ role: "commenter" })).toContain("comment");
    expect(viewWords({ role: "viewer" })).toBe("You may look at this room, but not draw.");
    expect(viewWords({ role: null, may: ["see"] })).toContain("operator");
  });

  it("an address opens what everybody may do", () => {
    expect(addressWords({ default_role: "none" })).toBe("Only the people below get in.");
    expect(addressWords({ default_role: "viewer" })).toContain("look");
    expect(addressWords({})).toContain("draw");
  });
});

describe("readInvitee", () => {
  it("tells e-mail addresses from user ids", () => {
    expect(readInvitee(" grace@example.org ")).toEqual({ ok: true, invitee: { email: "grace@example.org" } });
    expect(readInvitee("ops@localhost")).toMatchObject({ ok: true });
    expect(readInvitee("01HZXABC")).toEqual({ ok: true, invitee: { user_id: "01HZXABC" } });
  });

  it("sends no words that nobody would read", () => {
    expect(readInvitee("grace@example.org", "Have a look")).toMatchObject({ ok: true });
    expect(readInvitee("01HZXABC", "Have a look")).toMatchObject({ ok: false });
  });

  it.each(["", "  ", "a@b@c d", "@", "a@", "two@example.org, three@example.org", "Ada Lovelace", "<script>", `${"x".repeat(250)}@example.org`])(
    "says what is wrong with %j",
    (typed) => {
      const checked = readInvitee(typed);
      expect(checked.ok).toBe(false);
      if (!checked.ok) expect(checked.reason).toMatch(/\.$/);
    },
  );
});

describe("links", () => {
  const link: ShareLink = {
    id: "1", role: "viewer", label: "", created_at: at(-1), expires_at: null, max_uses: null, uses: 0, has_password: false, is_open: true,
  };
  it("say what they still do", () => {
    expect(linkWords(link, NOW)).toBe("0 uses, no end");
    expect(linkWords({ ...link, uses: 2, max_uses: 5, expires_at: at(3), has_password: true }, NOW)).toBe("2 of 5 uses, ends in 3 days, with a password");
    expect(linkWords({ ...link, uses: 1, max_uses: 1, expires_at: at(-1) }, NOW)).toBe("1 of 1 use, has ended");
  });

  it("end after so many days, or never", () => {
    expect(endAfter(7, NOW)).toBe("2026-05-11T12:00:00.000Z");
    expect(endAfter(0, NOW)).toBeUndefined();
  });

  it("members say how they came, whatever a newer server calls it", () => {
    expect(viaWords({ via: "link", role: "viewer" })).toBe("came by a link");
    expect(viaWords({ via: "teleport", role: "viewer" })).toBe("is a member");
    expect(viaWords({ via: "owner", role: "owner" })).toBe("owns the room");
  });
});

describe("ahead", () => {
  it("is the near future in words", () => {
    expect(ahead(at(3), NOW)).toBe("in 3 days");
    expect(ahead(at(1), NOW)).toBe("tomorrow");
    expect(ahead(new Date(NOW + 5_000).toISOString(), NOW)).toBe("in a minute");
    expect(ahead(new Date(NOW + 3_600_000).toISOString(), NOW)).toBe("in 1 hour");
    expect(ahead(at(-1), NOW)).toBe("now");
    expect(ahead("never", NOW)).toBe("");
  });
});

describe("the account page", () => {
  it.each([
    ["Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"],
    ["Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36 Edg/140.0", "Edge on Windows"],
    ["Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15", "Safari on macOS"],
    ["Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile Safari/604.1", "Safari on iOS"],
    ["Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Mobile Safari/537.36", "Chrome on Android"],
    ["Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/140.0 Safari/537.36", "Chrome on Linux"],
    ["python-httpx/0.28", "python-httpx/0.28"],
    ["", "An unknown device"],
  ])("calls %j by a name people know", (agent, name) => {
    expect(deviceWords(agent)).toBe(name);
  });

  it("keeps what a device calls itself short", () => {
    expect(deviceWords("x".repeat(500)).length).toBeLessThan(70);
  });

  it("says since when, how and from where", () => {
    const session = { id: "s", kind: "email", address: "192.0.2.7", user_agent: "", created_at: at(-1), seen_at: at(0), is_this: false } as const;
    expect(sessionWords(session, NOW)).toBe("signed in yesterday by e-mail, seen just now from 192.0.2.7");
    expect(sessionWords({ ...session, address: "" }, NOW)).toBe("signed in yesterday by e-mail, seen just now");
    expect(sessionWords({ ...session, kind: "token", address: "" }, NOW)).toBe("signed in yesterday with a token, seen just now");
  });

  it("offers an operator's rights to an operator only", () => {
    expect(scopesFor(false)).not.toContain("admin");
    expect(scopesFor(true)).toEqual([...scopesFor(false), "admin"]);
  });

  it("says how long a token works, and whether it does", () => {
    const token = { id: "t", name: "t", scopes: [], created_at: at(-9), expires_at: null, last_used_at: null, last_used_from: null } as const;
    expect(tokenWords(token, NOW)).toBe("never ends, never used");
    expect(tokenWords({ ...token, expires_at: at(7), last_used_at: at(-1) }, NOW)).toBe("ends in 7 days, last used yesterday");
    expect(tokenWords({ ...token, expires_at: at(-1) }, NOW)).toBe("has ended, never used");
    expect(tokenWords({ ...token, last_used_at: at(-1), last_used_from: "192.0.2.7" }, NOW)).toBe("never ends, last used yesterday from 192.0.2.7");
  });
});

describe("addresses", () => {
  it("of links, invitations and the account", () => {
    expect(parseRoute("/l/kl_Abc-123")).toEqual({ page: "link", token: "kl_Abc-123" });
    expect(parseRoute("/i/ki_xyz/")).toEqual({ page: "invitation", token: "ki_xyz" });
    expect(parseRoute("/account")).toEqual({ page: "account" });
    expect(["/l/", "/l/a/b", "/i/<b>", "/account/x", `/l/${"x".repeat(201)}`].map((path) => parseRoute(path).page)).toEqual(Array(5).fill("unknown"));
  });
});
