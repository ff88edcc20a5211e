/**
 * The SHA-256 of a file of any size: piece by piece where it would not fit into memory at once.
 *
 * Browsers hash only whole buffers; that is fast, so it is used as long as the buffer is bearable.
 */
import { sha256 } from "@noble/hashes/sha2.js";
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
  const hash = sha256.create();
  for (let at = 0; at < file.size; at += PIECE_BYTES) {
    hash.update(new Uint8Array(await file.slice(at, at + PIECE_BYTES).arrayBuffer()));
    signal?.throwIfAborted();
  }
  return toHex(hash.digest());
}
