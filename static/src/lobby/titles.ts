/** Titles of rooms: what is accepted here, before the server has its say. */

export const TITLE_MAX = 120;

export type TitleCheck = { readonly ok: true; readonly title: string } | { readonly ok: false; readonly reason: string };

/** Joins white space; an empty title is fine (the caller has a word for it). */
export function checkTitle(input: string): TitleCheck {
  const title = input.normalize("NFC").replace(/[\p{Cc}\u2028-\u202e\u2066-\u2069\ufeff]/gu, " ").replace(/\s+/gu, " ").trim();
  if ([...title].length > TITLE_MAX) return { ok: false, reason: `Keep the name to ${TITLE_MAX} characters.` };
  return { ok: true, title };
}
