// A token that is refused is renewed, and the page does not notice.
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

// open opens a page whose identity is good for so many milliseconds.
async function open(ms) {
  const page = await (await browser.newContext()).newPage();
  await page.goto(`http://${server.address}/`);
  await page.evaluate(async (ms) => {
    const { default: Rohrpost } = await import("/rohrpost/rohrpost.js");
    const noted = (window.noted = { tokens: [], news: [], statuses: [], errors: [] });
    const token = async () => {
      noted.tokens.push(await (await fetch("/token")).text());
      return noted.tokens.at(-1);
    };
    window.hub = new Rohrpost(`/ws/rohrpost/?ms=${ms}`, { token });
    window.hub.on("status", (status) => noted.statuses.push(status));
    window.hub.on("error", (error) => noted.errors.push(String(error)));
    window.hub.on("news", (_, { object }) => noted.news.push(object));
    await window.hub.subscribe("news");
  }, ms);
  return page;
}

const noted = (page) => page.evaluate(() => window.noted);
const count = (page) => page.evaluate(() => window.hub.call("count"));

test("a call whose token is refused is made with another one", async () => {
  const page = await open(60_000);
  assert.deepEqual(await count(page), { asked: 1 });
  await post("/revoke");
  assert.deepEqual(await count(page), { asked: 3 }); // refused once
  assert.deepEqual(await count(page), { asked: 4 });
  assert.deepEqual(await noted(page), { tokens: ["0", "1"], news: [], statuses: ["live"], errors: [] });
  await page.close();
});

test("so is a subscription", async () => {
  const page = await open(60_000);
  await post("/revoke");
  const { group } = await page.evaluate(() => window.hub.subscribe("secrets"));
  assert.equal(group, "secrets");
  const { tokens, errors } = await noted(page);
  assert.deepEqual({ tokens, errors }, { tokens: ["1", "2"], errors: [] });
  await page.close();
});

test("when its identity has expired, the page comes back with another one and has missed nothing", async () => {
  const page = await open(3_000);
  await post("/news?title=before");
  await page.waitForFunction(() => window.noted.news.length === 1);
  await post("/revoke");
  await page.waitForFunction(() => window.noted.statuses.includes("stale"));
  await post("/news?title=meanwhile");
  await page.waitForFunction(() => window.noted.news.length === 2);
  const { tokens, news, errors } = await noted(page);
  assert.deepEqual({ tokens: tokens.slice(0, 2), news, errors }, { tokens: ["2", "3"], news: ["before", "meanwhile"], errors: [] });
  await page.close();
});
