/** Which form of a picture the canvas needs: a thumbnail, the web size, or all of it. Pure. Pixels are of the screen. */

export type Shown = "thumb" | "web" | "full";

/** Longest side of the forms the server makes (the API contract). */
export const THUMB_PX = 256;
export const WEB_PX = 2048;
/** A form is good until it is stretched by more than this; below, the eye sees no difference. */
const STRETCH = 1.15;

const RANK: Readonly<Record<Shown, number>> = { thumb: 0, web: 1, full: 2 };

export function isMore(one: Shown, other: Shown): boolean {
  return RANK[one] > RANK[other];
}

/**
 * The smallest form that looks right.
 *
 * `longestPx`: the longer side as it is on the screen, device pixels counted. A cropped picture is drawn by the pixels
 * of the original (Excalidraw's `crop` counts in them), so it needs the original.
 */
export function neededForm(longestPx: number, cropped: boolean): Shown {
  if (cropped) return "full";
  if (longestPx <= THUMB_PX * STRETCH) return "thumb";
  return longestPx <= WEB_PX * STRETCH ? "web" : "full";
}

/** No thumbnail weighs so much: what came in its place is the picture itself, which has no smaller form (yet). */
export const THUMB_MOST_BYTES = 160 * 1024;

/** What came when a form was asked for. */
export function formOf(asked: Shown, bytes: number): Shown {
  return asked === "thumb" && bytes > THUMB_MOST_BYTES ? "full" : asked;
}

export interface Seen {
  readonly id: string;
  readonly shown: Shown;
  readonly needed: Shown;
  readonly inSight: boolean;
  /** When it was last in sight; any clock. */
  readonly seenAt: number;
}

/**
 * Of the pictures shown larger than needed those to make small again: out of sight first, the longest unseen first,
 * until no more than `keep` larger ones are left. In sight nothing shrinks as long as that suffices.
 */
export function toShrink(pictures: readonly Seen[], keep: number): string[] {
  const large = pictures.filter((picture) => isMore(picture.shown, "thumb"));
  const spare = large
    .filter((picture) => isMore(picture.shown, picture.needed) || !picture.inSight)
    .sort((a, b) => Number(a.inSight) - Number(b.inSight) || a.seenAt - b.seenAt);
  return spare.slice(0, Math.max(0, large.length - keep)).map((picture) => picture.id);
}
