// Subscriptions: positions, resyncs, who shares them, and what is refused.
import assert from "node:assert/strict";
import { test } from "node:test";
import { connected, settled } from "./support.js";

// joined returns a page that is in group a of epoch e at offset 4, and what
// its handler hears: the offsets.
async function joined(t, reply = { epoch: "e", offset: 4 }) {
  const all = await connected(t, { random: () => 0 });
  const heard = [];
  all.page.on("a", (error, data) => heard.push(error ?? data.offset ?? data.type));
  const subscribed = all.page.subscribe("a");
  const requests = () => all.network.last.requests("subscribe");
  const reply_ = (data, error) => all.network.last.reply(requests().at(-1), data && { group: "a", ...data }, error);
  const change = (offset, more) =>
    all.network.last.deliver({ type: "subscription-update", data: { type: "update", group: "a", object: { id: 1 }, offset, ...more } });
  const again = async () => {
    all.network.last.drop();
    await all.clock.run(500);
    all.network.last.open();
  };
  reply_(reply);
  await subscribed;
  return { ...all, heard, requests, reply: reply_, change, again };
}

const since = (offset, epoch = "e") => ({ group: "a", since: { epoch, offset } });

test("a handler gets null and the data, as in rohrpost-js", async (t) => {
  const { page, change } = await joined(t);
  const seen = [];
  page.on("a", (...values) => seen.push(values));
  change(5);
  assert.deepEqual(seen, [[null, { type: "update", group: "a", object: { id: 1 }, offset: 5 }]]);
});

test("a position is sent when the connection is back, and nothing heard twice", async (t) => {
  const { heard, requests, reply, change, again, of } = await joined(t);
  change(5);
  change(6);
  change(6);
  change(5);
  await again();
  assert.deepEqual(requests()[0].data, since(6));
  reply({ epoch: "e", offset: 8, recovered: true, missed: 2 });
  change(7);
  change(8);
  change(8);
  change(9);
  assert.deepEqual(heard, [5, 6, 7, 8, 9]);
  assert.deepEqual(of("resync"), []);
});

test("a jump is asked for again", async (t) => {
  const { page, heard, requests, reply, change } = await joined(t);
  change(5);
  change(8);
  change(9);
  assert.equal(page.status, "recovering");
  assert.equal(requests().length, 2);
  assert.deepEqual(requests()[1].data, since(5));
  reply({ epoch: "e", offset: 9, recovered: true, missed: 4 });
  for (const offset of [6, 7, 8, 9, 10]) change(offset);
  assert.deepEqual(heard, [5, 6, 7, 8, 9, 10]);
  assert.equal(page.status, "live");
});

for (const reason of ["epoch", "trimmed", "too_far"]) {
  test(`what the server cannot tell is a resync: ${reason}`, async (t) => {
    const { page, heard, reply, change, again, of } = await joined(t);
    change(5);
    await again();
    reply({ epoch: "f", offset: 2, recovered: false, reason });
    assert.equal(page.status, "live");
    change(2);
    change(3);
    assert.deepEqual(heard, [5, 3]);
    assert.deepEqual(of("resync"), [{ group: "a", reason, snapshot: undefined }]);
  });
}

test("a hub without history: every lost connection is a resync", async (t) => {
  const { heard, requests, reply, change, again, of } = await joined(t, {});
  change();
  change();
  await again();
  assert.deepEqual(requests()[0].data, { group: "a" });
  reply({});
  assert.deepEqual(heard, ["update", "update"]);
  assert.deepEqual(of("resync").map((r) => r.reason), ["off"]);
});

test("a hub that has lost its history, or begun one", async (t) => {
  const { requests, reply, again, of } = await joined(t);
  await again();
  reply({ recovered: false, reason: "off" });
  await again();
  assert.deepEqual(requests()[0].data, { group: "a" });
  reply({ epoch: "g", offset: 0 });
  await again();
  assert.deepEqual(requests()[0].data, since(0, "g"));
  assert.deepEqual(of("resync").map((r) => r.reason), ["off", "epoch"]);
});

