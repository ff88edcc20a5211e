/** The steps of an upload against a server of the test: what is sent, what is not sent twice, what is tried again. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Asset, SignedRequest } from "../../src/api/assets";
import { ApiError } from "../../src/api/errors";
import { deliver, isFinal, missingParts, SMALL_BYTES, waitMs } from "../../src/assets/delivery";
import { Uploads, type UploadListener } from "../../src/assets/uploads";

const PART = 300_000;
const offline = () => new ApiError("The server can't be reached.", { kind: "offline" });
const problem = (status: number, message = "no") => new ApiError(message, { kind: "problem", status });

/** Storage and routes in memory, with failures on demand. */
class Server {
  readonly log: string[] = [];
  readonly parts = new Map<number, number>();
  blob: Blob | null = null;
  asset: Asset | null = null;
  inParts = false;
  /** Thrown by the next calls of that name. */
  readonly failures = new Map<string, unknown[]>();
  atOnce = 0;
  most = 0;
  hold: Promise<void> | null = null;

  #do(name: string): void {
    this.log.push(name);
    const failure = this.failures.get(name.split(" ")[0]!)?.shift();
    if (failure) throw failure;
  }

  readonly api = {
    begin: async (_room: string, wanted: { size: number }) => {
      this.#do("begin");
      if (this.asset) return { asset: this.asset, upload: null };
      const request: SignedRequest = { method: "PUT", url: "/blobs/1", headers: {} };
      const upload = { id: "u1", expires_at: "", request: this.inParts || this.blob ? null : request, parts: null as null | { part_bytes: number; count: number } };
      if (this.inParts) upload.parts = { part_bytes: PART, count: Math.ceil(wanted.size / PART) };
      return { asset: null, upload };
    },
    put: async (_room: string, sha256: string) => {
      this.#do("put");
      return (this.asset = { sha256 } as Asset);
    },
    complete: async () => {
      this.#do("complete");
      return (this.asset = { sha256: "s" } as Asset);
    },
    findParts: async () => {
      this.#do("findParts");
      return { part_bytes: PART, count: this.count, stored: [...this.parts].map(([number, size_bytes]) => ({ number, size_bytes })) };
    },
    signParts: async (_room: string, _id: string, numbers: readonly number[]) => {
      this.#do(`signParts ${numbers.join(",")}`);
      return numbers.map((number) => ({ number, size_bytes: this.sizeOf(number), request: { method: "PUT", url: `/blobs/1/${number}`, headers: {} } }));
    },
    cancel: async () => this.#do("cancel"),
  };

  size = 0;
  get count(): number {
    return Math.ceil(this.size / PART);
  }
  sizeOf(number: number): number {
    return Math.min(PART, this.size - (number - 1) * PART);
  }

  readonly send = async (request: SignedRequest, body: Blob, options: { signal: AbortSignal; onProgress?: (sent: number) => void }) => {
    this.atOnce += 1;
    this.most = Math.max(this.most, this.atOnce);
    try {
      await (this.hold ?? Promise.resolve());
      options.signal.throwIfAborted();
      this.#do(`send ${request.url}`);
      options.onProgress?.(body.size);
      const number = Number(/\/(\d+)$/.exec(request.url.slice("/blobs/1".length))?.[1] ?? 0);
      if (number) this.parts.set(number, body.size);
      else this.blob = body;
    } finally {
      this.atOnce -= 1;
    }
  };
}

function desk(size: number, inParts = false) {
  const server = new Server();
  server.size = size;
  server.inParts = inParts;
  const file = new Blob([new Uint8Array(size)]);
  const what = { room: "r", sha256: "s", filename: "a.jpg", contentType: "image/jpeg", file };
  const seen: number[] = [];
  const abort = new AbortController();
  const run = () => deliver(what, server, { progress: (sent) => seen.push(sent), sent: () => seen.push(-1) }, abort.signal);
  return { server, run, seen, abort };
}

