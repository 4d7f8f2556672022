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

// openOther opens a page of the other hub, with tokens that live for ms milliseconds.
async function openOther(ms) {
  const page = await (await browser.newContext()).newPage();
  await page.goto(`http://${server.address}/`);
  await page.evaluate(async (ms) => {
    const { default: Rohrpost } = await import("/rohrpost/rohrpost.js");
    const recorded = (window.recorded = { sent: [], events: [], shown: [] });
    let asked = 0;
    window.hub = new Rohrpost("/ws/other/", { token: () => `${ms} ${++asked}` });
    window.hub.on("send", (message) => recorded.sent.push(typeof message === "string" ? JSON.parse(message) : message));
    for (const type of ["open", "closed", "error"]) window.hub.on(type, () => recorded.events.push(type));
    window.watch = window.hub.watch("secrets");
    window.watch.subscribe((items) => recorded.shown.push(items.map(({ title }) => title).join()));
    await window.watch.ready;
  }, ms);
  return page;
}

const hellos = (sent) => sent.filter(({ type }) => type === "rohrpost:hello").map(({ data }) => data.token);

test("a token is sent once and renewed on the same connection", async () => {
  const page = await openOther(3_000);
  await page.waitForFunction(() => window.recorded.sent.filter(({ type }) => type === "rohrpost:hello").length === 3);
  await page.evaluate(() => window.hub.call("nothing").catch(() => {}));
  const { sent, events } = await recorded(page);
  assert.deepEqual(hellos(sent), ["3000 1", "3000 2", "3000 3"]);
  assert.deepEqual(events, ["open"], "4.8 s later it is the first connection");
  assert.ok(!("auth_jwt" in sent.find(({ type }) => type === "nothing")));
  await page.close();
});

test("a user whose right is taken away sees nothing more, and everything after getting it back", async () => {
  const page = await openOther(60_000);
  assert.deepEqual((await recorded(page)).shown.at(-1), "The secret");
  await post("/ban");
  await page.waitForFunction(() => window.watch.status === "closed");
  const { shown, events } = await recorded(page);
  assert.deepEqual([shown.at(-1), events], ["", ["open", "error"]]);
  assert.deepEqual(await page.evaluate(() => [window.watch.error.code, window.watch.error.reason, window.hub.status]), ["unsubscribed", "revoked", "live"]);
  const again = () => page.evaluate(() => window.hub.watch("secrets").ready.then(({ items }) => items.length, ({ code }) => code));
  assert.equal(await again(), "access_denied");
  await post("/ban?end=1");
  assert.equal(await again(), 1);
  await page.close();
});
