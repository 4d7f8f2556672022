// The life of a page: reload, back/forward cache, network, restarts, hidden tab.
import assert from "node:assert/strict";
import { test } from "node:test";
import { add, banner, engine, openLive, openPage, post, sleep, startProxy, startServer, useEngine, within } from "./support.mjs";

useEngine();

const patient = { min: 5000, max: 5000 }; // only an event of the browser makes the page live within a second

test("a reloaded page is live and shows the list", async (t) => {
  const server = await startServer(t);
  const page = await openLive(t, server);
  await page.tab.reload();
  await page.shows("newest", "First");
  await add(server, "Second");
  await page.shows("newest", "Second");
  assert.equal(await page.text("status"), "live");
});

for (const [how, query] of [["as it left", patient], ["that disconnects when it is left", { ...patient, pagehide: "disconnect" }]]) {
  test(`a page ${how} is live at once when the user comes back`, async (t) => {
    const server = await startServer(t);
    const page = await openLive(t, server, server, query);
    await page.tab.goto(`http://${server.address}/page.html?group=other`);
    await add(server, "Meanwhile");
    await page.tab.back();
    await page.shows("newest", "Meanwhile");
    await page.shows("status", "live");
    assert.equal(await page.text("banner"), "");
    const cached = (await page.log()).some(({ what }) => what === "restored");
    if (cached) within(t, "from the cache", await page.took("restored"), 1000);
    else t.diagnostic("the engine has loaded the page again");
    assert.ok(cached || engine === "firefox", "the page did not come from the cache");
    await add(server, "Second");
    await page.shows("newest", "Second");
  });
}

test("an offline page says so, and is live at once when the network is back", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const page = await openLive(t, server, proxy, patient);
  await page.tab.setOffline(true);
  proxy.break("refuse");
  await page.shows("banner", banner);
  await add(server, "Meanwhile");
  await sleep(1000);
  proxy.set("forward");
  await page.tab.setOffline(false);
  await page.shows("newest", "Meanwhile");
  assert.equal(await page.text("banner"), "");
  within(t, "from online", await page.took("online"), 1000);
});

test("a killed server: the page says that it is offline, and is live after the restart", async (t) => {
  const server = await startServer(t);
  const page = await openLive(t, server);
  await server.stop("SIGKILL");
  await page.shows("banner", banner);
  await sleep(1000);
  await server.start();
  const restarted = Date.now();
  await add(server, "After the restart");
  await page.shows("newest", "After the restart");
  assert.equal(await page.text("count"), "1 items");
  const live = (await page.log()).find(({ at, text }) => text === "live" && at >= restarted);
  within(t, "from the restart", live.at - restarted, 5000);
});

test("the close code and the reason of a shutdown arrive", async (t) => {
  const server = await startServer(t);
  const page = await openLive(t, server);
  await server.stop("SIGTERM");
  await page.shows("close", /^1001 service restart; retry_after=[01]\.\d\d$/);
  await page.shows("banner", banner);
  await server.start();
  await page.shows("status", "live");
});

test("a hub that does not reach its broker: the page says that it may show old data", async (t) => {
  const server = await startServer(t);
  const page = await openLive(t, server, server, { hub: "/shared/" });
  await post(server, "/engine?away=1");
  await add(server, "Meanwhile");
  await page.shows("status", "stale");
  await page.shows("banner", banner);
  assert.equal(await page.text("newest"), "First");
  await post(server, "/engine");
  await page.shows("newest", "Meanwhile");
  await page.shows("status", "live");
  assert.equal(await page.text("banner"), "");
  assert.equal((await page.log()).filter(({ what }) => what === "attempt").length, 1, "on its first connection");
});

test("a hidden tab receives changes, and is live at once when the user returns to it", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const page = await openLive(t, server, proxy, patient);
  await page.tab.hide();
  await page.waitFor("hidden", 0);
  await add(server, "Hidden");
  await page.shows("newest", "Hidden");
  proxy.break("refuse");
  await page.shows("status", "stale");
  await add(server, "Meanwhile");
  proxy.set("forward");
  await page.tab.show();
  await page.shows("newest", "Meanwhile");
  within(t, "from visible", await page.took("visible"), 1000);
});

// Lets the attempt to reconnect hang until its age in ms, and then the network work.
async function hang(t, age) {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const page = await openLive(t, server, proxy);
  const broken = Date.now();
  proxy.break("hang");
  await page.shows("status", "stale");
  await page.tab.hide();
  const attempt = await page.waitFor("attempt", broken);
  await sleep(attempt.at + age - Date.now());
  proxy.set("forward");
  return page;
}

const signalOnline = (page) => page.tab.evaluate(() => void window.dispatchEvent(new Event("online")));

for (const [what, age, limit] of [["an", 2000, 1000], ["a young", 0, 2000]]) {
  test(`"online" abandons ${what} attempt that hangs`, async (t) => {
    const page = await hang(t, age);
    await signalOnline(page);
    await page.shows("status", "live");
    within(t, "from online", await page.took("online"), limit);
  });

  test(`a user who returns to the tab abandons ${what} attempt that hangs`, async (t) => {
    const page = await hang(t, age);
    await page.tab.show();
    await page.shows("status", "live");
    within(t, "from visible", await page.took("visible"), limit);
  });
}

for (const [what, query] of [
  ["the Content Security Policy forbids it", { csp: "connect-src 'none'" }],
  ["browsers block the port", { hub: "ws://127.0.0.1:6667/ws/" }],
  ["the URL has another scheme", { hub: "ftp://127.0.0.1/ws/" }],
]) {
  test(`a page that can never connect says why: ${what}`, async (t) => {
    const page = await openPage(t, await startServer(t), query);
    await page.shows("status", "closed");
    await page.shows("error", /^cannot_connect: cannot connect to \S+: ./);
    t.diagnostic(await page.text("error"));
  });
}

test("a page over TLS connects over TLS, and says that it must not do without", async (t) => {
  const server = await startServer(t);
  const good = await openPage(t, server, {}, server.secure);
  await good.shows("status", "live");
  const mixed = await openPage(t, server, { hub: "ws://hub.test/ws/" }, server.secure);
  await mixed.shows("status", "closed");
  await mixed.shows("error", /^cannot_connect: cannot connect to ws:\/\/hub.test\/ws\/: (SecurityError|mixed content)/);
  t.diagnostic(await mixed.text("error"));
});

test("a frame without an address connects to the server of its page", async (t) => {
  const page = await openPage(t, await startServer(t));
  await page.tab.evaluate(() => {
    const frame = document.createElement("iframe");
    frame.srcdoc = `<script type="module">
      import Rohrpost from "/rohrpost/rohrpost.js";
      const { answer } = parent.document.all;
      new Rohrpost("/ws/").on("status", (status) => (answer.textContent = status));
    </script>`;
    document.body.append(frame);
  });
  await page.shows("answer", "live");
});
