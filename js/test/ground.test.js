// Tests of hello, heartbeats, errors with a code, the object of a group, plain and
// durable messages.
import assert from "node:assert/strict";
import { test } from "node:test";
import { board, connected, failure, settled, setup } from "./support.js";

// ---- hello and heartbeat

test("hello is the first request and is sent together with the first subscriptions", async (t) => {
  const { network, client } = setup(t, { token: "secret" });
  failure(client.subscribe("a"));
  await settled();
  const all = [];
  network.last.onsent = (message) => all.push(message.type);
  network.last.open();
  assert.deepEqual(all, ["rohrpost:hello", "subscribe", "ping"]);
  const { id, data, ...more } = network.last.hello;
  assert.deepEqual([id, more], [0, { type: "rohrpost:hello" }]);
  assert.match(data.page, /^[a-z0-9]{8,}$/);
  assert.deepEqual({ ...data, page: "" }, { version: 1, token: "secret", page: "", wants: ["unsubscribed", "parts", "expiring", "status"] });
});

test("a page has one id on all its connections, and no token is no key", async (t) => {
  const { clock, network } = await connected(t, { random: () => 0.5 });
  const [first] = network.sockets;
  assert.ok(!("token" in first.hello.data));
  network.last.drop();
  await clock.run(1000);
  network.last.open();
  assert.equal(network.last.hello.data.page, first.hello.data.page);
});

test("a hub without hello is pinged, a hub with hello gets heartbeats", async (t) => {
  for (const [answer, type] of [
    [(socket) => socket.welcome(), "rohrpost:heartbeat"],
    [(socket) => socket.deliver({ id: 0, type: "rohrpost:hello", error: "No registered handler called 'rohrpost:hello'." }), "ping"],
    [(socket) => socket.deliver({ id: 5e15, type: "hint" }), "ping"],
  ]) {
    const { clock, network, client, of } = await connected(t);
    assert.equal(network.last.sent[0].type, "ping");
    answer(network.last);
    await clock.run(5000);
    assert.equal(network.last.sent.at(-1).type, type);
    assert.deepEqual(of("error"), []);
    assert.equal(client.status, "live");
    client.close();
  }
});

test("heartbeats pass while a call waits", async (t) => {
  const { clock, network, client } = await connected(t);
  network.last.welcome();
  const call = client.call("slow", 1, { timeout: 20_000 });
  for (let n = 0; n < 3; n++) {
    await clock.run(5000);
    network.last.deliver({ id: clock.now, type: "rohrpost:heartbeat" });
  }
  network.last.reply(network.last.requests("slow")[0], "done");
  assert.equal(await call, "done");
});

// ---- errors

test("an error has the code, the content and what the server says about a later try", async (t) => {
  const { network, client } = await connected(t);
  const fail = async (error, info) => {
    const call = failure(client.call("a"));
    network.last.reply(network.last.requests("a").at(-1), undefined, error, info);
    const { code, message, temporary, retryAfter, content } = await call;
    return [code, message, temporary, retryAfter, content];
  };
  assert.deepEqual(await fail("UNAVAILABLE", { code: "unavailable", temporary: true, retry_after: 2 }), ["unavailable", "UNAVAILABLE", true, 2, "UNAVAILABLE"]);
  assert.deepEqual(await fail({ field: "title" }, { code: "application", temporary: false }), ["application", '{"field":"title"}', false, undefined, { field: "title" }]);
  assert.deepEqual(await fail("No."), ["refused", "No.", false, undefined, "No."]);
  for (const text of ["UNAVAILABLE", "The request timed out.", "internal error"]) assert.equal((await fail(text))[2], true, text);
  assert.equal((await fail("internal error in my handler"))[2], false);
});

test("a refused token is renewed whatever the text of the error", async (t) => {
  let asked = 0;
  const { network, client } = await connected(t, { token: () => `t${++asked}` });
  const call = client.call("a");
  network.last.reply(network.last.requests("a")[0], undefined, { no: "access" }, { code: "access_denied", temporary: false });
  await settled();
  network.last.reply(network.last.requests("a")[1], 1);
  assert.equal(await call, 1);
});

// ---- the object of a group

test("a group has one object with name, status and error", async (t) => {
  const { clock, network, client } = await connected(t, { random: () => 0 });
  const group = client.group("a");
  assert.equal(client.group({ group: "a" }), group);
  const seen = [];
  group.on("status", (status) => seen.push(status)).on("error", (error) => seen.push(error.code));
  assert.deepEqual([group.name, group.status, group.error], ["a", "closed", undefined]);
  const subscribed = group.subscribe();
  assert.equal(group.status, "connecting");
  network.last.reply(network.last.requests()[0], { group: "a", epoch: "e", offset: 1 });
  await subscribed;
  network.last.drop();
  await clock.run(500);
  network.last.open();
  network.last.reply(network.last.requests()[0], undefined, "ACCESS_DENIED");
  await settled();
  assert.deepEqual([group.status, group.error.message], ["closed", "ACCESS_DENIED"]);
  assert.deepEqual(seen.filter((s) => s !== "connecting"), ["live", "stale", "recovering", "refused", "closed"]);
  group.subscribe().catch(() => {});
  assert.equal(group.error, undefined, "a new subscription, a new chance");
  assert.equal(client.group("a"), group);
});

