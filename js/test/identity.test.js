// Tests of the identity of a connection: its token, what the server takes away, and the
// changes that the page has caused itself.
import assert from "node:assert/strict";
import { test } from "node:test";
import { pageId } from "../rohrpost.js";
import { board, connected, failure, settled, setup } from "./support.js";

// counting returns a token function that returns t1, t2, …
function counting() {
  let asked = 0;
  return () => `t${++asked}`;
}

const tokens = (socket) => socket.requests().map((m) => m.auth_jwt);

test("a hub with a token function gets the token once per connection", async (t) => {
  const { clock, network, client } = await connected(t, { token: "secret" });
  failure(client.call("a"));
  network.last.welcome({ token: true });
  failure(client.call("b"));
  failure(client.subscribe("g"));
  assert.deepEqual(tokens(network.last), ["secret", undefined, undefined], "the first was sent before the reply to hello");
  network.last.drop();
  await clock.run(1000);
  network.last.open();
  assert.equal(network.last.hello.data.token, "secret");
  assert.deepEqual(tokens(network.last), [undefined], "the page knows the hub");
});

test("a hub without a token function gets the token with each request", async (t) => {
  const { network, client } = await connected(t, { token: "secret" });
  network.last.welcome();
  failure(client.call("a"));
  assert.deepEqual(tokens(network.last), ["secret"]);
});

test("a hub that no longer has a token function gets the token with the repeated request", async (t) => {
  const { clock, network, client } = await connected(t, { token: "secret" });
  network.last.welcome({ token: true });
  network.last.drop();
  await clock.run(1000);
  const call = client.call("a");
  network.last.open();
  network.last.welcome();
  network.last.reply(network.last.requests()[0], undefined, "ACCESS_DENIED");
  await settled();
  network.last.reply(network.last.requests()[1], 1);
  assert.deepEqual([await call, ...tokens(network.last)], [1, undefined, "secret"]);
});

test("128 groups with a large token send little before the reply to hello, and no token after it", async (t) => {
  const { network, client } = setup(t, { token: "x".repeat(4096) });
  const bytes = () => network.last.requests().reduce((sum, m) => sum + JSON.stringify(m).length, 0);
  for (let n = 0; n < 128; n++) client.watch(`group-${n}`);
  await settled();
  network.last.open();
  assert.ok(network.last.requests().length > 1, "the first groups do not wait");
  assert.ok(bytes() < 17_000, `${bytes()} bytes`);
  network.last.welcome({ token: true });
  assert.deepEqual(network.last.requests("subscribe").map((m) => m.data.group), Array.from({ length: 128 }, (_, n) => `group-${n}`));
  assert.ok(bytes() < 40_000, `${bytes()} bytes`);
});

test("groups that wait for the reply to hello are subscribed on the next connection, and once", async (t) => {
  const { clock, network, client, of } = setup(t, { token: "x".repeat(10_000) });
  for (const name of ["a", "b", "c"]) client.watch(name);
  await settled();
  network.last.open();
  assert.equal(network.last.requests().length, 1);
  network.last.drop();
  await clock.run(1000);
  network.last.open();
  network.last.welcome();
  assert.deepEqual(network.last.requests().map((m) => m.data.group), ["a", "b", "c"]);
  client.close();
  assert.deepEqual(of("error"), []);
});

test("a token is renewed in place, by another hello", async (t) => {
  const { clock, network } = await connected(t, { token: counting(), pingInterval: 0 });
  network.last.welcome({ token: true, expires_in: 100 });
  await clock.run(80_000);
  assert.equal(network.last.hello.data.token, "t2");
  network.last.welcome({ token: true, expires_in: 100 });
  await clock.run(80_000);
  assert.equal(network.last.hello.data.token, "t3");
  assert.equal(network.sockets.length, 1);
});

