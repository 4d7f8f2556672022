// Tests of calls and tokens.
import assert from "node:assert/strict";
import { test } from "node:test";
import { connected, failure, settled, setup } from "./support.js";

// ---- calls

test("a call resolves with the data, or rejects with the error", async (t) => {
  const { network, client } = await connected(t);
  const good = client.call("add", [1, 2]);
  const bad = failure(client.call("add", "x"));
  const [first, second] = network.last.requests("add");
  network.last.reply(second, { try: "numbers" }, "No numbers.");
  network.last.reply(first, 3);
  assert.equal(await good, 3);
  const error = await bad;
  assert.deepEqual([error.code, error.message, error.data, error.sent], ["refused", "No numbers.", { try: "numbers" }, true]);
});

test("a call times out after two seconds, or after its own timeout", async (t) => {
  const { clock, network, client, of } = await connected(t);
  const calls = [failure(client.call("a")), failure(client.call("b", null, { timeout: 3000 }))];
  const ends = [];
  calls.forEach((c, i) => c.then((error) => ends.push([i, error.code, error.sent])));
  await clock.run(1999);
  assert.deepEqual(ends, []);
  await clock.run(1);
  assert.deepEqual(ends, [[0, "timeout", true]]);
  await clock.run(1000);
  assert.equal(ends.length, 2);
  for (const request of network.last.requests()) network.last.reply(request, "late");
  assert.deepEqual(of("error"), [], "a late reply is ignored");
});

test("a call made before the connection opens is sent once, or never", async (t) => {
  const { clock, network, client } = setup(t);
  const late = failure(client.call("late"));
  await clock.run(2000);
  const call = client.call("call", 1);
  network.last.open();
  assert.deepEqual(network.last.requests().map((m) => m.type), ["call"]);
  network.last.reply(network.last.requests()[0], 2);
  assert.equal(await call, 2);
  const error = await late;
  assert.deepEqual([error.code, error.sent], ["timeout", false]);
});

test("a call in flight when the connection is lost rejects and is not repeated", async (t) => {
  const { clock, network, client } = await connected(t);
  const call = failure(client.call("pay"));
  network.last.drop();
  const error = await call;
  assert.deepEqual([error.code, error.sent], ["lost", true]);
  await clock.run(1000);
  network.last.open();
  assert.deepEqual(network.last.requests(), []);
});

test("a call with data that cannot be encoded rejects alone", async (t) => {
  const { network, client } = setup(t);
  const bad = client.call("a", 1n).catch((error) => error);
  const good = client.call("b");
  await settled();
  network.last.open();
  assert.ok((await bad) instanceof TypeError);
  network.last.reply(network.last.requests("b")[0], 1);
  assert.equal(await good, 1);
});

test("close rejects everything pending and stops reconnecting", async (t) => {
  const { clock, network, client } = await connected(t);
  const ends = [client.call("a"), client.subscribe("g")].map(failure);
  client.close();
  client.close();
  ends.push(failure(client.call("b")), failure(client.subscribe("h")));
  assert.deepEqual((await Promise.all(ends)).map((e) => e.code), ["closed", "closed", "closed", "closed"]);
  const watch = client.watch("i");
  assert.deepEqual([watch.status, watch.error.code], ["closed", "closed"], "a component that watches does not break");
  await assert.rejects(watch.ready, { code: "closed" });
  assert.deepEqual([client.group("i").status, client.group("i").error.code], ["closed", "closed"]);
  await clock.run(60_000);
  assert.equal(network.sockets.length, 1);
  assert.ok(network.last.closed);
});

// ---- tokens

test("the token function is called once before the connection", async (t) => {
  let asked = 0;
  const { network, client } = await connected(t, { token: async () => `t${++asked}` });
  failure(client.call("a"));
  failure(client.call("b"));
  assert.deepEqual(network.last.requests().map((m) => m.auth_jwt), ["t1", "t1"]);
});

test("a refused token is renewed once for all refused requests", async (t) => {
  let asked = 0;
  const { network, client } = await connected(t, { token: async () => `t${++asked}` });
  const ends = [client.call("a"), client.subscribe("g"), client.call("b")];
  for (const request of network.last.requests()) network.last.reply(request, undefined, "ACCESS_DENIED");
  await settled();
  const again = network.last.requests().slice(3);
  assert.deepEqual(again.map((m) => [m.type, m.auth_jwt]), [["a", "t2"], ["subscribe", "t2"], ["b", "t2"]]);
  again.forEach((request, i) => network.last.reply(request, { group: "g", i }));
  assert.deepEqual((await Promise.all(ends)).map((data) => data.i), [0, 1, 2]);
  assert.equal(asked, 2);
});

test("a request that is refused with the new token too rejects", async (t) => {
  let asked = 0;
  const { network, client } = await connected(t, { token: () => `t${++asked}` });
  const ends = [client.call("a"), client.subscribe("g")].map(failure);
  for (const n of [0, 2]) {
    for (const request of network.last.requests().slice(n)) network.last.reply(request, undefined, "ACCESS_DENIED");
    await settled();
  }
  assert.deepEqual((await Promise.all(ends)).map((e) => [e.code, e.message]), Array(2).fill(["refused", "ACCESS_DENIED"]));
  assert.equal(network.last.requests().length, 4);
});

test("a refused request is not repeated with the same token", async (t) => {
  for (const token of ["fixed", () => "fixed", undefined]) {
    const { network, client } = await connected(t, { token });
    const call = failure(client.call("a"));
    network.last.reply(network.last.requests()[0], undefined, "ACCESS_DENIED");
    assert.equal((await call).code, "refused");
    assert.equal(network.last.requests().length, 1);
    client.close();
  }
});

test("the connection is lost while the token is being renewed", async (t) => {
  let tell;
  let asked = 0;
  const token = () => (asked++ ? new Promise((resolve) => (tell = resolve)) : "t1");
  const { clock, network, client } = await connected(t, { token });
  const call = failure(client.call("a"));
  const subscribed = client.subscribe("g");
  for (const request of network.last.requests()) network.last.reply(request, undefined, "ACCESS_DENIED");
  await settled();
  network.last.drop();
  tell("t2");
  assert.equal((await call).code, "lost");
  await clock.run(1000);
  network.last.open();
  const [again] = network.last.requests();
  assert.deepEqual([again.type, again.auth_jwt], ["subscribe", "t2"]);
  network.last.reply(again, { group: "g" });
  assert.deepEqual(await subscribed, { group: "g" });
});

test("a token function that fails or hangs is called again", async (t) => {
  let asked = 0;
  const token = () => [() => Promise.reject(new Error("offline")), () => new Promise(() => {}), () => "t3"][asked++]();
  const { clock, network, of } = setup(t, { token, random: () => 0 });
  await settled();
  assert.equal(of("error")[0].message, "offline");
  await clock.run(500);
  assert.equal(asked, 2);
  await clock.run(10_500);
  assert.equal(asked, 3);
  assert.equal(network.sockets.length, 1);
});
