import { pageId } from "./rohrpost.js";

// Sends a request with the id of this page to its own server, which then knows whose
// changes it makes.
export function fetch(input, init) {
  const { document, location } = globalThis;
  const url = new URL(input.url ?? input, document?.baseURI ?? location?.href);
  if (location && url.origin !== location.origin) return globalThis.fetch(input, init);
  const headers = new Headers(init?.headers ?? input.headers);
  headers.set("X-Rohrpost-Page", pageId);
  return globalThis.fetch(input, { ...init, headers });
}
