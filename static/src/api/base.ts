/**
 * Reading a room's base from an answer: piece by piece, with progress, ended by a stall and never by its size.
 *
 * Owns: what makes the answer a whole base. Does not own: the request (client.ts), what becomes of the bytes.
 */
import { ApiError } from "./errors";

/** Bytes of the update as it will be, not as it travels: a browser hands out only what is uncompressed. */
export interface Progress {
  readonly receivedBytes: number;
  readonly totalBytes: number;
}

export interface Reading {
  /** Without a byte for this long the reading ends. */
  readonly stallMs: number;
  readonly signal: AbortSignal;
  onProgress(progress: Progress): void;
}

export interface Base {
  readonly epoch: number;
  readonly update: Uint8Array;
}

const SIZE = "Kanvas-Document-Bytes";
const TYPE = "application/octet-stream";

function refuse(message: string, status: number): ApiError {
  return new ApiError(message, { kind: "problem", status });
}

/** The base; throws ApiError when the answer is none (a proxy's page, cut off, stalled) or the signal says so. */
export async function readBase(answer: Response, { stallMs, signal, onProgress }: Reading): Promise<Base> {
  const epoch = /^(?:W\/)?"(\d+)-\d+"$/.exec(answer.headers.get("ETag") ?? "")?.[1];
  const totalBytes = Number(answer.headers.get(SIZE) ?? "0");
  const whole = epoch !== undefined && totalBytes > 0 && (answer.headers.get("Content-Type") ?? "").startsWith(TYPE);
  if (!whole || !answer.body) {
    void answer.body?.cancel();
    throw refuse("The room's state came in another form.", answer.status);
  }
  const update = new Uint8Array(totalBytes);
  const reader = answer.body.getReader();
  let receivedBytes = 0;
  try {
    for (;;) {
      const { done, value } = await within(stallMs, signal, reader.read());
      if (done) break;
      if (receivedBytes + value.length > totalBytes) throw refuse("The room's state is longer than announced.", answer.status);
      update.set(value, receivedBytes);
      receivedBytes += value.length;
      onProgress({ receivedBytes, totalBytes });
    }
  } catch (error) {
    reader.cancel().catch(() => undefined);
    if (error instanceof ApiError) throw error;
    throw new ApiError("The connection broke.", { kind: "offline", cause: error });
  }
  if (receivedBytes !== totalBytes) throw refuse("The room's state was cut off.", answer.status);
  return { epoch: Number(epoch), update };
}

/** The work's result, unless nothing comes for too long or the signal says stop. */
function within<T>(ms: number, signal: AbortSignal, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
    };
    const stop = () => {
      end();
      reject(new ApiError("The reading was stopped.", { kind: "offline" }));
    };
    const timer = setTimeout(() => {
      end();
      reject(new ApiError("The server stopped sending.", { kind: "timeout" }));
    }, ms);
    if (signal.aborted) return stop();
    signal.addEventListener("abort", stop);
    work.finally(end).then(resolve, reject);
  });
}
