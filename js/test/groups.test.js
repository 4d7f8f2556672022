// Tests of subscriptions: positions, resyncs, sharing, refusals.
import assert from "node:assert/strict";
import { test } from "node:test";
import { connected, settled } from "./support.js";

// subscribedClient returns a client that is subscribed to group a at offset 4 of epoch e,
// and the offsets that its handler receives.
async function subscribedClient(t, reply = { epoch: "e", offset: 4 }) {
  const all = await connected(t, { random: () => 0 });
  const received = [];
  all.client.on("a", (error, data) => received.push(error ?? data.offset ?? data.type));
  const subscribed = all.client.subscribe("a");
  const requests = () => all.network.last.requests("subscribe");
  const reply_ = (data, error) => all.network.last.reply(requests().at(-1), data && { group: "a", ...data }, error);
  const change = (offset, more) =>
    all.network.last.deliver({ type: "subscription-update", data: { type: "update", group: "a", object: { id: 1 }, offset, ...more } });
  const reconnect = async () => {
    all.network.last.drop();
    await all.clock.run(500);
    all.network.last.open();
  };
  reply_(reply);
  await subscribed;
  return { ...all, received, requests, reply: reply_, change, reconnect };
}

const since = (offset, epoch = "e") => ({ group: "a", since: { epoch, offset } });

test("a handler gets null and the data, as in rohrpost-js", async (t) => {
  const { client, change } = await subscribedClient(t);
  const seen = [];
  client.on("a", (...values) => seen.push(values));
  change(5);
  assert.deepEqual(seen, [[null, { type: "update", group: "a", object: { id: 1 }, offset: 5 }]]);
});

test("after reconnecting the client sends its position and delivers no message twice", async (t) => {
  const { received, requests, reply, change, reconnect, of } = await subscribedClient(t);
  change(5);
  change(6);
  change(6);
  change(5);
  await reconnect();
  assert.deepEqual(requests()[0].data, since(6));
  reply({ epoch: "e", offset: 8, recovered: true, missed: 2 });
  change(7);
  change(8);
  change(8);
  change(9);
  assert.deepEqual(received, [5, 6, 7, 8, 9]);
  assert.deepEqual(of("resync"), []);
});

test("a gap in the offsets is requested again", async (t) => {
  const { client, received, requests, reply, change } = await subscribedClient(t);
  change(5);
  change(8);
  change(9);
  assert.equal(client.status, "recovering");
  assert.equal(requests().length, 2);
  assert.deepEqual(requests()[1].data, since(5));
  reply({ epoch: "e", offset: 9, recovered: true, missed: 4 });
  for (const offset of [6, 7, 8, 9, 10]) change(offset);
  assert.deepEqual(received, [5, 6, 7, 8, 9, 10]);
  assert.equal(client.status, "live");
});

for (const reason of ["epoch", "trimmed", "too_far"]) {
  test(`an incomplete replay is a resync: ${reason}`, async (t) => {
    const { client, received, reply, change, reconnect, of } = await subscribedClient(t);
    change(5);
    await reconnect();
    reply({ epoch: "f", offset: 2, recovered: false, reason });
    assert.equal(client.status, "live");
    change(2);
    change(3);
    assert.deepEqual(received, [5, 3]);
    assert.deepEqual(of("resync"), [{ group: "a", reason, snapshot: undefined }]);
  });
}

test("offsets may skip: only a message before it that the page lacks is a gap", async (t) => {
  const { network, client, seen, record } = await connected(t);
  record("a");
  client.subscribe("a");
  const requests = () => network.last.requests();
  network.last.reply(requests()[0], { group: "a", epoch: "e", offset: 57 });
  const change = (offset, prev) => network.last.deliver({ type: "subscription-update", data: { type: "create", group: "a", object: {}, prev, offset } });
  change(90, 57);
  change(91);
  change(120, 60); // all that the page lacks is older than its position
  change(120, 60);
  assert.deepEqual([requests().length, client.status], [1, "live"]);
  change(140, 130);
  assert.deepEqual(requests()[1].data, { group: "a", since: { epoch: "e", offset: 120 } });
  assert.equal(client.status, "recovering");
  network.last.reply(requests()[1], { group: "a", epoch: "e", offset: 140, recovered: true, missed: 2 });
  change(130, 120);
  assert.equal(client.status, "recovering");
  change(140, 130);
  assert.equal(client.status, "live");
  assert.deepEqual(seen.filter(([type]) => type === "a").map(([, , { offset }]) => offset), [90, 91, 120, 130, 140]);
});

