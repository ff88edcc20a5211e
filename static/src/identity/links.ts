/** The addresses in a text, so that they can be pressed. Pure; only http and https, whatever the text says. */

export type Piece = { readonly kind: "text" | "link"; readonly text: string };

const ADDRESS = /https?:\/\/[^\s<>"'`]+/g;

export function piecesOf(text: string): Piece[] {
  const pieces: Piece[] = [];
  let at = 0;
  for (const found of text.matchAll(ADDRESS)) {
    if (found.index > at) pieces.push({ kind: "text", text: text.slice(at, found.index) });
    pieces.push({ kind: "link", text: found[0] });
    at = found.index + found[0].length;
  }
  if (at < text.length) pieces.push({ kind: "text", text: text.slice(at) });
  return pieces;
}
