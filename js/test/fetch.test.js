// Tests of fetch, which names the page to its own server.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fetch } from "../fetch.js";
import { pageId } from "../rohrpost.js";

// sent returns the headers of a request with which fetch calls the global fetch.
async function sent(t, input, init) {
  t.mock.method(globalThis, "fetch", async (input, init) => new Headers(init?.headers ?? input.headers));
  return fetch(input, init);
}

function stubPage(t) {
  globalThis.document = { baseURI: "https://page.test/boards/" };
  globalThis.location = new URL("https://page.test/boards/7");
  t.after(() => {
    delete globalThis.document;
    delete globalThis.location;
  });
}

test("requests to the origin of the page have its id, and keep their headers", async (t) => {
  stubPage(t);
  const headers = { "Content-Type": "application/json" };
  for (const input of ["cards", "/cards", new URL("https://page.test/cards"), new Request("https://page.test/cards", { headers })]) {
    const got = await sent(t, input, input instanceof Request ? undefined : { headers });
    assert.equal(got.get("X-Rohrpost-Page"), pageId);
    assert.equal(got.get("Content-Type"), "application/json");
  }
});

test("requests to another origin are as they were", async (t) => {
  stubPage(t);
  for (const input of ["https://other.test/", new Request("https://other.test/"), "//page.test.other/"]) assert.deepEqual([...(await sent(t, input))], []);
});

test("without a page each request has the id", async (t) => {
  assert.equal((await sent(t, "https://hub.test/cards")).get("X-Rohrpost-Page"), pageId);
});