test("a numbered resync is a message and a resync", async (t) => {
  const { heard, change, of } = await joined(t);
  change(5, { type: "resync", object: { reason: "rows" } });
  change(5, { type: "resync", object: { reason: "rows" } });
  change(6);
  assert.deepEqual(heard, [5, 6]);
  assert.deepEqual(of("resync").map((r) => r.reason), ["rows"]);
});

test("after a resync without an offset the next may be any", async (t) => {
  const { heard, requests, change, of } = await joined(t);
  change(undefined, { type: "resync", object: { reason: "slow" } });
  change(4);
  change(9);
  change(10);
  assert.deepEqual(heard, ["resync", 9, 10]);
  assert.equal(requests().length, 1);
  change(12);
  assert.equal(requests().length, 2, "only the next");
  assert.deepEqual(of("resync").map((r) => r.reason), ["slow"]);
});

test("a resync with a position moves there", async (t) => {
  const { heard, requests, change, again } = await joined(t);
  change(2, { type: "resync", object: null, epoch: "f" });
  change(3);
  await again();
  assert.deepEqual(heard, [2, 3]);
  assert.deepEqual(requests()[0].data, since(3, "f"));
});

test("the position is ahead of the handlers", async (t) => {
  const { page, requests, change } = await joined(t);
  page.on("a", () => page.subscribe({ group: "a", snapshot: true }).catch(() => {}));
  page.on("resync", () => assert.fail());
  change(5);
  change(6);
  assert.deepEqual(requests()[1].data, { group: "a", snapshot: true });
});

test("a page that was made by the server goes on from there", async (t) => {
  const { network, page } = await connected(t);
  const subscribed = page.subscribe({ type: "article", id: 7, since: { epoch: "e", offset: 3 } });
  const [request] = network.last.requests();
  assert.deepEqual(request.data, { type: "article", id: 7, since: { epoch: "e", offset: 3 } });
  const reply = { group: "article-7", epoch: "e", offset: 3, recovered: true, missed: 0 };
  network.last.reply(request, reply);
  assert.deepEqual(await subscribed, reply);
});

test("such a page need not load the state", async (t) => {
  const { network, page } = await connected(t);
  const since = { epoch: "e", offset: 3 };
  const subscribed = page.subscribe({ group: "a", since, snapshot: true });
  assert.deepEqual(network.last.requests()[0].data, { group: "a", since, snapshot: true });
  network.last.reply(network.last.requests()[0], { group: "a", epoch: "e", offset: 3, recovered: true, missed: 0 });
  assert.equal((await subscribed).snapshot, undefined);
  network.last.deliver({ type: "subscription-update", data: { type: "update", group: "a", offset: 4 } });
  page.subscribe({ group: "a", since, snapshot: true }).catch(() => {});
  assert.deepEqual(network.last.requests()[1].data, { group: "a", snapshot: true }, "another part of the page may be too late");
});

test("a snapshot that is asked for comes with the answer, and with every resync once", async (t) => {
  const { network, page, of } = await connected(t);
  const subscribed = page.subscribe({ group: "a", snapshot: true });
  const requests = () => network.last.requests("subscribe");
  assert.deepEqual(requests()[0].data, { group: "a", snapshot: true });
  network.last.reply(requests()[0], { group: "a", epoch: "e", offset: 1, snapshot: { n: 1 } });
  assert.deepEqual((await subscribed).snapshot, { n: 1 });
  network.last.deliver({ type: "subscription-update", data: { type: "resync", group: "a", object: { reason: "rows" }, offset: 2 } });
  assert.deepEqual(of("resync"), []);
  assert.deepEqual(requests()[1].data, { group: "a", snapshot: true });
  network.last.reply(requests()[1], { group: "a", epoch: "e", offset: 2, snapshot: { n: 2 } });
  assert.deepEqual(of("resync"), [{ group: "a", reason: "rows", snapshot: { n: 2 } }]);
});

// ---- sharing