test("the object of a group works under each spelling of its name", async (t) => {
  const { network, client } = await connected(t);
  const group = client.group({ type: "article", id: 7 });
  const received = [];
  group.on("update", (object, change) => received.push([object.id, change.offset])).on("change", ({ type }) => received.push(type));
  client.subscribe("article-7");
  group.subscribe();
  assert.equal(group.name, undefined);
  for (const request of network.last.requests()) network.last.reply(request, { group: "article-7", epoch: "e", offset: 0 });
  assert.equal(group.name, "article-7");
  assert.equal(client.group("article-7"), group);
  network.last.deliver({ type: "subscription-update", data: { type: "update", group: "article-7", object: { id: 7 }, offset: 1 } });
  assert.deepEqual(received, ["update", [7, 1]]);
});

test("unsubscribe of the group ends its status, not its object", async (t) => {
  const { network, client } = await connected(t);
  const group = client.group("a");
  const subscribed = group.subscribe();
  network.last.reply(network.last.requests()[0], { group: "a" });
  await subscribed;
  group.unsubscribe().catch(() => {});
  await settled();
  assert.equal(group.status, "closed");
  assert.equal(client.group("a"), group);
});

// ---- messages

test("a plain message arrives at its group by its type", async (t) => {
  const { network, client } = await connected(t);
  client.subscribe("a");
  network.last.reply(network.last.requests()[0], { group: "a" });
  const received = [];
  client.group("a").on("hint", (data) => received.push(data));
  client.group("b").on("hint", () => assert.fail());
  network.last.deliver({ id: 5e15, type: "hint", data: { text: "soon" }, group: "a" });
  network.last.deliver({ id: 5e15, type: "hint", data: { text: "raw" } });
  network.last.deliver({ id: 5e15, type: "other", data: 1, group: "a" });
  client.group("a").on("status", () => assert.fail("a message does not look like an event of the group"));
  network.last.deliver({ id: 5e15, type: "status", data: "closed", group: "a" });
  network.last.deliver({ id: 5e15, type: "hint", data: 1, group: "unknown" });
  assert.deepEqual(received, [{ text: "soon" }]);
});

test("a durable message moves the position and changes no item", async (t) => {
  const { client, network, watch, change, clock, requests } = await board(t);
  const comments = [];
  client.group("board").on("comment", (object, { offset }) => comments.push([object.text, offset]));
  change("comment", { text: "hi" });
  change("update", { id: 1, title: "ONE" });
  assert.deepEqual([watch.get(1).title, watch.items.length, watch.status], ["ONE", 2, "live"]);
  assert.deepEqual(comments, [["hi", 11]]);
  network.last.drop();
  await clock.run(500);
  network.last.open();
  assert.deepEqual(requests()[0].data.since, { epoch: "e", offset: 12 });
});

test("the server ends a subscription: the watch closes with a code and keeps nothing", async (t) => {
  const { client, network, watch, of, clock } = await board(t);
  await clock.run(100);
  const shown = [];
  watch.subscribe((items) => shown.push(items.length));
  const group = client.group("board");
  network.last.deliver({ id: 5e15, type: "subscription-update", data: { type: "unsubscribed", group: "board", object: { reason: "left" } } });
  assert.deepEqual([watch.status, watch.error.code, watch.error.reason, watch.items], ["closed", "unsubscribed", "left", []]);
  assert.deepEqual(shown, [2, 0]);
  assert.deepEqual([group.status, group.error], ["closed", watch.error]);
  assert.deepEqual(of("error"), [watch.error]);
  await settled();
  assert.equal(network.last.requests("unsubscribe").length, 0, "the server knows");
  assert.equal(client.status, "live");
});

test("a subscription that ends while a request is in flight leaves no membership", async (t) => {
  const { client, network, watch, reply } = await board(t);
  const second = client.watch("board");
  network.last.deliver({ id: 5e15, type: "subscription-update", data: { type: "unsubscribed", group: "board", object: { reason: "left" } } });
  assert.deepEqual([watch.error.code, second.error.code], ["unsubscribed", "unsubscribed"]);
  reply({ offset: 10, snapshot: [] });
  await settled();
  assert.equal(network.last.requests("unsubscribe").length, 1);
});

