/** One upload as a state machine: what may follow what, and what is said. */
import { describe, expect, it } from "vitest";
import { isUnderWay, phaseWords, queued, share, step, summary, type UploadEvent, type UploadState } from "../../src/assets/progress";

const after = (state: UploadState, ...events: UploadEvent[]) => events.reduce(step, state);
const sending = after(queued(1000), { type: "started" });

describe("an upload", () => {
  it("goes from the queue to done", () => {
    const half = after(sending, { type: "progress", sentBytes: 500 });
    expect(half).toMatchObject({ phase: "sending", sentBytes: 500 });
    expect(share(half)).toBe(0.5);
    const checking = after(half, { type: "sent" });
    expect(checking).toMatchObject({ phase: "checking", sentBytes: 1000 });
    expect(share(checking)).toBeLessThan(1);
    expect(after(checking, { type: "stored" })).toMatchObject({ phase: "done" });
  });

  it("waits, is due, and goes on", () => {
    const waiting = after(sending, { type: "progress", sentBytes: 400 }, { type: "lost", words: "Waits for the connection" });
    expect(waiting).toMatchObject({ phase: "waiting", words: "Waits for the connection" });
    expect(isUnderWay(waiting)).toBe(true);
    expect(after(waiting, { type: "due" })).toMatchObject({ phase: "queued", words: "" });
    expect(after(waiting, { type: "due" }, { type: "started" }).phase).toBe("sending");
    // Only who waits is due.
    expect(after(sending, { type: "due" })).toBe(sending);
  });

  it("is over when it was refused, cancelled or is done: late answers change nothing", () => {
    for (const last of [{ type: "refused", words: "Too large" }, { type: "cancelled" }, { type: "stored" }] as const) {
      const over = after(sending, last);
      expect(isUnderWay(over)).toBe(false);
      for (const late of [{ type: "started" }, { type: "progress", sentBytes: 1 }, { type: "sent" }, { type: "stored" }, { type: "lost", words: "" }, { type: "cancelled" }, { type: "due" }] as const) {
        expect(after(over, late)).toBe(over);
      }
    }
  });

  it("begins anew only after a no or a cancel", () => {
    expect(after(sending, { type: "refused", words: "no" }, { type: "again" })).toEqual(queued(1000));
    expect(after(sending, { type: "cancelled" }, { type: "again" })).toEqual(queued(1000));
    expect(after(sending, { type: "again" })).toBe(sending);
    const done = after(sending, { type: "stored" });
    expect(after(done, { type: "again" })).toBe(done);
  });

  it("never counts beyond its size", () => {
    expect(after(sending, { type: "progress", sentBytes: 5000 }).sentBytes).toBe(1000);
    expect(after(sending, { type: "progress", sentBytes: -5 }).sentBytes).toBe(0);
    expect(share(queued(0))).toBe(0);
  });

  it("says where it is", () => {
    expect(phaseWords(queued(6_200_000))).toBe("6.2 MB, waits its turn");
    expect(phaseWords(after(queued(2_000_000), { type: "started" }, { type: "progress", sentBytes: 450_000 }))).toBe("450 kB of 2.0 MB");
  });

  it("adds up what is under way", () => {
    const half = after(sending, { type: "progress", sentBytes: 500 });
    const failed = after(sending, { type: "refused", words: "no" });
    expect(summary([half])).toEqual({ words: "Uploading one file", share: 0.5 });
    expect(summary([half, queued(1000), failed])).toEqual({ words: "Uploading 2 files", share: 0.25 });
    expect(summary([failed])).toEqual({ words: "One file was not uploaded", share: 1 });
    expect(summary([after(sending, { type: "lost", words: "" })]).words).toBe("One file waits for the server");
  });
});
