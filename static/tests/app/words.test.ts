/** What the room says of its connection: green only when it is saved. */
import { describe, expect, it } from "vitest";
import { ONLY_LOOKING, progressWords, refusalWords, savedWords, type Link } from "../../src/room/words";

const LINKS: readonly Link[] = ["connecting", "connected", "waiting", "offline", "refused"];

describe("savedWords", () => {
  it("is saved only when the server echoed everything and the connection stands", () => {
    for (const link of LINKS) {
      for (const kind of ["saved", "saving", "offline"] as const) {
        const words = savedWords({ kind, waiting: 0, unconfirmed: false }, link);
        expect(words.status === "saved", `${kind} ${link}`).toBe(kind === "saved" && link === "connected");
      }
    }
  });

  it("says how many changes wait", () => {
    expect(savedWords({ kind: "offline", waiting: 3, unconfirmed: false }, "offline").label).toBe("offline, 3 changes waiting");
    expect(savedWords({ kind: "offline", waiting: 1, unconfirmed: true }, "offline").label).toBe("offline, 1 change waiting");
    expect(savedWords({ kind: "offline", waiting: 0, unconfirmed: false }, "offline").label).toBe("offline");
    expect(savedWords({ kind: "offline", waiting: 2, unconfirmed: false }, "waiting").label).toBe("offline, 2 changes waiting");
    expect(savedWords({ kind: "offline", waiting: 0, unconfirmed: false }, "waiting").label).toBe("reconnecting…");
  });

  it("admits changes it can't count", () => {
    expect(savedWords({ kind: "offline", waiting: 0, unconfirmed: true }, "offline").label).toBe("offline, changes waiting");
  });

  it("does not promise to come back after a refusal", () => {
    expect(savedWords({ kind: "offline", waiting: 1, unconfirmed: false }, "refused")).toMatchObject({ status: "offline", label: "not connected" });
  });

  it("tells saving from connecting", () => {
    expect(savedWords({ kind: "saving", waiting: 1, unconfirmed: false }, "connected")).toMatchObject({ status: "saving", label: "saving…" });
    expect(savedWords({ kind: "offline", waiting: 0, unconfirmed: false }, "connecting").label).toBe("connecting…");
  });
});

describe("savedWords of a frozen room (M5)", () => {
  it("says so for as long as it lasts", () => {
    expect(savedWords({ kind: "saving", waiting: 2, unconfirmed: false }, "connected", true).label).toBe("frozen, 2 changes waiting");
    expect(savedWords({ kind: "saved", waiting: 0, unconfirmed: false }, "connected", true)).toMatchObject({ status: "offline", label: "frozen" });
    expect(savedWords({ kind: "offline", waiting: 0, unconfirmed: false }, "offline", true).label).toBe("offline");
  });
});

describe("savedWords of somebody who only looks", () => {
  it("has nothing to save, and hides nothing that waits", () => {
    expect(savedWords({ kind: "saved", waiting: 0, unconfirmed: false }, "connected", false, true)).toMatchObject({ status: "saved", label: "live" });
    expect(savedWords({ kind: "saving", waiting: 1, unconfirmed: false }, "connected", false, true).label).toBe("saving…");
    expect(savedWords({ kind: "offline", waiting: 0, unconfirmed: false }, "offline", false, true).label).toBe("offline");
  });
});

describe("refusalWords", () => {
  it.each([ONLY_LOOKING, 4400, 4401, 4403, 4404, 4409, 4413, 4422, 4429, 4499])("has words for %i", (code) => {
    const words = refusalWords({ code, reason: "Because." });
    expect(words.title).not.toBe("");
    expect(words.detail).toMatch(/\S/);
  });

  it("offers to open the room again only where that can help", () => {
    expect(refusalWords({ code: 4404, reason: "" }).reopen).toBe(false);
    expect(refusalWords({ code: 4403, reason: "" }).reopen).toBe(false);
    expect(refusalWords({ code: 4403, reason: "The operator sent you out of this room; you may open it again." })).toMatchObject({
      title: "You were sent out of this room",
      reopen: true,
    });
    expect(refusalWords({ code: ONLY_LOOKING, reason: "" }).reopen).toBe(true);
    expect(refusalWords({ code: 4413, reason: "" }).reopen).toBe(true);
    expect(refusalWords({ code: 4429, reason: "" }).reopen).toBe(true);
    expect(refusalWords({ code: 4422, reason: "" }).reopen).toBe(true);
  });

  it("passes on what the server says", () => {
    expect(refusalWords({ code: 4403, reason: "Your role is viewer." }).detail).toContain("“Your role is viewer.”");
    expect(refusalWords({ code: 4422, reason: "" }).detail).not.toContain("“");
  });
});

describe("progressWords", () => {
  it("says how much has come, and what happens when all has", () => {
    expect(progressWords({ receivedBytes: 0, totalBytes: 5_029_624 })).toBe("Loading the drawing, 0.0 of 5.0 MB");
    expect(progressWords({ receivedBytes: 1_260_000, totalBytes: 5_029_624 })).toBe("Loading the drawing, 1.3 of 5.0 MB");
    expect(progressWords({ receivedBytes: 5_029_624, totalBytes: 5_029_624 })).toBe("Opening the drawing…");
  });
});
