/**
 * Coming back from the identity provider: what the server says in the address's fragment, and the words for it. Pure.
 *
 * Owns: reading the fragment. Rule: only these words are ever shown, never what an address says.
 */

export type Landing = { readonly kind: "signed-in" } | { readonly kind: "failed"; readonly words: string };

const WORDS: Readonly<Record<string, string>> = {
  provider_down: "The sign-in service can't be reached. Try again in a moment.",
  denied: "You were not signed in. Press the button to try again.",
  expired: "That took too long, or was begun in another browser. Press the button to begin anew.",
  busy: "Too many people sign in just now, or a part of the server is away. Try again in a minute.",
  refused: "The sign-in service's answer was not valid. If it happens again, tell the owner of this server.",
};
const SIGNED_IN = "#signed-in";
const FAILED = "#sign-in-failed=";

/** What the fragment says; null for any other. */
export function readLanding(hash: string): Landing | null {
  if (hash === SIGNED_IN) return { kind: "signed-in" };
  if (!hash.startsWith(FAILED)) return null;
  const code = hash.slice(FAILED.length);
  return { kind: "failed", words: (Object.hasOwn(WORDS, code) ? WORDS[code] : undefined) ?? "You were not signed in. Try again." };
}

/** Where the provider's button leads: back to this page afterwards. */
export function signInAddress(href: string, path: string): string {
  return `${href}?${new URLSearchParams({ next: path })}`;
}
