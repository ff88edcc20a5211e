/** A drawing on its way from a refused room into a new one, within this page. */
import type { Scene } from "./scene";

export interface Handover {
  readonly scene: Scene;
  /** The room it comes from, whose copy goes once the drawing has arrived. */
  readonly from: string;
}

const waiting = new Map<string, Handover>();

export function handOver(room: string, drawing: Handover): void {
  waiting.set(room, drawing);
}

/** What waits for this room; stays until `finish`, since a page may open twice. */
export function takeOver(room: string): Handover | null {
  return waiting.get(room) ?? null;
}

export function finish(room: string): void {
  waiting.delete(room);
}
