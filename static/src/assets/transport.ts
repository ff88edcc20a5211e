/**
 * Bytes to a signed address, with progress: XMLHttpRequest, because fetch tells nothing of what is on its way up.
 *
 * Never sends a token: the address itself is the permission, and it may be another origin's.
 */
import { ApiError, problemOf } from "../api/errors";
import type { SignedRequest } from "../api/assets";

/** Without a byte on its way for so long the connection is taken for dead. */
const STALL_MS = 45_000;

/** What an `XMLHttpRequest` may not set itself. */
const OWN_HEADERS = new Set(["content-length", "host"]);

/** Resolves when the server has taken all of it; throws ApiError, or AbortError when the signal says so. */
export function sendBytes(
  request: SignedRequest,
  body: Blob,
  options: { signal: AbortSignal; onProgress?: (sentBytes: number) => void; stallMs?: number },
): Promise<void> {
  const { signal, onProgress, stallMs = STALL_MS } = options;
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason);
      return;
    }
    const xhr = new XMLHttpRequest();
    let stalled = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const alive = () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        stalled = true;
        xhr.abort();
      }, stallMs);
    };
    const stop = () => xhr.abort();
    const end = (work: () => void) => {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
      work();
    };
    xhr.upload.onprogress = (event) => {
      alive();
      onProgress?.(event.loaded);
    };
    xhr.onload = () =>
      end(() => {
        if (xhr.status >= 200 && xhr.status < 300) resolve();
        else reject(problemOf(xhr.status, xhr.responseText, xhr.getResponseHeader("Content-Type") ?? ""));
      });
    xhr.onerror = () => end(() => reject(new ApiError("The server can't be reached.", { kind: "offline" })));
    xhr.onabort = () =>
      end(() => reject(stalled ? new ApiError("The server did not answer in time.", { kind: "timeout" }) : signal.reason));
    signal.addEventListener("abort", stop);
    xhr.open(request.method, request.url);
    for (const [name, value] of Object.entries(request.headers)) {
      if (!OWN_HEADERS.has(name.toLowerCase())) xhr.setRequestHeader(name, value);
    }
    alive();
    // A Blob brings its own type where none is set, and a signature may be bound to the one in `headers`.
    xhr.send(request.headers["Content-Type"] ?? request.headers["content-type"] ? body : body.slice(0, body.size, ""));
  });
}
