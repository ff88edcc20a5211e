/** The server's words in passing reach a person. */
import * as decoding from "lib0/decoding";
import * as encoding from "lib0/encoding";
import { describe, expect, it } from "vitest";
import type { WebsocketProvider } from "y-websocket";
import { hearNotices, readFreeze } from "../../src/room/notices";
import { badges, rate, shortNode, since, size, until, uptime } from "../../src/admin/words";
import { parseRoute } from "../../src/app/router";
import type { LiveRoom } from "../../src/api/admin";

describe("notices", () => {
  it("M5: a frozen room's sentence is told, and nothing else of the kind", () => {
    const provider = { messageHandlers: [] as unknown[] };
    const told: string[] = [];
    hearNotices(provider as unknown as WebsocketProvider, (words) => told.push(words));
    const handler = provider.messageHandlers[2] as (encoder: unknown, decoder: decoding.Decoder) => void;
    for (const [kind, words] of [
      [0, "The operator froze this room — für jetzt."],
      [1, "something newer"],
    ] as const) {
      const encoder = encoding.createEncoder();
      encoding.writeVarUint(encoder, kind);
      encoding.writeVarString(encoder, words);
      handler(null, decoding.createDecoder(encoding.toUint8Array(encoder)));
    }
    expect(told).toEqual(["The operator froze this room — für jetzt."]);
  });
});

const ROOM: LiveRoom = {
  id: "r",
  title: "Room",
  visibility: "public",
  people: 0,
  connections: 0,
  lagging: 0,
  edits_per_s: null,
  document_bytes: 0,
  journal_rows: 0,
  journal_bytes: 0,
  waits_for_journal: false,
  nodes: [],
  quarantine: null,
  frozen_at: null,
  closed_until: null,
  kept_out: 0,
};

describe("the operator's words", () => {
  it("sizes and rates have three digits at most", () => {
    expect([0, 999, 1000, 12_345, 999_949, 5_000_000].map(size)).toEqual(["0 B", "999 B", "1 kB", "12.3 kB", "1 MB", "5 MB"]);
    expect([null, 0, 0.01, 0.44, 9.96, 1234].map(rate)).toEqual(["–", "0", "<0.1", "0.4", "10", "1,234"]);
  });

  it("times are what has passed and what is left", () => {
    const now = Date.parse("2026-01-02T00:00:00Z");
    expect(since("2026-01-01T23:59:30Z", now)).toBe("just now");
    expect(since("2026-01-01T21:00:00Z", now)).toBe("3 h");
    expect(uptime("2026-01-01T23:59:30Z", now)).toBe("just started");
    expect(uptime("2026-01-01T21:00:00Z", now)).toBe("up 3 h");
    expect([shortNode("01m7zwvrcbm79mhzs93ev9c7dg"), shortNode("one")]).toEqual(["…v9c7dg", "one"]);
    expect(until("2026-01-02T00:00:20Z", now)).toBe("for 1 min");
    expect(until("2026-01-12T00:00:00Z", now)).toBe("for 10 days");
  });

  it("the worst of a room comes first, and a quiet one has no badge", () => {
    expect(badges(ROOM, 0)).toEqual([]);
    const all = badges(
      { ...ROOM, waits_for_journal: true, quarantine: "room", frozen_at: "1970-01-01T00:00:00Z", kept_out: 2, lagging: 1 },
      0,
    );
    expect(all.map((one) => one.text)).toEqual(["not saving", "quarantine", "frozen", "2 kept out", "1 slow"]);
  });

  it("has an address of its own", () => {
    expect(parseRoute("/admin")).toEqual({ page: "admin" });
    expect(parseRoute("/admins")).toEqual({ page: "unknown" });
  });
});

describe("a freeze (M5, M6)", () => {
  it("is told from other notices", () => {
    expect(readFreeze("The operator froze this room: you may look.")).toBe(true);
    expect(readFreeze("The operator thawed this room: what you drew meanwhile is taken now.")).toBe(false);
    expect(readFreeze("You may look at this room, not edit it.")).toBeNull();
  });
});