test("subscriptions are counted", async (t) => {
  const { network, page, requests } = await joined(t);
  assert.deepEqual(await page.subscribe({ group: "a" }), { group: "a", epoch: "e", offset: 4 });
  assert.equal(requests().length, 1);
  assert.deepEqual(await page.unsubscribe("a"), { group: "a" });
  assert.equal(network.last.requests("unsubscribe").length, 0);
  const left = page.unsubscribe("a");
  await settled();
  const [request] = network.last.requests("unsubscribe");
  assert.deepEqual(request.data, { group: "a" });
  network.last.reply(request, { group: "a" });
  assert.deepEqual(await left, { group: "a" });
});

test("two ways to ask for one group share it", async (t) => {
  const { network, page } = await connected(t);
  const heard = [];
  page.on("article-7", (_, data) => heard.push(data.offset));
  const subscribed = [page.subscribe({ type: "article", id: 7 }), page.subscribe("article-7")];
  for (const request of network.last.requests()) network.last.reply(request, { group: "article-7", epoch: "e", offset: 0 });
  await Promise.all(subscribed);
  network.last.deliver({ type: "subscription-update", data: { type: "update", group: "article-7", offset: 1 } });
  assert.deepEqual(heard, [1]);
  await page.unsubscribe("article-7");
  assert.equal(network.last.requests("unsubscribe").length, 0);
  page.unsubscribe({ type: "article", id: 7 });
  await settled();
  assert.equal(network.last.requests("unsubscribe").length, 1);
});

test("a group is not left while another name for it is on its way", async (t) => {
  const { network, page } = await connected(t);
  const first = page.subscribe({ type: "article", id: 7 });
  network.last.reply(network.last.requests()[0], { group: "article-7" });
  await first;
  const second = page.subscribe({ slug: "seven" });
  await page.unsubscribe({ type: "article", id: 7 });
  assert.equal(network.last.requests("unsubscribe").length, 0);
  network.last.reply(network.last.requests()[1], { group: "article-7" });
  assert.deepEqual(await second, { group: "article-7" });
  await settled();
  assert.equal(network.last.requests("unsubscribe").length, 0);
});

test("a group that is let go before its answer is left after it", async (t) => {
  const { network, page } = await connected(t);
  page.subscribe("a").catch(() => {});
  page.unsubscribe("a");
  await settled();
  assert.equal(network.last.requests("unsubscribe").length, 0);
  network.last.reply(network.last.requests()[0], { group: "a" });
  await settled();
  assert.equal(network.last.requests("unsubscribe").length, 1);
});

test("a lost connection is in no group", async (t) => {
  const { network, page, again } = await joined(t);
  network.last.drop();
  assert.equal(await page.unsubscribe("a"), undefined);
  await again().catch(() => {});
  assert.deepEqual(network.last.requests(), []);
});

test("a subscription waits for a lost connection", async (t) => {
  const { clock, network, page } = await connected(t, { random: () => 0 });
  const subscribed = page.subscribe("a");
  network.last.drop();
  await clock.run(500);
  network.last.open();
  network.last.reply(network.last.requests()[0], { group: "a" });
  assert.deepEqual(await subscribed, { group: "a" });
});

// ---- refusals

test("a refused subscription rejects", async (t) => {
  const { network, page, of } = await connected(t);
  const subscribed = page.subscribe("secret").catch((error) => error);
  network.last.reply(network.last.requests()[0], undefined, "ACCESS_DENIED");
  const error = await subscribed;
  assert.deepEqual([error.code, error.message], ["refused", "ACCESS_DENIED"]);
  assert.deepEqual(of("error"), []);
  assert.equal(page.status, "live");
});

test("a group that is refused after a while is an error event", async (t) => {
  const { reply, again, of } = await joined(t);
  await again();
  reply(undefined, "ACCESS_DENIED");
  await settled();
  assert.deepEqual(of("error").map((e) => [e.code, e.message, e.group]), [["refused", "ACCESS_DENIED", "a"]]);
});

test("what is unavailable for a while is asked again", async (t) => {
  const { clock, page, requests, reply, again } = await joined(t);
  await again();
  for (const error of ["UNAVAILABLE", "internal error"]) {
    reply(undefined, error);
    assert.equal(page.status, "recovering");
    await clock.run(500);
  }
  assert.equal(requests().length, 3);
  reply({ epoch: "e", offset: 4, recovered: true, missed: 0 });
  assert.equal(page.status, "live");
});