test("a token that comes late replaces no newer one", async (t) => {
  const asked = [];
  const { clock, network } = setup(t, { token: () => new Promise((resolve) => asked.push(resolve)), pingInterval: 0, random: () => 0 });
  await clock.run(10_500);
  assert.equal(asked.length, 2, "the first attempt has ended");
  asked[1]("new");
  await settled();
  network.last.open();
  network.last.welcome({ token: true });
  asked[0]("old");
  await settled();
  assert.equal(network.last.hello.data.token, "new");
  network.last.deliver({ id: 5e15, type: "rohrpost:expiring", data: { expires_in: 30 } });
  await clock.run(0);
  asked[2]("newer");
  await settled();
  assert.equal(network.last.hello.data.token, "newer");
});

for (const pingInterval of [0, 5000]) {
  test(`a rejected token is fetched again once, until a connection has proved to work: pingInterval ${pingInterval}`, async (t) => {
    const { clock, network, client } = await connected(t, { token: counting(), pingInterval });
    const reject = async () => {
      network.last.drop(4401, "identity rejected");
      await clock.run(0);
      if (client.status !== "closed") network.last.open();
      return [network.last.hello.data.token, client.status];
    };
    assert.deepEqual(await reject(), ["t2", "live"]);
    network.last.welcome({ token: true });
    await clock.run(5000);
    assert.deepEqual(await reject(), ["t3", "live"]);
    assert.deepEqual(await reject(), ["t3", "closed"]);
  });
}

test("a token function that returns the same token causes no hello", async (t) => {
  const { clock, network } = await connected(t, { token: () => "fixed", pingInterval: 0 });
  network.last.welcome({ token: true, expires_in: 100 });
  const all = [];
  network.last.onsent = (message) => all.push(message.type);
  await clock.run(100_000);
  assert.deepEqual(all, []);
});

test("a notice that the identity expires renews the token at once", async (t) => {
  const { clock, network, of } = await connected(t, { token: counting(), pingInterval: 0 });
  network.last.welcome({ token: true });
  network.last.deliver({ id: 5e15, type: "rohrpost:expiring", data: { expires_in: 30 } });
  await clock.run(0);
  assert.equal(network.last.hello.data.token, "t2");
  assert.deepEqual(of("error"), []);
});

test("a request that is refused for its token is repeated after the hello with the new one", async (t) => {
  const { network, client } = await connected(t, { token: counting() });
  network.last.welcome({ token: true });
  const all = [];
  network.last.onsent = (message) => all.push([message.type, message.data?.token]);
  const calls = [client.call("a"), client.call("b")];
  for (const request of network.last.requests()) network.last.reply(request, undefined, "ACCESS_DENIED", { code: "access_denied", temporary: false });
  await settled();
  assert.deepEqual(all.slice(2), [["rohrpost:hello", "t2"], ["a", undefined], ["b", undefined]]);
  network.last.requests().slice(2).forEach((request, i) => network.last.reply(request, i));
  assert.deepEqual(await Promise.all(calls), [0, 1]);
});

test("an identity of another user is final at the first hello, and a new connection after a renewal", async (t) => {
  const first = await connected(t, { token: "other" });
  first.network.last.drop(4403, "other identity");
  assert.deepEqual([first.client.status, first.of("error")[0].close], ["closed", 4403]);
  first.client.close();

  const { clock, network, client } = await connected(t, { token: counting() });
  network.last.welcome({ token: true });
  network.last.deliver({ id: 5e15, type: "rohrpost:expiring", data: { expires_in: 30 } });
  await clock.run(0);
  network.last.drop(4001, "other identity");
  await clock.run(0);
  network.last.open();
  assert.deepEqual([network.last.hello.data.token, client.status], ["t2", "live"]);
});