test("a position that moves without a message ends no replay", async (t) => {
  const { clock, network, client } = await connected(t, { random: () => 0 });
  client.subscribe("a");
  network.last.reply(network.last.requests()[0], { group: "a", epoch: "e", offset: 57 });
  for (const offset of [90, 90, 95]) {
    network.last.drop();
    await clock.run(500);
    network.last.open();
    network.last.reply(network.last.requests()[0], { group: "a", epoch: "e", offset, recovered: true, missed: 0 });
    assert.equal(client.status, "live");
  }
  assert.equal(network.last.requests()[0].data.since.offset, 90);
});

test("without a history on the server every reconnection is a resync", async (t) => {
  const { received, requests, reply, change, reconnect, of } = await subscribedClient(t, {});
  change();
  change();
  await reconnect();
  assert.deepEqual(requests()[0].data, { group: "a" });
  reply({});
  assert.deepEqual(received, ["update", "update"]);
  assert.deepEqual(of("resync").map((r) => r.reason), ["off"]);
});

test("without a history handlers get once what the server repeats after a reply", async (t) => {
  const { client, network, requests, reply } = await subscribedClient(t, {});
  const [seen, other] = [[], []];
  client.on("a", (_, { object }) => seen.push(object));
  client.on("b", (_, { object }) => other.push(object));
  client.subscribe("b");
  reply({ group: "b" });
  const change = (id, object, group = "a") => network.last.deliver({ id, type: "subscription-update", data: { type: "update", group, object } });
  const watch = client.watch("a");
  change(5e15, { id: 1, n: 1 });
  change(5e15, { id: 1, n: 1 }, "b"); // one message may go to two groups
  reply({ snapshot: [{ id: 1, n: 0 }] });
  client.watch({ slug: "first" }); // the reply names the group
  change(5e15, { id: 1, n: 1 });
  assert.deepEqual([watch.get(1), seen, other], [{ id: 1, n: 1 }, [{ id: 1, n: 1 }], [{ id: 1, n: 1 }]]);
  change(6e15, { id: 1, n: 2 });
  reply({ snapshot: [{ id: 1, n: 1 }] });
  change(6e15, { id: 1, n: 2 });
  change(7e15, { id: 1, n: 3 });
  change(undefined, { id: 1, n: 4 });
  change(undefined, { id: 1, n: 4 });
  assert.equal(requests().length, 4);
  assert.deepEqual([watch.items, seen.map(({ n }) => n)], [[{ id: 1, n: 4 }], [1, 2, 3, 4, 4]]);
});

test("a server that loses or starts its history causes a resync", async (t) => {
  const { requests, reply, reconnect, of } = await subscribedClient(t);
  await reconnect();
  reply({ recovered: false, reason: "off" });
  await reconnect();
  assert.deepEqual(requests()[0].data, { group: "a" });
  reply({ epoch: "g", offset: 0 });
  await reconnect();
  assert.deepEqual(requests()[0].data, since(0, "g"));
  assert.deepEqual(of("resync").map((r) => r.reason), ["off", "epoch"]);
});

test("a resync with an offset is a message and a resync event", async (t) => {
  const { received, change, of } = await subscribedClient(t);
  change(5, { type: "resync", object: { reason: "rows" } });
  change(5, { type: "resync", object: { reason: "rows" } });
  change(6);
  assert.deepEqual(received, [5, 6]);
  assert.deepEqual(of("resync").map((r) => r.reason), ["rows"]);
});

test("after a resync without an offset the next offset may be any", async (t) => {
  const { received, requests, change, of } = await subscribedClient(t);
  change(undefined, { type: "resync", object: { reason: "slow" } });
  change(4);
  change(9);
  change(10);
  assert.deepEqual(received, ["resync", 9, 10]);
  assert.equal(requests().length, 1);
  change(12);
  assert.equal(requests().length, 2, "only the next offset may be any");
  assert.deepEqual(of("resync").map((r) => r.reason), ["slow"]);
});

test("a resync with an epoch moves the position", async (t) => {
  const { received, requests, change, reconnect } = await subscribedClient(t);
  change(2, { type: "resync", object: null, epoch: "f" });
  change(3);
  await reconnect();
  assert.deepEqual(received, [2, 3]);
  assert.deepEqual(requests()[0].data, since(3, "f"));
});

