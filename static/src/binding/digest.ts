/** Bytes of data URLs and their SHA-256. Source: RFC 2397. */
import { digest } from "lib0/hash/sha256";

/** The bytes of a data URL. Throws on anything else. (`fetch` would do it, but the page's CSP forbids it.) */
export function decodeDataUrl(url: string): Uint8Array<ArrayBuffer> {
  const comma = url.indexOf(",");
  if (!url.startsWith("data:") || comma < 0) throw new TypeError("not a data URL");
  const body = url.slice(comma + 1);
  if (!/;base64$/i.test(url.slice(0, comma))) return new TextEncoder().encode(decodeURIComponent(body));
  const binary = atob(body);
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < binary.length; at++) bytes[at] = binary.charCodeAt(at);
  return bytes;
}

/** A data URL of these bytes. */
export function encodeDataUrl(bytes: Uint8Array, type: string): string {
  let binary = "";
  for (let at = 0; at < bytes.length; at += 0x8000) binary += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return `data:${type};base64,${btoa(binary)}`;
}

/** The media type of a data URL, without parameters. */
export function mimeOf(url: string): string {
  return /^data:([^;,]+)/.exec(url)?.[1] ?? "application/octet-stream";
}

/** Lower-case hex SHA-256. Browsers have `crypto.subtle` only on https and localhost. */
export async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const subtle = globalThis.crypto?.subtle as SubtleCrypto | undefined;
  const hash = subtle ? new Uint8Array(await subtle.digest("SHA-256", bytes)) : digest(bytes);
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
