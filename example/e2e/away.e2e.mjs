// Connections and servers go and come back; the pages have missed nothing.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Stage, Wire, add, away, card, followed, live, sleep, state } from "./support.mjs";

const stage = new Stage(), wire = new Wire();
let ann, bob; // bob is at the end of the wire

before(async () => {
  await stage.set();
  await wire.lay(stage.server);
  [ann, bob] = await Promise.all([stage.open("ann"), stage.open("bob", { address: wire.address })]);
});
after(async () => {
  await stage.strike();
  wire.end();
});

// fifty makes as many changes of all kinds.
async function fifty() {
  const cards = [];
  for (let i = 0; i < 20; i++) cards.push(await stage.add(`Card ${i}`));
  for (const { id, title } of cards.slice(5)) await stage.api("PATCH", `/${id}`, { title: `${title}, renamed` });
  for (const { id } of cards.slice(15).reverse()) await stage.api("PATCH", `/${id}`, { column: "done", position: 9 });
  for (const { id } of cards.slice(0, 10)) await stage.api("DELETE", `/${id}`);
}

for (const [how, told] of [["the browser says so", true], ["only the wire is cut", false]]) {
  test(`fifty changes while one is offline (${how})`, async () => {
    await stage.clear();
    await stage.add("Before");
    await stage.same(ann, bob);
    const before = (await followed(bob)).messages;
    if (told) await bob.context().setOffline(true);
    const ended = wire.cut();
    assert.ok(told || ended > 0, "no connection was cut"); // the browser may have been faster
    await state(bob, "stale");
    await bob.getByText("You are offline. What you see may be old.").waitFor();
    await fifty();
    assert.equal((await followed(bob)).messages, before, "bob is not offline");
    wire.mend();
    if (told) await bob.context().setOffline(false);
    await live(bob);
    await bob.locator("#banner").waitFor({ state: "hidden" });
    await stage.same(ann, bob);
    assert.equal((await followed(bob)).messages, before + 50);
  });
}

for (const signal of ["SIGKILL", "SIGTERM"]) {
  test(`after a restart (${signal}) both are live again and have missed nothing`, async () => {
    await stage.server.stop(signal);
    await Promise.all([away(ann), away(bob)]);
    await stage.server.start();
    await stage.add(`Before ${signal} was noticed`);
    await Promise.all([live(ann), live(bob)]);
    await stage.same(ann, bob);
    await add(ann, `After ${signal}`);
    await card(bob, `After ${signal}`).waitFor();
    await stage.same(ann, bob);
  });
}

test("a server that says nothing any more counts as lost", async () => {
  stage.server.signal("SIGSTOP");
  await Promise.all([away(ann), away(bob)]);
  stage.server.signal("SIGCONT");
  await Promise.all([live(ann), live(bob)]);
  await add(ann, "Awake again");
  await card(bob, "Awake again").waitFor();
  await stage.same(ann, bob);
});

test("a hidden tab that comes back is live at once", async () => {
  const carol = await stage.open("carol", { address: wire.address, prepare: canHide });
  await carol.evaluate(() => window.hide(true));
  await stage.add("While it is hidden");
  assert.ok(wire.cut() > 0);
  await state(carol, "stale");
  await sleep(4_000); // it has tried twice, and waits for eight seconds now
  wire.mend();
  await stage.add("While it is away");
  await carol.evaluate(() => window.hide(false));
  const shown = Date.now();
  await live(carol);
  const took = Date.now() - shown;
  await stage.same(ann, carol);
  assert.ok(took < 2_000, `${took} ms`);
  await carol.close();
  await live(bob);
});

// canHide gives a page what Chromium without a screen has not: it can be hidden,
// and then draws nothing and has timers once a second. Its attempts are as far
// apart as they can be: 1, 2, 4 and 8 seconds.
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

test("nothing went wrong", () => assert.deepEqual(stage.failures, []));
