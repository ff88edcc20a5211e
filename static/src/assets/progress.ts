/**
 * One upload as a state machine: what may follow what, and what is said about it. Pure.
 *
 * `queued` (others first) -> `sending` -> `checking` (all bytes are there, the server looks at them) -> `done`;
 * `waiting` (tried again by itself) and `failed` (the server's no, in its words) lie beside; `cancelled` is for good.
 */
import { sizeWords } from "./kinds";

export type Phase = "queued" | "sending" | "checking" | "waiting" | "done" | "failed" | "cancelled";

export interface UploadState {
  readonly phase: Phase;
  readonly totalBytes: number;
  readonly sentBytes: number;
  /** For `failed` and `waiting`: why, for a person. */
  readonly words: string;
}

export type UploadEvent =
  | { readonly type: "started" }
  | { readonly type: "progress"; readonly sentBytes: number }
  | { readonly type: "sent" }
  | { readonly type: "stored" }
  | { readonly type: "lost"; readonly words: string }
  | { readonly type: "due" }
  | { readonly type: "refused"; readonly words: string }
  | { readonly type: "cancelled" }
  | { readonly type: "again" };

export function queued(totalBytes: number): UploadState {
  return { phase: "queued", totalBytes, sentBytes: 0, words: "" };
}

const UNDER_WAY: ReadonlySet<Phase> = new Set(["queued", "sending", "checking", "waiting"]);

/** Whether something is still to come of it by itself. */
export function isUnderWay({ phase }: UploadState): boolean {
  return UNDER_WAY.has(phase);
}

/** Events that come too late (an answer after a cancel) change nothing. */
export function step(state: UploadState, event: UploadEvent): UploadState {
  if (event.type === "again") {
    return state.phase === "failed" || state.phase === "cancelled" ? queued(state.totalBytes) : state;
  }
  if (!isUnderWay(state)) return state;
  switch (event.type) {
    case "started":
      return { ...state, phase: "sending", words: "" };
    case "progress": {
      if (state.phase !== "sending") return state;
      const sentBytes = Math.min(state.totalBytes, Math.max(0, event.sentBytes));
      return sentBytes === state.sentBytes ? state : { ...state, sentBytes };
    }
    case "sent":
      return state.phase === "sending" ? { ...state, phase: "checking", sentBytes: state.totalBytes } : state;
    case "stored":
      return { ...state, phase: "done", sentBytes: state.totalBytes, words: "" };
    case "lost":
      return { ...state, phase: "waiting", words: event.words };
    case "due":
      return state.phase === "waiting" ? { ...state, phase: "queued", words: "" } : state;
    case "refused":
      return { ...state, phase: "failed", words: event.words };
    case "cancelled":
      return { ...state, phase: "cancelled", words: "" };
  }
}

/** 0 to 1. The checking is a little less than done. */
export function share({ phase, sentBytes, totalBytes }: UploadState): number {
  if (phase === "done") return 1;
  if (phase === "checking") return 0.99;
  return totalBytes === 0 ? 0 : Math.min(0.98, sentBytes / totalBytes);
}

export function phaseWords(state: UploadState): string {
  switch (state.phase) {
    case "queued":
      return `${sizeWords(state.totalBytes)}, waits its turn`;
    case "sending":
      return `${sizeWords(state.sentBytes)} of ${sizeWords(state.totalBytes)}`;
    case "checking":
      return "Being checked…";
    case "waiting":
    case "failed":
      return state.words;
    case "done":
      return sizeWords(state.totalBytes);
    case "cancelled":
      return "Cancelled";
  }
}

/** All that is under way in one sentence and one number. */
export function summary(states: readonly UploadState[]): { readonly words: string; readonly share: number } {
  const open = states.filter(isUnderWay);
  const failed = states.filter(({ phase }) => phase === "failed").length;
  if (open.length === 0) {
    if (failed > 0) return { words: failed === 1 ? "One file was not uploaded" : `${failed} files were not uploaded`, share: 1 };
    return { words: states.length === 1 ? "Uploaded" : `${states.length} files uploaded`, share: 1 };
  }
  const counted = states.filter((state) => isUnderWay(state) || state.phase === "done");
  const total = counted.reduce((sum, state) => sum + state.totalBytes, 0);
  const sent = counted.reduce((sum, state) => sum + share(state) * state.totalBytes, 0);
  const words = open.every(({ phase }) => phase === "waiting")
    ? open.length === 1 ? "One file waits for the server" : `${open.length} files wait for the server`
    : open.length === 1 ? "Uploading one file" : `Uploading ${open.length} files`;
  return { words, share: total === 0 ? 0 : sent / total };
}
