// Tests that pages miss nothing when connections break or the server restarts.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Fixture, Proxy, add, card, counts, live, notLive, sleep, status } from "./support.mjs";

const board = new Fixture(), proxy = new Proxy();
let ann, bob; // bob connects through the proxy

before(async () => {
  await board.start();
  await proxy.start(board.server);
  [ann, bob] = await Promise.all([board.open("ann"), board.open("bob", { address: proxy.address })]);
});
after(async () => {
  await board.stop();
  proxy.stop();
});

// fiftyChanges makes 50 changes of all kinds.
async function fiftyChanges() {
  const cards = [];
  for (let i = 0; i < 20; i++) cards.push(await board.add(`Card ${i}`));
  for (const { id, title } of cards.slice(5)) await board.api("PATCH", `/${id}`, { title: `${title}, renamed` });
  for (const { id } of cards.slice(15).reverse()) await board.api("PATCH", `/${id}`, { column: "done", position: 9 });
  for (const { id } of cards.slice(0, 10)) await board.api("DELETE", `/${id}`);
}

for (const [how, offline] of [["the browser reports it", true], ["only the connection breaks", false]]) {
  test(`a page that was offline receives fifty changes (${how})`, async () => {
    await board.clear();
    await board.add("Before");
    await board.expectSame(ann, bob);
    const before = (await counts(bob)).messages;
    if (offline) await bob.context().setOffline(true);
    const connections = proxy.disconnect();
    assert.ok(offline || connections > 0, "the proxy had no connection"); // an offline browser may close it first
    await status(bob, "stale");
    await bob.getByText("You are offline. The page may show old data.").waitFor();
    await fiftyChanges();
    assert.equal((await counts(bob)).messages, before, "bob is not offline");
    proxy.reconnect();
    if (offline) await bob.context().setOffline(false);
    await live(bob);
    await bob.locator("#banner").waitFor({ state: "hidden" });
    await board.expectSame(ann, bob);
    assert.equal((await counts(bob)).messages, before + 50);
  });
}

for (const signal of ["SIGKILL", "SIGTERM"]) {
  test(`after a restart (${signal}) both pages are live again and have missed nothing`, async () => {
    await board.server.stop(signal);
    await Promise.all([notLive(ann), notLive(bob)]);
    await board.server.start();
    await board.add(`Before the reconnection (${signal})`);
    await Promise.all([live(ann), live(bob)]);
    await board.expectSame(ann, bob);
    await add(ann, `After ${signal}`);
    await card(bob, `After ${signal}`).waitFor();
    await board.expectSame(ann, bob);
  });
}

test("a page treats a hung server as lost", async () => {
  board.server.signal("SIGSTOP");
  await Promise.all([notLive(ann), notLive(bob)]);
  board.server.signal("SIGCONT");
  await Promise.all([live(ann), live(bob)]);
  await add(ann, "Awake again");
  await card(bob, "Awake again").waitFor();
  await board.expectSame(ann, bob);
});

test("a hidden tab is live at once when it becomes visible", async () => {
  const carol = await board.open("carol", { address: proxy.address, prepare: canHide });
  await carol.evaluate(() => window.hide(true));
  await board.add("While it is hidden");
  assert.ok(proxy.disconnect() > 0);
  await status(carol, "stale");
  await sleep(4_000); // the page has tried twice and now waits for eight seconds
  proxy.reconnect();
  await board.add("While it is offline");
  await carol.evaluate(() => window.hide(false));
  const shown = Date.now();
  await live(carol);
  const took = Date.now() - shown;
  await board.expectSame(ann, carol);
  assert.ok(took < 2_000, `${took} ms`);
  await carol.close();
  await live(bob);
});

// canHide lets a test hide the page, which headless Chromium cannot do. A hidden
// page draws nothing, and its timers run once a second. The delays between the
// attempts to connect are the longest possible: 1, 2, 4 and 8 seconds.
function canHide() {
  let hidden = false, waiting = [];
  const { setTimeout, requestAnimationFrame } = window;
  Math.random = () => 0.9999;
  for (const [name, get] of [["hidden", () => hidden], ["visibilityState", () => (hidden ? "hidden" : "visible")]]) {
    Object.defineProperty(document, name, { get });
  }
  window.setTimeout = (fn, delay = 0, ...values) => setTimeout(fn, hidden ? Math.ceil(delay / 1_000) * 1_000 : delay, ...values);
  window.requestAnimationFrame = (fn) => (hidden ? waiting.push(fn) : requestAnimationFrame(fn));
  window.hide = (now) => {
    hidden = now;
    document.dispatchEvent(new Event("visibilitychange"));
    if (!hidden) for (const fn of waiting.splice(0)) requestAnimationFrame(fn);
  };
}

test("no page has errors", () => assert.deepEqual(board.failures, []));
