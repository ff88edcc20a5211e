/** Registers the service worker of the built client; without one (development, plain http) reloads need the server. */
export function registerWorker(): void {
  if (!import.meta.env.PROD || !("serviceWorker" in navigator)) return;
  window.addEventListener("load", () => {
    navigator.serviceWorker.register("/sw.js", { updateViaCache: "none" }).catch((error: unknown) => {
      console.warn("Kanvas works, but a reload will need the server:", error);
    });
  });
}
