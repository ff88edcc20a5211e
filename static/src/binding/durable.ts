/**
 * What of the local document the server has said is durable, and what still waits for its echo.
 *
 * Structs are counted by (client, clock); deletions, which no clock counts, by the ranges they struck. Pure: no
 * provider, no Y.Doc. Needs what the server promises: its state vectors and updates describe committed state only.
 * Source: CLIENT.md "Saved".
 */

/** Clocks by client id. */
export type Clocks = ReadonlyMap<number, number>;

/** A run of struck structs: [clock, clock + length). */
export interface Range {
  readonly clock: number;
  readonly length: number;
}

/** Struck ranges by client id. */
export type Ranges = ReadonlyMap<number, readonly Range[]>;

/** The structs an update brings: per client from the first clock (inclusive) to the last (exclusive). */
export interface Extent {
  readonly from: Clocks;
  readonly to: Clocks;
}

/** One local transaction without its echo. */
interface Waiting {
  /** Per client, the clock that must become durable. */
  clocks: Map<number, number>;
  /** Deletions that aren't confirmed yet. */
  deletes: Map<number, Range[]>;
  /** Brought back from the browser's own copy: may be durable long since. */
  restored: boolean;
}

export class Durable {
  readonly #durable = new Map<number, number>();
  readonly #local = new Map<number, number>();
  /** What the last message raised of the durable clocks, as they were before it. */
  readonly #before = new Map<number, number>();
  #waiting: Waiting[] = [];

  /** A change of the local document that didn't come from the server. */
  change(clocks: Clocks, deletes: Ranges, restored = false): void {
    const waiting: Waiting = { clocks: new Map(), deletes: new Map(), restored };
    for (const [client, clock] of clocks) {
      this.#raise(this.#local, client, clock);
      if (clock > (this.#durable.get(client) ?? 0)) waiting.clocks.set(client, clock);
    }
    for (const [client, ranges] of deletes) {
      const open = ranges.filter((range) => range.length > 0);
      if (open.length > 0) waiting.deletes.set(client, [...open]);
    }
    if (waiting.clocks.size > 0 || waiting.deletes.size > 0) this.#waiting.push(waiting);
  }

  /** The server's state vector. */
  confirmState(clocks: Clocks): void {
    this.#before.clear();
    for (const [client, clock] of clocks) this.#confirm(client, clock);
    this.#settle(new Map());
  }

  /**
   * An update from the server: a sync step 2 or a broadcast.
   *
   * An extent that starts beyond what is durable proves nothing about the clocks below it, so it doesn't count.
   */
  confirmUpdate(extent: Extent, deletes: Ranges): void {
    this.#before.clear();
    for (const [client, to] of extent.to) {
      const from = extent.from.get(client) ?? 0;
      if (from <= (this.#durable.get(client) ?? 0)) this.#confirm(client, to);
      // The server's structs are part of the local document from now on.
      this.#raise(this.#local, client, to);
    }
    this.#settle(deletes);
  }

  /** True when the server had this struct before the last message, by what it had said until then. */
  wasDurable(client: number, clock: number): boolean {
    return clock < (this.#before.get(client) ?? this.#durable.get(client) ?? 0);
  }

  /** True when the server has everything the local document has. */
  get isSaved(): boolean {
    if (this.#waiting.length > 0) return false;
    for (const [client, clock] of this.#local) if (clock > (this.#durable.get(client) ?? 0)) return false;
    return true;
  }

  /** Local transactions of this page without an echo. */
  get waiting(): number {
    return this.#waiting.filter((waiting) => !waiting.restored).length;
  }

  /** True while something brought back from the browser's copy isn't confirmed. */
  get isUnconfirmed(): boolean {
    return this.#waiting.some((waiting) => waiting.restored);
  }

  /** True when the deletions of an update are of interest; reading them costs a full decode. */
  get hasOpenDeletes(): boolean {
    return this.#waiting.some((waiting) => waiting.deletes.size > 0);
  }

  #confirm(client: number, clock: number): void {
    const before = this.#durable.get(client) ?? 0;
    if (clock <= before) return;
    if (!this.#before.has(client)) this.#before.set(client, before);
    this.#durable.set(client, clock);
  }

  #raise(clocks: Map<number, number>, client: number, clock: number): void {
    if (clock > (clocks.get(client) ?? 0)) clocks.set(client, clock);
  }

  #settle(deletes: Ranges): void {
    this.#waiting = this.#waiting.filter((waiting) => {
      for (const [client, clock] of waiting.clocks) {
        if (clock <= (this.#durable.get(client) ?? 0)) waiting.clocks.delete(client);
      }
      for (const [client, open] of waiting.deletes) {
        const left = subtract(open, deletes.get(client) ?? []);
        if (left.length > 0) waiting.deletes.set(client, left);
        else waiting.deletes.delete(client);
      }
      return waiting.clocks.size > 0 || waiting.deletes.size > 0;
    });
  }
}

/** The parts of `ranges` that `covered` does not cover. Neither needs to be sorted. */
export function subtract(ranges: readonly Range[], covered: readonly Range[]): Range[] {
  if (covered.length === 0) return [...ranges];
  const sorted = [...covered].sort((a, b) => a.clock - b.clock);
  const left: Range[] = [];
  for (const range of ranges) {
    let clock = range.clock;
    const end = range.clock + range.length;
    for (let at = firstReaching(sorted, clock); at < sorted.length; at++) {
      const cover = sorted[at]!;
      if (cover.clock >= end) break;
      if (cover.clock > clock) left.push({ clock, length: cover.clock - clock });
      clock = Math.max(clock, cover.clock + cover.length);
    }
    if (clock < end) left.push({ clock, length: end - clock });
  }
  return left;
}

/** The first place in a sorted, non-overlapping list whose range ends after `clock`. */
function firstReaching(sorted: readonly Range[], clock: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const range = sorted[middle]!;
    if (range.clock + range.length <= clock) low = middle + 1;
    else high = middle;
  }
  return low;
}
