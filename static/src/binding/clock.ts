/** Time as the binding sees it: passed in, so that decisions can be tested without waiting. */

/** Milliseconds, timers and frames. */
export interface Clock {
  /** Milliseconds from any fixed point; never goes back. */
  now(): number;
  /** Calls `work` once after `delayMs`; the answer cancels it. */
  after(delayMs: number, work: () => void): () => void;
  /** Calls `work` once before the next frame, or soon in a tab nobody sees; the answer cancels it. */
  frame(work: () => void): () => void;
}

/** A hidden tab gets no animation frames; its document must still follow the room. */
const HIDDEN_FRAME_MS = 50;

/** The browser's own time. */
export const browserClock: Clock = {
  now: () => performance.now(),
  after: (delayMs, work) => {
    const timer = setTimeout(work, delayMs);
    return () => clearTimeout(timer);
  },
  frame: (work) => {
    let done = false;
    const run = () => {
      if (done) return;
      done = true;
      cancelAnimationFrame(frame);
      clearTimeout(timer);
      work();
    };
    const frame = requestAnimationFrame(run);
    // The tab may be hidden between the request and the frame: whichever comes first.
    const timer = setTimeout(run, HIDDEN_FRAME_MS);
    return () => {
      done = true;
      cancelAnimationFrame(frame);
      clearTimeout(timer);
    };
  },
};
