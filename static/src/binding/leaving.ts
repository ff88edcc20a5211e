/** When a page may be about to stop for good: it loses the focus, is hidden, or is left. */

/** Calls `work` each time; the answer stops it. A hidden or left page may never run again, so `work` must not wait. */
export function whenLeaving(work: () => void): () => void {
  const whenHidden = () => document.visibilityState === "hidden" && work();
  window.addEventListener("blur", work);
  window.addEventListener("pagehide", work);
  document.addEventListener("visibilitychange", whenHidden);
  return () => {
    window.removeEventListener("blur", work);
    window.removeEventListener("pagehide", work);
    document.removeEventListener("visibilitychange", whenHidden);
  };
}
