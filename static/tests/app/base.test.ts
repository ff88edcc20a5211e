/** A base over HTTP: whole or not at all, with progress; a stall ends it, its size does not. */
import { describe, expect, it } from "vitest";
import { readBase, type Progress } from "../../src/api/base";
import { ApiError } from "../../src/api/errors";

const UPDATE = Uint8Array.from({ length: 1000 }, (_, at) => at % 251);
const HEADERS = { "Content-Type": "application/octet-stream", ETag: 'W/"3-17"', "Kanvas-Document-Bytes": "1000" };

/** A body whose pieces come when the test says so. */
function body() {
  let feed!: ReadableStreamDefaultController<Uint8Array>;
  const state = { cancelled: false };
  const stream = new ReadableStream<Uint8Array>({
    start: (controller) => void (feed = controller),
    cancel: () => void (state.cancelled = true),
  });
  return { stream, state, piece: (from: number, to: number) => feed.enqueue(UPDATE.slice(from, to)), end: () => feed.close(), fail: () => feed.error(new TypeError("network error")) };
}

function reading(stream: ReadableStream<Uint8Array>, headers: Record<string, string> = HEADERS, stallMs = 60_000) {
  const seen: Progress[] = [];
  const abort = new AbortController();
  const base = readBase(new Response(stream, { headers }), { stallMs, signal: abort.signal, onProgress: (progress) => seen.push(progress) });
  base.catch(() => undefined);
  return { base, seen, abort };
}

describe("readBase", () => {
  it("puts the pieces together and says how far it is", async () => {
    const { stream, piece, end } = body();
    const { base, seen } = reading(stream);
    piece(0, 400);
    piece(400, 999);
    piece(999, 1000);
    end();
    expect(await base).toEqual({ epoch: 3, update: UPDATE });
    expect(seen.map(({ receivedBytes }) => receivedBytes)).toEqual([400, 999, 1000]);
    expect(new Set(seen.map(({ totalBytes }) => totalBytes))).toEqual(new Set([1000]));
  });

  it("takes nothing that is no whole base", async () => {
    for (const headers of [
      { ...HEADERS, "Content-Type": "text/html" },
      { ...HEADERS, ETag: '"a-page"' },
      { ...HEADERS, "Kanvas-Document-Bytes": "lots" },
      { "Content-Type": "application/octet-stream" },
    ]) {
      const { stream } = body();
      await expect(reading(stream, headers).base).rejects.toMatchObject({ name: "ApiError", kind: "problem" });
    }
  });

  it("takes none that is shorter or longer than announced", async () => {
    const short = body();
    short.piece(0, 999);
    short.end();
    await expect(reading(short.stream).base).rejects.toThrow("cut off");
    const long = body();
    long.piece(0, 1000);
    long.piece(0, 1);
    await expect(reading(long.stream).base).rejects.toThrow("longer");
    expect(long.state.cancelled).toBe(true);
  });

  it("gives up when nothing comes, when the connection breaks, and when it is told to", async () => {
    const stalled = body();
    const first = reading(stalled.stream, HEADERS, 20);
    stalled.piece(0, 10);
    await expect(first.base).rejects.toMatchObject({ kind: "timeout" });
    expect(stalled.state.cancelled).toBe(true);

    const broken = body();
    const second = reading(broken.stream);
    broken.fail();
    await expect(second.base).rejects.toBeInstanceOf(ApiError);

    const stopped = body();
    const third = reading(stopped.stream);
    third.abort.abort();
    await expect(third.base).rejects.toMatchObject({ kind: "offline" });
    expect(stopped.state.cancelled).toBe(true);
  });

  it("goes on for longer than a stall may last while pieces come", async () => {
    const { stream, piece, end } = body();
    const { base } = reading(stream, HEADERS, 1_000);
    const start = performance.now();
    let at = 0;
    while (performance.now() - start < 1_500) {
      piece(at, at + 1);
      at += 1;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    piece(at, 1000);
    end();
    expect((await base).update).toEqual(UPDATE);
  });
});
