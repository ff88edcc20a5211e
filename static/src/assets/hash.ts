/**
 * The SHA-256 of a file of any size: piece by piece where it would not fit into memory at once.
 *
 * Browsers hash only whole buffers; that is fast, so it is used as long as the buffer is bearable. Source: FIPS 180-4.
 */
import { sha256 as ofBytes, toHex } from "../room/bytes";

/** Above this a file is hashed in pieces, at some 100 MB a second instead of a thousand. */
const WHOLE_BYTES = 256 * 1024 * 1024;
const PIECE_BYTES = 4 * 1024 * 1024;

/** Lower-case hex. Rejects with AbortError when the signal says so, and when the file can't be read any more. */
export async function hashFile(file: Blob, signal?: AbortSignal, wholeBytes = WHOLE_BYTES): Promise<string> {
  if (file.size <= wholeBytes) {
    const bytes = new Uint8Array(await file.arrayBuffer());
    signal?.throwIfAborted();
    return ofBytes(bytes);
  }
  const hash = new Sha256();
  for (let at = 0; at < file.size; at += PIECE_BYTES) {
    hash.update(new Uint8Array(await file.slice(at, at + PIECE_BYTES).arrayBuffer()));
    signal?.throwIfAborted();
  }
  return hash.digest();
}

const primes = (count: number): number[] => {
  const found: number[] = [];
  for (let n = 2; found.length < count; n += 1) if (found.every((prime) => n % prime !== 0)) found.push(n);
  return found;
};
/** The first 32 bits of the fraction of a root. */
const fraction = (root: number): number => Math.floor((root - Math.floor(root)) * 2 ** 32) | 0;
const K = new Int32Array(primes(64).map((prime) => fraction(Math.cbrt(prime))));
const START = primes(8).map((prime) => fraction(Math.sqrt(prime)));

export class Sha256 {
  readonly #state = new Int32Array(START);
  readonly #words = new Int32Array(64);
  readonly #rest = new Uint8Array(64);
  #restBytes = 0;
  #totalBytes = 0;

  update(bytes: Uint8Array): void {
    this.#totalBytes += bytes.length;
    let at = 0;
    if (this.#restBytes > 0) {
      at = Math.min(64 - this.#restBytes, bytes.length);
      this.#rest.set(bytes.subarray(0, at), this.#restBytes);
      this.#restBytes += at;
      if (this.#restBytes < 64) return;
      this.#block(this.#rest, 0);
      this.#restBytes = 0;
    }
    for (; at + 64 <= bytes.length; at += 64) this.#block(bytes, at);
    this.#rest.set(bytes.subarray(at));
    this.#restBytes = bytes.length - at;
  }

  digest(): string {
    const end = new Uint8Array(this.#restBytes < 56 ? 64 : 128);
    end.set(this.#rest.subarray(0, this.#restBytes));
    end[this.#restBytes] = 0x80;
    const view = new DataView(end.buffer);
    view.setUint32(end.length - 8, Math.floor(this.#totalBytes / 2 ** 29));
    view.setUint32(end.length - 4, (this.#totalBytes * 8) >>> 0);
    for (let at = 0; at < end.length; at += 64) this.#block(end, at);
    const out = new DataView(new ArrayBuffer(32));
    this.#state.forEach((word, number) => out.setInt32(number * 4, word));
    return toHex(new Uint8Array(out.buffer));
  }

  #block(bytes: Uint8Array, at: number): void {
    const w = this.#words;
    for (let t = 0; t < 16; t += 1) {
      const from = at + t * 4;
      w[t] = (bytes[from]! << 24) | (bytes[from + 1]! << 16) | (bytes[from + 2]! << 8) | bytes[from + 3]!;
    }
    for (let t = 16; t < 64; t += 1) {
      const x = w[t - 15]!;
      const y = w[t - 2]!;
      const low = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
      const high = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
      w[t] = (w[t - 16]! + low + w[t - 7]! + high) | 0;
    }
    const s = this.#state;
    let [a, b, c, d, e, f, g, h] = s as unknown as [number, number, number, number, number, number, number, number];
    for (let t = 0; t < 64; t += 1) {
      const high = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
      const one = (h + high + ((e & f) ^ (~e & g)) + K[t]! + w[t]!) | 0;
      const low = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
      const two = (low + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g;
      g = f;
      f = e;
      e = (d + one) | 0;
      d = c;
      c = b;
      b = a;
      a = (one + two) | 0;
    }
    [a, b, c, d, e, f, g, h].forEach((word, number) => (s[number] = (s[number]! + word) | 0));
  }
}
