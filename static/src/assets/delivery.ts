/**
 * One file to the server: the steps of an upload, and whether a failure is worth another try.
 *
 * Owns one attempt. A further attempt goes on where this one ended: `begin` gives the same unfinished upload again, and
 * parts that arrived are not sent twice. Does not own: when to try again (uploads.ts). Source: the API's asset routes.
 */
import type { Asset, AssetApi, SignedPart, Upload } from "../api/assets";
import { ApiError } from "../api/errors";
import type { sendBytes } from "./transport";

/** Below this one request is cheaper than three. */
export const SMALL_BYTES = 256 * 1024;
const PARTS_AT_ONCE = 3;
/** Signed together; their addresses run out, so not all of a large file at once. */
const PARTS_SIGNED = 9;
/** How often an address that ran out, or a body that broke on its way, is asked for anew within one attempt. */
const FRESH_STARTS = 2;

export interface Delivery {
  readonly room: string;
  readonly sha256: string;
  readonly filename: string;
  readonly contentType: string;
  readonly file: Blob;
}

export interface DeliveryTools {
  readonly api: Pick<AssetApi, "begin" | "put" | "complete" | "findParts" | "signParts">;
  readonly send: typeof sendBytes;
}

export interface DeliveryEvents {
  /** The upload has this id from now on: what a cancel is to name. */
  began?(id: string): void;
  progress(sentBytes: number): void;
  sent(): void;
}

/** The checked asset. Throws ApiError, or AbortError when the signal says so. */
export async function deliver(what: Delivery, tools: DeliveryTools, on: DeliveryEvents, signal: AbortSignal): Promise<Asset> {
  const { room, sha256, filename, contentType, file } = what;
  if (file.size < SMALL_BYTES) {
    on.progress(0);
    const asset = await tools.api.put(room, sha256, file.slice(0, file.size, contentType), filename, signal);
    on.sent();
    return asset;
  }
  for (let left = FRESH_STARTS; ; left -= 1) {
    const began = await tools.api.begin(room, { filename, content_type: contentType, size: file.size, sha256 }, signal);
    if (began.asset) return began.asset;
    if (!began.upload) throw new ApiError("The server did not say where to send the file.", { kind: "problem", status: 500 });
    on.began?.(began.upload.id);
    try {
      await sendAll(what, began.upload, tools, on, signal);
    } catch (error) {
      if (left > 0 && isStale(error)) continue;
      throw error;
    }
    on.sent();
    return tools.api.complete(room, began.upload.id, signal);
  }
}

async function sendAll(what: Delivery, upload: Upload, tools: DeliveryTools, on: DeliveryEvents, signal: AbortSignal): Promise<void> {
  if (upload.parts) return sendParts(what, upload.id, tools, on, signal);
  // Everything arrived before, and only the answer was lost.
  if (!upload.request) return;
  try {
    await tools.send(upload.request, what.file, { signal, onProgress: on.progress });
  } catch (error) {
    // Nothing is overwritten: it arrived before, and only the answer was lost.
    if (!(error instanceof ApiError && [409, 412].includes(error.status))) throw error;
  }
}

async function sendParts(what: Delivery, id: string, tools: DeliveryTools, on: DeliveryEvents, signal: AbortSignal): Promise<void> {
  const { room, file } = what;
  const { part_bytes: partBytes, count, stored } = await tools.api.findParts(room, id, signal);
  const there = new Set(stored.map(({ number }) => number));
  const missing = missingParts(count, there);
  const sent = new Map<number, number>();
  let done = stored.reduce((sum, part) => sum + part.size_bytes, 0);
  const report = () => on.progress(done + [...sent.values()].reduce((sum, bytes) => sum + bytes, 0));
  report();
  const ready: SignedPart[] = [];
  let signing: Promise<void> | null = null;
  const next = async (): Promise<SignedPart | undefined> => {
    while (ready.length === 0 && missing.length > 0) {
      signing ??= tools.api
        .signParts(room, id, missing.splice(0, PARTS_SIGNED), signal)
        .then((parts) => void ready.push(...parts))
        .finally(() => (signing = null));
      await signing;
    }
    return ready.shift();
  };
  const worker = async (stop: AbortSignal): Promise<void> => {
    for (let part = await next(); part; part = await next()) {
      const { number, size_bytes: bytes, request } = part;
      const start = (number - 1) * partBytes;
      await tools.send(request, file.slice(start, start + bytes), {
        signal: stop,
        onProgress: (loaded) => {
          sent.set(number, loaded);
          report();
        },
      });
      sent.delete(number);
      done += bytes;
      report();
    }
  };
  // One that fails stops the others: their work is kept as parts, and the next attempt begins at once.
  const group = new AbortController();
  const stop = AbortSignal.any([signal, group.signal]);
  try {
    await Promise.all(Array.from({ length: PARTS_AT_ONCE }, () => worker(stop)));
  } catch (error) {
    group.abort();
    throw error;
  }
}

/** Numbers from 1, as S3 counts. */
export function missingParts(count: number, stored: ReadonlySet<number>): number[] {
  return Array.from({ length: count }, (_, at) => at + 1).filter((number) => !stored.has(number));
}

/** A signed address that ran out (storage says 403), or an upload the server has swept (404): a new one may do. */
function isStale(error: unknown): boolean {
  return error instanceof ApiError && error.kind === "problem" && [403, 404, 410].includes(error.status);
}

/** The server's no, which another try does not change. 401: a session that ended, which a sign-in mends. */
export function isFinal(error: unknown): boolean {
  if (!(error instanceof ApiError)) return true;
  return !error.unreachable && ![401, 408, 425, 429, 500].includes(error.status);
}

const FIRST_WAIT_MS = 1_000;
const LAST_WAIT_MS = 60_000;

/** Before try number `tries` + 1: doubled each time, and a quarter more or less, so that not all come back at once. */
export function waitMs(tries: number, random: number = Math.random(), error?: unknown): number {
  const wait = Math.min(LAST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.max(0, tries - 1)) * (0.75 + random / 2);
  // Sooner than the server says is in vain; the other files that wait do not come in the same instant either.
  const least = error instanceof ApiError && error.retryAfterS ? error.retryAfterS * 1_000 * (1 + random / 4) : 0;
  return Math.max(wait, least);
}