test("a resync with an epoch ends the replay of the old one", async (t) => {
  const { client, reply, change, reconnect } = await subscribedClient(t);
  await reconnect();
  reply({ epoch: "e", offset: 6, recovered: true, missed: 2 });
  assert.equal(client.status, "recovering");
  change(3, { type: "resync", object: { reason: "view" }, epoch: "f" });
  assert.equal(client.status, "live");
  change(4);
  assert.equal(client.status, "live");
});

test("the position moves before the handlers run", async (t) => {
  const { client, requests, change } = await subscribedClient(t);
  client.on("a", () => client.subscribe({ group: "a", snapshot: true }).catch(() => {}));
  client.on("resync", () => assert.fail());
  change(5);
  change(6);
  assert.deepEqual(requests()[1].data, { group: "a", snapshot: true });
});

test("a page rendered on the server resumes from its position", async (t) => {
  const { network, client } = await connected(t);
  const subscribed = client.subscribe({ type: "article", id: 7, since: { epoch: "e", offset: 3 } });
  const [request] = network.last.requests();
  assert.deepEqual(request.data, { type: "article", id: 7, since: { epoch: "e", offset: 3 } });
  const reply = { group: "article-7", epoch: "e", offset: 3, recovered: true, missed: 0 };
  network.last.reply(request, reply);
  assert.deepEqual(await subscribed, reply);
});

test("a page rendered on the server loads no snapshot if the replay is complete", async (t) => {
  const { network, client } = await connected(t);
  const since = { epoch: "e", offset: 3 };
  const subscribed = client.subscribe({ group: "a", since, snapshot: true });
  assert.deepEqual(network.last.requests()[0].data, { group: "a", since, snapshot: true });
  network.last.reply(network.last.requests()[0], { group: "a", epoch: "e", offset: 3, recovered: true, missed: 0 });
  assert.equal((await subscribed).snapshot, undefined);
  network.last.deliver({ type: "subscription-update", data: { type: "update", group: "a", offset: 4 } });
  client.subscribe({ group: "a", since, snapshot: true }).catch(() => {});
  assert.deepEqual(network.last.requests()[1].data, { group: "a", snapshot: true }, "the position of a later subscription is too old");
});