test("a hub that cannot decide about a token is sent hello again, and the token with each request meanwhile", async (t) => {
  const { clock, network, client } = await connected(t, { token: "secret", pingInterval: 0 });
  network.last.welcome({ token: true });
  network.last.drop();
  await clock.run(1000);
  const call = client.call("a", 1, { timeout: 60_000 });
  network.last.open();
  const hellos = [];
  network.last.onsent = (message) => message.type === "rohrpost:hello" && hellos.push(clock.now);
  const unavailable = { error: "UNAVAILABLE", error_info: { code: "unavailable", temporary: true, retry_after: 3 } };
  network.last.deliver({ id: 0, type: "rohrpost:hello", ...unavailable });
  network.last.reply(network.last.requests()[0], undefined, "ACCESS_DENIED");
  await settled();
  assert.deepEqual(tokens(network.last), [undefined, "secret"]);
  await clock.run(2999);
  assert.equal(hellos.length, 0);
  await clock.run(1001);
  assert.equal(hellos.length, 1);
  network.last.welcome({ token: true });
  failure(client.call("b"));
  assert.equal(tokens(network.last)[2], undefined);
  network.last.reply(network.last.requests()[1], 1);
  assert.equal(await call, 1);
  await clock.run(10_000);
  assert.equal(hellos.length, 1);
});

test("a token that is renewed while hello waits for its reply is sent by another hello", async (t) => {
  const { network, client } = await connected(t, { token: counting() });
  const hellos = [];
  network.last.onsent = (message) => message.type === "rohrpost:hello" && hellos.push(message.data.token);
  failure(client.call("a"));
  network.last.reply(network.last.requests()[0], undefined, "ACCESS_DENIED");
  await settled();
  assert.deepEqual([hellos, tokens(network.last)], [[], ["t1", "t2"]]);
  network.last.welcome({ token: true });
  assert.deepEqual(hellos, ["t2"]);
});

test("4029 is temporary, and its retry_after is obeyed", async (t) => {
  const { clock, network, client, of } = await connected(t);
  network.last.drop(4029, "too many messages; retry_after=7");
  await clock.run(6999);
  assert.deepEqual([network.sockets.length, client.status], [1, "stale"]);
  await clock.run(3501);
  assert.equal(network.sockets.length, 2);
  assert.deepEqual(of("error"), []);
});

test("errors without an id are events with their code", async (t) => {
  const { network, client, of } = await connected(t);
  network.last.deliver({ error: "Too many errors.", error_info: { code: "too_many_errors", temporary: true, retry_after: 2 } });
  const [error] = of("error");
  assert.deepEqual([error.code, error.temporary, error.retryAfter, client.status], ["too_many_errors", true, 2, "live"]);
});

// ---- revoked

test("after a revoke with a request in flight the position is gone", async (t) => {
  const { client, network, watch, reply, requests } = await board(t);
  client.watch("board");
  network.last.deliver({ id: 5e15, type: "subscription-update", data: { type: "unsubscribed", group: "board", object: { reason: "revoked" } } });
  assert.deepEqual([watch.status, watch.error.reason, watch.items], ["closed", "revoked", []]);
  const again = client.watch("board"); // the user may be admitted again
  reply({ offset: 11, snapshot: [{ id: 3 }] });
  assert.deepEqual([again.items, again.status, requests().length], [[{ id: 3 }], "live", 2]);
});

test("after a revoke the replay of a request in flight is for no new watch", async (t) => {
  const { client, network, change, reply, requests } = await board(t);
  change("create", { id: 4, title: "" }, 14); // a gap
  assert.equal(requests().at(-1).data.since.offset, 10);
  network.last.deliver({ id: 5e15, type: "subscription-update", data: { type: "unsubscribed", group: "board", object: { reason: "revoked" } } });
  const again = client.watch("board");
  reply({ offset: 14, recovered: true, missed: 1 });
  change("create", { id: 5, title: "" }, 14);
  assert.deepEqual([again.items, again.status, requests().at(-1).data.since], [[], "connecting", undefined]);
  reply({ offset: 14, snapshot: [{ id: 3 }] });
  assert.deepEqual([again.items, again.status], [[{ id: 3 }], "live"]);
});

