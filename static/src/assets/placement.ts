/** How large new pictures are on the canvas, and where several of them go. Pure; all lengths in scene units. */

export interface Size {
  readonly width: number;
  readonly height: number;
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

export type Box = Point & Size;

/** What is in sight, in scene units. */
export interface View extends Size {
  readonly zoom: number;
}

/** Of the view: what one picture takes at most. */
const MOST_WIDE = 0.6;
const MOST_HIGH = 0.5;
const LEAST = 16;
const GAP_PX = 24;

/** A file whose size is known only to the server. */
export const UNKNOWN_PICTURE: Size = { width: 800, height: 600 };
export const VIDEO_BOX: Size = { width: 560, height: 315 };
export const CARD_BOX: Size = { width: 320, height: 96 };

/** Its natural size where that fits, else the largest that does. */
export function fit(natural: Size, view: View): Size {
  const scale = Math.min(1, (view.width * MOST_WIDE) / natural.width, (view.height * MOST_HIGH) / natural.height);
  // A line of one pixel can still be taken hold of.
  return { width: Math.max(LEAST, natural.width * scale), height: Math.max(LEAST, natural.height * scale) };
}

/**
 * Boxes side by side in rows around a point, nothing overlapping, in the order given.
 *
 * Rows are about as wide as all of them are high, so that twenty photos make a sheet and not a ribbon; each row is
 * centred, and so is the whole.
 */
export function arrange(sizes: readonly Size[], at: Point, view: View): Box[] {
  if (sizes.length === 0) return [];
  const gap = GAP_PX / view.zoom;
  const area = sizes.reduce((sum, size) => sum + (size.width + gap) * (size.height + gap), 0);
  const widest = Math.max(...sizes.map((size) => size.width));
  const single = sizes.reduce((sum, size) => sum + size.width + gap, -gap);
  const most = single <= view.width * 0.9 ? single : Math.max(widest, Math.sqrt(area) * 1.15);
  const rows: Size[][] = [[]];
  let used = 0;
  for (const size of sizes) {
    const row = rows[rows.length - 1]!;
    if (row.length > 0 && used + gap + size.width > most + 0.01) {
      rows.push([size]);
      used = size.width;
    } else {
      used += (row.length > 0 ? gap : 0) + size.width;
      row.push(size);
    }
  }
  const heights = rows.map((row) => Math.max(...row.map((size) => size.height)));
  let y = at.y - (heights.reduce((sum, height) => sum + height + gap, -gap)) / 2;
  const boxes: Box[] = [];
  rows.forEach((row, number) => {
    const width = row.reduce((sum, size) => sum + size.width + gap, -gap);
    let x = at.x - width / 2;
    for (const size of row) {
      boxes.push({ x, y: y + (heights[number]! - size.height) / 2, width: size.width, height: size.height });
      x += size.width + gap;
    }
    y += heights[number]! + gap;
  });
  return boxes;
}

/** The same middle with another shape: when the server knows a size the browser did not. */
export function reshape(box: Box, natural: Size): Box {
  const scale = Math.sqrt((box.width * box.height) / (natural.width * natural.height));
  const width = natural.width * scale;
  const height = natural.height * scale;
  return { x: box.x + (box.width - width) / 2, y: box.y + (box.height - height) / 2, width, height };
}

/** In a box of the element's own: where a rotated one is on the screen doesn't matter for a label below it. */
export function contains(box: Box, point: Point): boolean {
  return point.x >= box.x && point.x <= box.x + box.width && point.y >= box.y && point.y <= box.y + box.height;
}