test("a requested snapshot comes with the reply and once with every resync", async (t) => {
  const { network, client, of } = await connected(t, { random: () => 0 });
  const subscribed = client.subscribe({ group: "a", snapshot: true });
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

test("a resync while a snapshot is being read brings the next snapshot", async (t) => {
  const { clock, network, client, of } = await connected(t, { random: () => 0.5 });
  const requests = () => network.last.requests("subscribe");
  const reply = (offset, snapshot) => network.last.reply(requests().at(-1), { group: "a", epoch: "e", offset, snapshot });
  const resync = (offset) => network.last.deliver({ type: "subscription-update", data: { type: "resync", group: "a", object: { reason: "rows" }, offset } });
  client.subscribe({ group: "a", snapshot: true });
  reply(10, { n: 1 });
  resync(11);
  await clock.run(1000);
  resync(12);
  reply(11, { n: 2 });
  resync(12); // after the position of the reply
  assert.deepEqual([of("resync"), client.status], [[], "recovering"]);
  await clock.run(1000);
  assert.equal(requests().length, 3);
  reply(12, { n: 3 });
  await clock.run(2000);
  assert.deepEqual(of("resync"), [{ group: "a", reason: "rows", snapshot: { n: 3 } }]);
  assert.deepEqual([requests().length, client.status], [3, "live"]);
});

// ---- sharing

test("subscriptions are counted", async (t) => {
  const { network, client, requests } = await subscribedClient(t);
  assert.deepEqual(await client.subscribe({ group: "a" }), { group: "a", epoch: "e", offset: 4 });
  assert.equal(requests().length, 1);
  assert.deepEqual(await client.unsubscribe("a"), { group: "a" });
  assert.equal(network.last.requests("unsubscribe").length, 0);
  const left = client.unsubscribe("a");
  await settled();
  const [request] = network.last.requests("unsubscribe");
  assert.deepEqual(request.data, { group: "a" });
  network.last.reply(request, { group: "a" });
  assert.deepEqual(await left, { group: "a" });
});

test("different requests for one group share a subscription", async (t) => {
  const { network, client } = await connected(t);
  const received = [];
  client.on("article-7", (_, data) => received.push(data.offset));
  const subscribed = [client.subscribe({ type: "article", id: 7 }), client.subscribe("article-7")];
  for (const request of network.last.requests()) network.last.reply(request, { group: "article-7", epoch: "e", offset: 0 });
  await Promise.all(subscribed);
  network.last.deliver({ type: "subscription-update", data: { type: "update", group: "article-7", offset: 1 } });
  assert.deepEqual(received, [1]);
  await client.unsubscribe("article-7");
  assert.equal(network.last.requests("unsubscribe").length, 0);
  client.unsubscribe({ type: "article", id: 7 });
  await settled();
  assert.equal(network.last.requests("unsubscribe").length, 1);
});

test("only the server knows what data beside a type and an id means", async (t) => {
  const { network, client } = await connected(t);
  const requests = () => network.last.requests("subscribe");
  client.subscribe({ type: "article", id: 7 });
  network.last.reply(requests()[0], { group: "article-7", epoch: "e", offset: 1 });
  const german = client.subscribe({ type: "article", id: 7, lang: "de" });
  assert.deepEqual(requests()[1].data, { type: "article", id: 7, lang: "de" });
  network.last.reply(requests()[1], { group: "article-7-de", epoch: "e", offset: 2 });
  assert.equal((await german).group, "article-7-de");
  const french = client.subscribe({ type: "article", id: 7, lang: "fr" });
  network.last.reply(requests()[2], { group: "article-7", epoch: "e", offset: 1 });
  assert.equal((await french).group, "article-7");
  assert.equal(client.group({ type: "article", id: 7, lang: "de" }).name, "article-7-de");
  assert.equal(client.group({ type: "article", id: 7, lang: "fr" }).name, "article-7");
});

test("a group is not unsubscribed while another request may name it", async (t) => {
  const { network, client } = await connected(t);
  const first = client.subscribe({ type: "article", id: 7 });
  network.last.reply(network.last.requests()[0], { group: "article-7" });
  await first;
  const second = client.subscribe({ slug: "seven" });
  await client.unsubscribe({ type: "article", id: 7 });
  assert.equal(network.last.requests("unsubscribe").length, 0);
  network.last.reply(network.last.requests()[1], { group: "article-7" });
  assert.deepEqual(await second, { group: "article-7" });
  await settled();
  assert.equal(network.last.requests("unsubscribe").length, 0);
});

test("a subscription cancelled before its reply is unsubscribed after it", async (t) => {
  const { network, client } = await connected(t);
  client.subscribe("a").catch(() => {});
  client.unsubscribe("a");
  await settled();
  assert.equal(network.last.requests("unsubscribe").length, 0);
  network.last.reply(network.last.requests()[0], { group: "a" });
  await settled();
  assert.equal(network.last.requests("unsubscribe").length, 1);
});

test("unsubscribing sends nothing while the connection is lost", async (t) => {
  const { network, client, reconnect } = await subscribedClient(t);
  network.last.drop();
  assert.equal(await client.unsubscribe("a"), undefined);
  await reconnect().catch(() => {});
  assert.deepEqual(network.last.requests(), []);
});

test("a subscription waits for the next connection", async (t) => {
  const { clock, network, client } = await connected(t, { random: () => 0 });
  const subscribed = client.subscribe("a");
  network.last.drop();
  await clock.run(500);
  network.last.open();
  network.last.reply(network.last.requests()[0], { group: "a" });
  assert.deepEqual(await subscribed, { group: "a" });
});

// ---- refusals

test("a refused subscription rejects", async (t) => {
  const { network, client, of } = await connected(t);
  const subscribed = client.subscribe("secret").catch((error) => error);
  network.last.reply(network.last.requests()[0], undefined, "ACCESS_DENIED");
  const error = await subscribed;
  assert.deepEqual([error.code, error.message], ["refused", "ACCESS_DENIED"]);
  assert.deepEqual(of("error"), []);
  assert.equal(client.status, "live");
});

test("a subscription that is refused after reconnecting is an error event", async (t) => {
  const { reply, reconnect, of } = await subscribedClient(t);
  await reconnect();
  reply(undefined, "ACCESS_DENIED");
  await settled();
  assert.deepEqual(of("error").map((e) => [e.code, e.message, e.group]), [["refused", "ACCESS_DENIED", "a"]]);
});

test("an unavailable group is requested again after a delay", async (t) => {
  const { clock, client, requests, reply, reconnect } = await subscribedClient(t);
  await reconnect();
  for (const error of ["UNAVAILABLE", "internal error"]) {
    reply(undefined, error);
    assert.equal(client.status, "recovering");
    await clock.run(500);
  }
  assert.equal(requests().length, 3);
  reply({ epoch: "e", offset: 4, recovered: true, missed: 0 });
  assert.equal(client.status, "live");
});
