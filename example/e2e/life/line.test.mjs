// What the user sees on a slow line, with a slow server, and without a server.
import assert from "node:assert/strict";
import { test } from "node:test";
import { add, banner, openPage, sleep, startProxy, startServer, useEngine, within } from "./support.mjs";

useEngine();

test("lines and servers", { concurrency: true }, async (t) => {
  await Promise.all([
    t.test("0.9 MB at 50 KB/s arrive on the first connection", async (t) => {
      const proxy = await startProxy(t, await startServer(t), { rate: 50_000 });
      const began = Date.now();
      const page = await openPage(t, proxy, { group: "large" });
      await page.shows("count", "4500 items", 60_000);
      await page.shows("newest", "Item 4500");
      assert.equal(await page.text("status"), "live");
      assert.equal(await page.text("error"), "");
      assert.equal(await attempts(page), 1);
      t.diagnostic(`${Date.now() - began} ms`);
    }),

    t.test("a snapshot of 12 s arrives on the first connection, with the changes after it", async (t) => {
      const server = await startServer(t);
      const page = await openPage(t, server, { group: "slow" });
      await page.waitFor("attempt", 0);
      await sleep(1000);
      assert.equal(await page.text("status"), "connecting");
      await add(server, "Meanwhile");
      await page.shows("newest", "Meanwhile", 30_000);
      await page.shows("status", "live");
      assert.equal(await page.text("error"), "");
      assert.equal(await attempts(page), 1);
    }),

    t.test("a call of 70 kB says that it is too large, and the page stays live", async (t) => {
      const server = await startServer(t);
      const page = await openPage(t, server);
      await page.shows("status", "live");
      await click(page, "Send 70 kB");
      await page.shows("answer", "too_large: length: the server accepts at most 65536 bytes");
      await click(page, "Send 60 kB");
      await page.shows("answer", "The server read 60002 bytes");
      await add(server, "Afterwards");
      await page.shows("newest", "Afterwards");
      assert.deepEqual([await page.text("status"), await page.text("close"), await attempts(page)], ["live", "", 1]);
    }),

    t.test("a page that sends too much is closed, says so, and is live after the time that the server asks for", async (t) => {
      const server = await startServer(t);
      const page = await openPage(t, server);
      await page.shows("status", "live");
      await page.tab.evaluate(() => {
        for (let n = 0; n < 4000; n++) window.hub.call("length", n).catch(() => {});
      });
      await page.shows("close", /^4029 .*"retry_after":5/);
      await page.shows("banner", banner);
      const closed = await page.waitFor("close", 0);
      await add(server, "Meanwhile");
      await page.shows("newest", "Meanwhile");
      assert.ok((await page.waitFor("attempt", closed.at)).at - closed.at >= 5000);
      assert.deepEqual([await page.text("status"), await page.text("error"), await attempts(page)], ["live", "", 2]);
    }),

    t.test("a page of a refused origin says that it cannot reach the hub", async (t) => {
      const server = await startServer(t);
      const hub = `ws://localhost:${server.address.split(":")[1]}/ws/`;
      const page = await openPage(t, server, { hub });
      await page.shows("error", /^unreachable: cannot reach ws:\/\/localhost:/);
      assert.equal(await page.text("status"), "connecting");
    }),

    t.test("a page that loads while the hub is away says so, and is live when the hub is there", async (t) => {
      const server = await startServer(t);
      const proxy = await startProxy(t, server);
      proxy.set("refuse");
      const page = await openPage(t, proxy);
      await page.shows("error", /^unreachable: cannot reach ws:/);
      assert.equal(await page.text("status"), "connecting");
      await page.shows("banner", banner);
      proxy.set("forward");
      const there = Date.now();
      await add(server, "Here");
      await page.shows("newest", "Here", 20_000);
      assert.equal(await page.text("status"), "live");
      assert.equal(await page.text("banner"), "");
      assert.equal(await page.text("error"), "");
      within(t, "from its return", Date.now() - there, 9000); // the fourth delay is at most 8 s
    }),
  ]);
});

const attempts = async (page) => (await page.log()).filter(({ what }) => what === "attempt").length;

const click = (page, text) =>
  page.tab.evaluate((text) => [...document.querySelectorAll("button")].find((button) => button.textContent === text).click(), text);
