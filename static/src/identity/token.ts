/**
 * When a token is renewed.
 *
 * Lives are computed from the server's own times (expires_at, and the token's `iat`), and counted from when we got
 * it here: a wrong clock on this computer then does no harm.
 */

/** A token is renewed when this part of its life is over. */
export const RENEW_AT = 0.8;
/** setTimeout takes no more than 2^31 ms; longer waits are cut into pieces. */
export const LONGEST_WAIT_MS = 2 ** 31 - 1;

/** The claims of a JWT without checking its signature (that is the server's), or null when it is none. */
export function readClaims(token: string): Record<string, unknown> | null {
  const payload = token.split(".")[1];
  if (!payload) return null;
  try {
    const base64 = payload.replace(/-/g, "+").replace(/_/g, "/");
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    const claims: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return claims !== null && typeof claims === "object" ? (claims as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

/** The token's whole life in ms; `fallbackMs` when it does not say. */
export function lifeOf(token: string, expiresAt: string, receivedAt: number, fallbackMs = 3_600_000): number {
  const claims = readClaims(token);
  const issued = claims?.["iat"];
  const expires = claims?.["exp"];
  if (typeof issued === "number" && typeof expires === "number" && expires > issued) return (expires - issued) * 1000;
  const life = Date.parse(expiresAt) - receivedAt;
  return Number.isFinite(life) && life > 0 ? life : fallbackMs;
}

/** Whether no renewal will be valid for longer: the provider's sign-in ends then, too. */
export function isFinal(token: string): boolean {
  const claims = readClaims(token);
  const until = claims?.["until"];
  const expires = claims?.["exp"];
  return typeof until === "number" && typeof expires === "number" && expires >= until;
}

export function isGuest(token: string): boolean {
  return readClaims(token)?.["guest"] === true;
}

export function isOperator(token: string): boolean {
  return readClaims(token)?.["admin"] === true;
}

/** How long to wait before renewing, in ms; 0 means now. */
export function renewDelay(now: number, receivedAt: number, lifeMs: number): number {
  const due = receivedAt + lifeMs * RENEW_AT;
  return Math.min(Math.max(0, due - now), LONGEST_WAIT_MS);
}