describe("deliver", () => {
  it("sends a small file in one request", async () => {
    const { server, run } = desk(SMALL_BYTES - 1);
    await run();
    expect(server.log).toEqual(["put"]);
  });

  it("begins, sends, completes; what the room has is not sent", async () => {
    const { server, run, seen } = desk(SMALL_BYTES);
    await run();
    expect(server.log).toEqual(["begin", "send /blobs/1", "complete"]);
    expect(seen).toEqual([SMALL_BYTES, -1]);
    server.log.length = 0;
    await run();
    expect(server.log).toEqual(["begin"]);
  });

  it("completes what has arrived without sending it again", async () => {
    const { server, run } = desk(SMALL_BYTES);
    server.failures.set("complete", [offline()]);
    await expect(run()).rejects.toMatchObject({ kind: "offline" });
    await run();
    expect(server.log).toEqual(["begin", "send /blobs/1", "complete", "begin", "complete"]);
  });

  it("takes 'it is there already' for sent", async () => {
    const { server, run } = desk(SMALL_BYTES);
    server.failures.set("send", [problem(412)]);
    await run();
    expect(server.log).toEqual(["begin", "send /blobs/1", "complete"]);
  });

  it("asks for a new address when the old one ran out, and not for ever", async () => {
    const { server, run } = desk(SMALL_BYTES);
    server.failures.set("send", [problem(403)]);
    await run();
    expect(server.log).toEqual(["begin", "send /blobs/1", "begin", "send /blobs/1", "complete"]);
    const refusing = desk(SMALL_BYTES);
    refusing.server.failures.set("send", [problem(403), problem(403), problem(403), problem(403)]);
    await expect(refusing.run()).rejects.toMatchObject({ status: 403 });
  });

  it("sends parts three at once, and after a loss only those that are missing", async () => {
    const { server, run, seen } = desk(PART * 10 + 7, true);
    server.failures.set("send", [undefined, undefined, undefined, undefined, offline()]);
    await expect(run()).rejects.toMatchObject({ kind: "offline" });
    expect(server.most).toBe(3);
    const there = server.parts.size;
    expect(there).toBeGreaterThanOrEqual(4);
    server.log.length = 0;
    await run();
    expect(server.log.filter((line) => line.startsWith("send "))).toHaveLength(11 - there);
    expect([...server.parts.values()].reduce((sum, bytes) => sum + bytes, 0)).toBe(PART * 10 + 7);
    expect(server.log.at(-1)).toBe("complete");
    expect(seen.at(-2)).toBe(PART * 10 + 7);
    expect(missingParts(4, new Set([2]))).toEqual([1, 3, 4]);
  });

  it("knows a no from a not now", () => {
    for (const status of [400, 403, 404, 409, 413, 415, 422]) expect(isFinal(problem(status))).toBe(true);
    for (const status of [401, 408, 429, 500, 502, 503, 504]) expect(isFinal(problem(status))).toBe(false);
    expect(isFinal(offline())).toBe(false);
    expect(isFinal(new TypeError("a file that is gone"))).toBe(true);
  });

  it("waits longer each time, up to a minute, and never all at once", () => {
    expect([1, 2, 3, 4, 20].map((tries) => waitMs(tries, 0.5))).toEqual([1000, 2000, 4000, 8000, 60_000]);
    expect(waitMs(1, 0)).toBe(750);
    expect(waitMs(1, 0.999)).toBeLessThan(1250);
  });

  it("waits as long as the server says, and not all for the same instant (L4)", () => {
    const limited = new ApiError("", { kind: "problem", status: 429, retryAfterS: 20 });
    expect(waitMs(1, 0, limited)).toBe(20_000);
    expect(waitMs(1, 1, limited)).toBe(25_000);
    expect(waitMs(9, 0.5, limited)).toBe(60_000);
    expect(waitMs(1, 0.5, problem(429))).toBe(1000);
  });
});

describe("Uploads", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  function many(server: Server) {
    const told: string[] = [];
    const listener: UploadListener = {
      stored: (upload) => told.push(`stored ${upload.sha256}`),
      lost: (upload) => told.push(`lost ${upload.sha256}`),
      refused: (upload) => told.push(`refused ${upload.sha256}: ${upload.state.words}`),
      cancelled: (upload) => told.push(`cancelled ${upload.sha256}`),
    };
    const uploads = new Uploads("r", server, listener);
    const add = (sha256: string) =>
      uploads.add({ sha256, filename: `${sha256}.jpg`, contentType: "image/jpeg", kind: "picture", file: new Blob([new Uint8Array(SMALL_BYTES)]) });
    const phases = () => Object.fromEntries(uploads.list().map(({ sha256, state }) => [sha256, state.phase]));
    return { uploads, add, told, phases };
  }

  it("has three under way at once, and each file once", async () => {
    const server = new Server();
    let release!: () => void;
    server.hold = new Promise((resolve) => (release = resolve));
    const { add, phases, told } = many(server);
    for (const name of ["a", "b", "c", "d", "a"]) add(name);
    await vi.advanceTimersByTimeAsync(1);
    expect(phases()).toEqual({ a: "sending", b: "sending", c: "sending", d: "queued" });
    release();
    await vi.advanceTimersByTimeAsync(100);
    expect(told.sort()).toEqual(["stored a", "stored b", "stored c", "stored d"]);
    await vi.advanceTimersByTimeAsync(5000);
    expect(phases()).toEqual({});
  });

  it("tries again by itself, and at once when the network is back", async () => {
    const server = new Server();
    server.failures.set("begin", [offline(), offline(), offline(), offline(), offline()]);
    const { uploads, add, phases, told } = many(server);
    add("a");
    await vi.advanceTimersByTimeAsync(1);
    expect(phases()).toEqual({ a: "waiting" });
    await vi.advanceTimersByTimeAsync(1300);
    expect(told).toEqual(["lost a", "lost a"]);
    uploads.hurry();
    await vi.advanceTimersByTimeAsync(1);
    expect(told).toHaveLength(3);
    server.failures.clear();
    uploads.hurry();
    await vi.advanceTimersByTimeAsync(1);
    expect(told.at(-1)).toBe("stored a");
  });

  it("stops at a no with the server's words, and begins anew when told", async () => {
    const server = new Server();
    server.failures.set("complete", [problem(422, "The picture is cut off.")]);
    const { uploads, add, phases, told } = many(server);
    add("a");
    await vi.advanceTimersByTimeAsync(1);
    expect(told).toEqual(["refused a: The picture is cut off."]);
    expect(phases()).toEqual({ a: "failed" });
    uploads.again("a");
    await vi.advanceTimersByTimeAsync(1);
    expect(told.at(-1)).toBe("stored a");
    add("b");
    await vi.advanceTimersByTimeAsync(1);
    uploads.dismiss("b");
  });

  it("cancels here and there, and says nothing more of it", async () => {
    const server = new Server();
    let release!: () => void;
    server.hold = new Promise((resolve) => (release = resolve));
    const { uploads, add, phases, told } = many(server);
    add("a");
    await vi.advanceTimersByTimeAsync(1);
    uploads.cancel("a");
    release();
    await vi.advanceTimersByTimeAsync(10);
    expect(told).toEqual(["cancelled a"]);
    expect(phases()).toEqual({});
    expect(server.log).toEqual(["begin", "cancel"]);
  });
});
