/*
 * The service worker: makes a reload work offline, for the lobby and for a room.
 *
 * Owns: a copy of the built client. Never: /api, /parties, /healthz, /readyz, or anything of another origin; what
 * people drew lives in IndexedDB, not here.
 * Pages are asked from the server first, so that a new version shows at once, and come from the copy when the server
 * does not answer in time. Built files carry their hash in their name and come from the copy first.
 * The copy of the version before is kept, because pages opened under it may still ask for its lazy parts.
 */
const VERSION = "__VERSION__";
const FILES = [/* __FILES__ */];
const CACHE = `kanvas-${VERSION}`;
const FONTS = "kanvas-fonts";
const PAGE_WAIT_MS = 3000;

self.addEventListener("install", (event) => {
  event.waitUntil(
    (async () => {
      const cache = await caches.open(CACHE);
      await cache.addAll(FILES.map((path) => new Request(path, { cache: "reload" })));
      await self.skipWaiting();
    })(),
  );
});

self.addEventListener("activate", (event) => {
  event.waitUntil(
    (async () => {
      // Cache names come in the order they were made: the last one besides ours is the version before.
      const others = (await caches.keys()).filter(
        (name) => name.startsWith("kanvas-") && name !== CACHE && name !== FONTS,
      );
      await Promise.all(others.slice(0, -1).map((name) => caches.delete(name)));
      await self.clients.claim();
    })(),
  );
});

self.addEventListener("message", (event) => {
  if (event.data === "claim") event.waitUntil(self.clients.claim());
});

async function page(request) {
  const copy = async () => (await (await caches.open(CACHE)).match("/")) ?? (await caches.match("/"));
  const timeout = new AbortController();
  const timer = setTimeout(() => timeout.abort(), PAGE_WAIT_MS);
  try {
    const answer = await fetch(request.url, {
      signal: timeout.signal,
      credentials: "same-origin",
      headers: { Accept: "text/html" },
    });
    if (answer.status < 500) return answer;
    return (await copy()) ?? answer;
  } catch (error) {
    const kept = await copy();
    if (kept) return kept;
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

async function built(request) {
  const kept = await caches.match(request, { ignoreSearch: true });
  if (kept) return kept;
  const answer = await fetch(request);
  if (answer.ok && new URL(request.url).pathname.startsWith("/fonts/")) {
    const fonts = await caches.open(FONTS);
    await fonts.put(request, answer.clone());
  }
  return answer;
}

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== self.location.origin) return;
  if (request.mode === "navigate") {
    if (url.pathname === "/" || url.pathname.startsWith("/r/")) event.respondWith(page(request));
    return;
  }
  if (/^\/(static|fonts)\//.test(url.pathname) || FILES.includes(url.pathname)) {
    if (url.pathname !== "/") event.respondWith(built(request));
  }
});