for (const reason of ["revoked", "resync", "view"]) {
  test(`a resume that is not recovered, reason ${reason}, loads the snapshot`, async (t) => {
    const { clock, network, watch, reply, of } = await board(t);
    network.last.drop();
    await clock.run(500);
    network.last.open();
    reply({ offset: 20, recovered: false, reason, snapshot: [{ id: 3 }] });
    assert.deepEqual([watch.items, watch.status], [[{ id: 3 }], "live"]);
    assert.deepEqual(of("resync").map((r) => r.reason), [reason]);
  });
}

test("a view that changes loads its snapshot, and its changes follow", async (t) => {
  const { clock, network, watch, requests, reply, of } = await board(t);
  const deliver = (data) => network.last.deliver({ type: "subscription-update", data: { group: "board", ...data } });
  deliver({ type: "resync", object: { reason: "view", spread: 0 }, epoch: "e~guests00", offset: 3 });
  assert.deepEqual([requests().length, requests()[1].data.since, watch.status], [2, undefined, "recovering"]);
  deliver({ type: "create", object: { id: 4, title: "four" }, offset: 4 });
  reply({ epoch: "e~guests00", offset: 4, snapshot: [{ id: 2 }, { id: 4 }] });
  assert.deepEqual([watch.items, watch.status], [[{ id: 2 }, { id: 4 }], "live"]);
  assert.deepEqual(of("resync").map(({ reason }) => reason), ["view"]);
  network.last.drop();
  await clock.run(500);
  network.last.open();
  assert.deepEqual(requests()[0].data.since, { epoch: "e~guests00", offset: 4 });
});

// ---- the page's own changes

test("changes of this page say so", async (t) => {
  const { client, network, watch, clock } = await board(t);
  await clock.run(100);
  const [shown, heard] = [[], []];
  watch.subscribe((_, changes) => shown.push(...changes.map(({ self }) => self)));
  client.on("board", (_, { self }) => heard.push(self));
  let offset = 10;
  const create = (origin) => network.last.deliver({ type: "subscription-update", data: { type: "create", group: "board", object: { id: ++offset, title: "" }, origin, offset } });
  create(pageId);
  create("another");
  create(undefined);
  create(`!${pageId}`);
  create("!another");
  await clock.run(100);
  assert.equal(watch.items.length, 7, "its items are true, whoever skips handlers");
  assert.deepEqual(shown, [true, false, undefined, true, false]);
  assert.deepEqual(heard, [true, false, undefined, false]);
  assert.equal(client.status, "live");
});

test("a message to the others does not reach the handlers of this page", async (t) => {
  const { client, network } = await board(t);
  const heard = [];
  client.group("board").on("typing", (data) => heard.push(data));
  for (const [data, origin] of [[1, `!${pageId}`], [2, "!another"], [3, undefined]]) {
    network.last.deliver({ id: 5e15, type: "typing", data, group: "board", origin });
  }
  assert.deepEqual(heard, [2, 3]);
});

// ---- a hub that does not reach its broker

test("a hub that may lack changes makes the page stale", async (t) => {
  const { client, network, watch, of } = await board(t);
  const tell = (status) => network.last.deliver({ id: 5e15, type: "rohrpost:status", data: { status } });
  const all = () => [client.status, watch.status, client.group("board").status];
  tell("stale");
  assert.deepEqual(all(), ["stale", "stale", "stale"]);
  tell("stale");
  tell("live");
  assert.deepEqual(all(), ["live", "live", "live"]);
  assert.deepEqual(of("status"), ["live", "stale", "live"]);
});

test("the next connection is another hub", async (t) => {
  const { clock, client, network, reply } = await board(t);
  network.last.deliver({ id: 5e15, type: "rohrpost:status", data: { status: "stale" } });
  network.last.drop();
  await clock.run(500);
  network.last.open();
  reply({ offset: 10, recovered: true, missed: 0 });
  assert.equal(client.status, "live");
});
