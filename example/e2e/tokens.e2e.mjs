// Tests that the client renews a refused token without an error.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Program, launch } from "./support.mjs";

const server = new Program(process.env.TOKENS);
let browser;

before(async () => {
  [browser] = await Promise.all([launch(), server.start()]);
});
after(async () => {
  await browser?.close();
  server.signal("SIGKILL");
});

const post = (path) => fetch(`http://${server.address}${path}`, { method: "POST" });

// open opens a page whose identity expires after ms milliseconds.
async function open(ms) {
  const page = await (await browser.newContext()).newPage();
  await page.goto(`http://${server.address}/`);
  await page.evaluate(async (ms) => {
    const { default: Rohrpost } = await import("/rohrpost/rohrpost.js");
    const recorded = (window.recorded = { tokens: [], news: [], statuses: [], errors: [] });
    const token = async () => {
      recorded.tokens.push(await (await fetch("/token")).text());
      return recorded.tokens.at(-1);
    };
    window.hub = new Rohrpost(`/ws/rohrpost/?ms=${ms}`, { token });
    window.hub.on("status", (status) => recorded.statuses.push(status));
    window.hub.on("error", (error) => recorded.errors.push(String(error)));
    window.hub.on("news", (_, { object }) => recorded.news.push(object));
    await window.hub.subscribe("news");
  }, ms);
  return page;
}

const recorded = (page) => page.evaluate(() => window.recorded);
const count = (page) => page.evaluate(() => window.hub.call("count"));

test("a call with a refused token is repeated with a new token", async () => {
  const page = await open(60_000);
  assert.deepEqual(await count(page), { calls: 1 });
  await post("/revoke");
  assert.deepEqual(await count(page), { calls: 3 }); // the first one was refused
  assert.deepEqual(await count(page), { calls: 4 });
  assert.deepEqual(await recorded(page), { tokens: ["0", "1"], news: [], statuses: ["live"], errors: [] });
  await page.close();
});

test("a subscription with a refused token is repeated with a new token", async () => {
  const page = await open(60_000);
  await post("/revoke");
  const { group } = await page.evaluate(() => window.hub.subscribe("secrets"));
  assert.equal(group, "secrets");
  const { tokens, errors } = await recorded(page);
  assert.deepEqual({ tokens, errors }, { tokens: ["1", "2"], errors: [] });
  await page.close();
});

test("a client whose identity expired reconnects with a new one and misses nothing", async () => {
  const page = await open(3_000);
  await post("/news?title=before");
  await page.waitForFunction(() => window.recorded.news.length === 1);
  await post("/revoke");
  await page.waitForFunction(() => window.recorded.statuses.includes("stale"));
  await post("/news?title=meanwhile");
  await page.waitForFunction(() => window.recorded.news.length === 2);
  const { tokens, news, errors } = await recorded(page);
  assert.deepEqual({ tokens: tokens.slice(0, 2), news, errors }, { tokens: ["2", "3"], news: ["before", "meanwhile"], errors: [] });
  await page.close();
});
