// Keeps the page's files for when there is no network, and isolates the page, without which there are no threads.
// `files.js` is written with the page and differs where any file does.

importScripts("files.js"); // self.FILES = {version, first}

const CACHE = `tryon ${self.FILES.version}`;
const HEADERS = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
};

self.addEventListener("install", (event) => {
  const fresh = self.FILES.first.map((name) => new Request(name, { cache: "reload" }));
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(fresh)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => event.waitUntil(takeOver()));

async function takeOver() {
  const others = (await caches.keys()).filter((name) => name.startsWith("tryon ") && name !== CACHE);
  await Promise.all(others.map((name) => caches.delete(name)));
  await self.clients.claim();
}

self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method === "GET" && url.origin === self.location.origin) event.respondWith(answer(event, url));
});

async function answer(event, url) {
  const cache = await caches.open(CACHE);
  const name = url.origin + url.pathname;
  let response = await cache.match(name);
  if (response === undefined) {
    response = await fetch(name, { cache: "no-cache" });
    if (response.ok) event.waitUntil(cache.put(name, response.clone()));
  }
  const headers = new Headers(response.headers);
  for (const [header, value] of Object.entries(HEADERS)) headers.set(header, value);
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}
