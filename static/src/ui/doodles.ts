/**
 * Little drawings that stand for a room until it has a picture of its own.
 *
 * Pure: the same seed gives the same drawing on every screen. Units are those of a 240 by 96 view box.
 */

export interface Stroke {
  readonly d: string;
  readonly ink: number;
  readonly filled: boolean;
}

/** Numbers in [0, 1) from a seed (FNV-1a into mulberry32). */
export function randomFrom(seed: string): () => number {
  let state = 2166136261;
  for (let at = 0; at < seed.length; at += 1) state = Math.imul(state ^ seed.charCodeAt(at), 16777619) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

type Random = () => number;
type Shape = (x: number, y: number, size: number, random: Random) => { d: string; filled: boolean };

const at = (value: number) => value.toFixed(1);

/** A closed line through points, bent a little as a hand bends it. */
function wobbly(points: readonly (readonly [number, number])[], random: Random, bend: number): string {
  const moved = points.map(([x, y]) => [x + (random() - 0.5) * bend, y + (random() - 0.5) * bend] as const);
  const [first, ...rest] = moved;
  if (!first) return "";
  let d = `M${at(first[0])} ${at(first[1])}`;
  let before = first;
  for (const point of [...rest, first]) {
    const mx = (before[0] + point[0]) / 2 + (random() - 0.5) * bend;
    const my = (before[1] + point[1]) / 2 + (random() - 0.5) * bend;
    d += `Q${at(mx)} ${at(my)} ${at(point[0])} ${at(point[1])}`;
    before = point;
  }
  return `${d}Z`;
}

/** A closed, round line: the points are the pull of the curve, its joints lie between them. */
function round(points: readonly (readonly [number, number])[], random: Random, bend: number): string {
  const moved = points.map(([x, y]) => [x + (random() - 0.5) * bend, y + (random() - 0.5) * bend] as const);
  const joint = (index: number) => {
    const [ax, ay] = moved[index % moved.length] ?? [0, 0];
    const [bx, by] = moved[(index + 1) % moved.length] ?? [0, 0];
    return `${at((ax + bx) / 2)} ${at((ay + by) / 2)}`;
  };
  let d = `M${joint(0)}`;
  for (let index = 1; index <= moved.length; index += 1) {
    const [x, y] = moved[index % moved.length] ?? [0, 0];
    d += `Q${at(x)} ${at(y)} ${joint(index)}`;
  }
  return `${d}Z`;
}

const SHAPES: readonly Shape[] = [
  (x, y, size, random) => ({
    d: wobbly([[x, y], [x + size * 1.5, y], [x + size * 1.5, y + size], [x, y + size]], random, 4),
    filled: true,
  }),
  (x, y, size, random) => {
    const points = Array.from({ length: 9 }, (_, step): [number, number] => {
      const angle = (step / 9) * Math.PI * 2;
      return [x + size * 0.6 + Math.cos(angle) * size * 0.6, y + size * 0.5 + Math.sin(angle) * size * 0.5];
    });
    return { d: round(points, random, 2.4), filled: true };
  },
  (x, y, size, random) => ({
    d: wobbly([[x + size * 0.6, y], [x + size * 1.2, y + size], [x, y + size]], random, 4),
    filled: true,
  }),
  (x, y, size, random) => {
    const height = size * (0.3 + random() * 0.4);
    let d = `M${at(x)} ${at(y + size / 2)}`;
    for (let step = 0; step < 4; step += 1) d += `q${at(size / 5)} ${at(step % 2 ? height : -height)} ${at(size / 2.5)} 0`;
    return { d, filled: false };
  },
  (x, y, size, random) => {
    const tipX = x + size * 1.5;
    const tipY = y + size * (0.2 + random() * 0.6);
    return {
      d:
        `M${at(x)} ${at(y + size / 2)}Q${at(x + size * 0.7)} ${at(y + (random() - 0.3) * size)} ${at(tipX)} ${at(tipY)}` +
        `m${at(-size * 0.34)} ${at(-size * 0.24)}L${at(tipX)} ${at(tipY)}l${at(-size * 0.4)} ${at(size * 0.16)}`,
      filled: false,
    };
  },
  (x, y, size) => ({
    d: `M${at(x)} ${at(y + size * 0.25)}h${at(size * 1.3)}M${at(x)} ${at(y + size * 0.55)}h${at(size)}M${at(x)} ${at(y + size * 0.85)}h${at(size * 0.7)}`,
    filled: false,
  }),
];

export const INK_COUNT = 5;

/** Four shapes side by side, no two alike next to each other. */
export function doodle(seed: string): readonly Stroke[] {
  const random = randomFrom(seed);
  const strokes: Stroke[] = [];
  let last = -1;
  for (let slot = 0; slot < 4; slot += 1) {
    let kind = Math.floor(random() * SHAPES.length);
    if (kind === last) kind = (kind + 1) % SHAPES.length;
    last = kind;
    const size = 22 + random() * 12;
    const x = 10 + slot * 58 + random() * 4;
    const y = 16 + random() * (62 - size);
    const shape = SHAPES[kind]?.(x, y, size, random);
    if (shape) strokes.push({ ...shape, ink: Math.floor(random() * INK_COUNT) });
  }
  return strokes;
}
