/** Registers the service worker of the built client; without one (development, plain http) reloads need the server. */
export function registerWorker(): void {
  if (!import.meta.env.PROD || !("serviceWorker" in navigator)) return;
  window.addEventListener("load", () => {
    const { serviceWorker } = navigator;
    serviceWorker.register("/sw.js", { updateViaCache: "none" }).catch((error: unknown) => {
      console.warn("Kanvas works, but a reload will need the server:", error);
    });
    // A worker takes over the pages that are there when it becomes active; one that was on its way then has to ask.
    void serviceWorker.ready.then(({ active }) => {
      if (!serviceWorker.controller) active?.postMessage("claim");
    });
  });
}
