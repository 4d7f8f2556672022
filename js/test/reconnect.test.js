// Tests of reconnecting: delays, close codes, the event "closed", pings.
import assert from "node:assert/strict";
import { test } from "node:test";
import { connected, failure, settled, setup, stubBrowser } from "./support.js";

test("the delay before an attempt is random, from half a second to four seconds", async (t) => {
  for (const [random, delays] of [
    [0, [500, 500, 500, 500, 500, 500, 500]],
    [0.5, [750, 1250, 2250, 2250, 2250, 2250, 2250]],
    [0.999999, [1000, 2000, 4000, 4000, 4000, 4000, 4000]],
  ]) {
    const { clock, network, client } = setup(t, { random: () => random });
    await settled();
    for (const delay of delays) {
      network.last.drop();
      assert.equal(Math.round(clock.next), delay);
      await clock.run(delay);
    }
    assert.equal(network.sockets.length, delays.length + 1);
    client.close();
  }
});

test("a connection that answers a ping resets the backoff", async (t) => {
  const { clock, network } = setup(t, { random: () => 0.999999 });
  await settled();
  network.last.drop();
  await clock.run(1000);
  network.last.drop();
  await clock.run(2000);
  network.last.open();
  network.last.deliver({ type: "pong", id: 1 });
  await clock.run(5000);
  network.last.drop();
  assert.equal(Math.round(clock.next), 1000);
});

test("close codes", async (t) => {
  const never = [1002, 1003, 1007, 1008, 1009, 1010, 4400, 4401, 4499];
  const again = [1000, 1001, 1005, 1006, 1011, 1012, 1013, 1015, 3000, 4000, 4001, 4399, 4500, 4999];
  for (const code of never) {
    const { clock, network, client, of, names } = await connected(t);
    const waiting = failure(client.subscribe("a"));
    network.last.drop(code, "why");
    assert.equal(client.status, "closed", code);
    assert.equal((await waiting).code, "closed");
    const [error] = of("error");
    assert.deepEqual([error.code, error.close], ["closed", code]);
    assert.match(error.message, /why/);
    assert.deepEqual(names().filter((n) => n !== "status"), ["open", "closed", "error"], code);
    await clock.run(60_000);
    assert.equal(network.sockets.length, 1);
  }
  for (const code of again) {
    const { clock, network, client } = await connected(t, { random: () => 0 });
    network.last.drop(code);
    assert.equal(client.status, "stale", code);
    assert.equal(clock.next, 500, code);
    client.close();
  }
});

test("a slow client reconnects at once the first time, and after a delay the second time", async (t) => {
  const { clock, network } = await connected(t, { random: () => 0 });
  network.last.drop(4008, "slow consumer");
  await clock.run(0);
  assert.equal(network.sockets.length, 2);
  network.last.open();
  network.last.drop(4008, "slow consumer");
  assert.equal(clock.next, 500);
});

test("retry_after sets the delay, which browser events do not shorten", async (t) => {
  const { on } = stubBrowser(t);
  for (const [code, reason, delay] of [
    [1012, "service restart; retry_after=7", 7000],
    [4008, "retry_after=0.5 please", 500],
    [1013, "retry_after=99999999999", 3_600_000],
  ]) {
    const { clock, network, client } = await connected(t);
    network.last.drop(code, reason);
    on("online");
    on("visibilitychange");
    assert.equal(clock.next, delay);
    await clock.run(delay);
    assert.equal(network.sockets.length, 2);
    client.close();
  }
});

test("the client fetches a new token after its identity has expired", async (t) => {
  let asked = 0;
  const { clock, network, client } = await connected(t, { token: async () => `t${++asked}` });
  network.last.drop(4001, "identity expired");
  await clock.run(1000);
  network.last.open();
  failure(client.call("a"));
  assert.equal(network.last.requests()[0].auth_jwt, "t2");
});

// ---- the event "closed"

const connectionEvents = (names) => names().filter((name) => ["open", "closed", "reconnecting"].includes(name));

for (const [how, lose] of [
  ["the server closes it", ({ network }) => network.last.drop()],
  ["no frame arrives", ({ clock }) => clock.run(5000)],
  ["the browser goes offline", (_, on) => on("offline")],
]) {
  test(`a connection that opened and was lost emits closed once, then reconnecting: ${how}`, async (t) => {
    const { on } = stubBrowser(t);
    const all = await connected(t, { random: () => 0 });
    const { clock, network, names } = all;
    await lose(all, on);
    network.sockets[0].client.onclose({ code: 1006 }); // the browser may notice the loss late
    assert.deepEqual(connectionEvents(names), ["open", "closed"]);
    await clock.run(500);
    assert.deepEqual(connectionEvents(names), ["open", "closed", "reconnecting"]);
  });
}

for (const [how, options, fail] of [
  ["the server refuses", {}, ({ network }) => network.last.drop()],
  ["nothing answers", {}, ({ clock }) => clock.run(10_000)],
  ["no token", { token: () => Promise.reject(new Error("offline")) }, () => {}],
]) {
  test(`three failed attempts emit reconnecting each and never closed: ${how}`, async (t) => {
    const all = setup(t, { random: () => 0, ...options });
    await settled();
    for (let attempt = 1; attempt <= 3; attempt++) {
      await fail(all);
      await all.clock.run(500);
      assert.deepEqual(connectionEvents(all.names), Array(attempt).fill("reconnecting"));
    }
    all.client.close();
    assert.deepEqual(connectionEvents(all.names), Array(3).fill("reconnecting"), "no connection was open");
    assert.deepEqual(all.of("status"), ["closed"]);
  });
}

test("failed attempts after a lost connection add no closed", async (t) => {
  const { clock, network, client, names, of } = await connected(t, { random: () => 0 });
  for (let n = 0; n < 3; n++) {
    network.last.drop();
    await clock.run(500);
  }
  client.close();
  assert.deepEqual(connectionEvents(names), ["open", "closed", ...Array(3).fill("reconnecting")]);
  assert.deepEqual(of("status"), ["live", "stale", "closed"]);
});

test("close emits closed once and sets the status closed", async (t) => {
  const { network, client, names, of } = await connected(t);
  client.close();
  client.close();
  network.last.client.onclose({ code: 1000 });
  assert.deepEqual(connectionEvents(names), ["open", "closed"]);
  assert.equal(client.status, "closed");
  assert.deepEqual(of("status"), ["live", "closed"]);
});

test("close called by a handler of the loss emits closed once", async (t) => {
  const { network, client, names } = await connected(t);
  client.on("status", (status) => status === "stale" && client.close());
  network.last.drop();
  assert.deepEqual(connectionEvents(names), ["open", "closed"]);
  assert.equal(client.status, "closed");
});

test("close called by a handler of a failed attempt ends the reconnecting", async (t) => {
  const { clock, client, names } = setup(t, { token: () => Promise.reject(new Error("offline")) });
  client.on("error", () => client.close());
  await clock.run(60_000);
  assert.deepEqual(names(), ["error", "status"]);
  assert.equal(client.status, "closed");
});

test("a permanent close code emits closed once and sets the status closed", async (t) => {
  const { clock, network, client, names } = await connected(t);
  network.last.drop(4403, "forbidden");
  client.close();
  await clock.run(60_000);
  assert.deepEqual(connectionEvents(names), ["open", "closed"]);
  assert.equal(client.status, "closed");
});

// ---- pings

test("a connection without a frame for one ping interval is lost", async (t) => {
  const { clock, network, client } = await connected(t, { random: () => 0 });
  const [first] = network.sockets;
  network.last.deliver({ type: "pong", id: 1 });
  await clock.run(5000);
  assert.equal(client.status, "live");
  assert.equal(first.sent.filter((m) => m.type === "ping").length, 2);
  await clock.run(5000);
  assert.equal(client.status, "stale");
  assert.ok(first.closed);
  await clock.run(500);
  assert.equal(network.sockets.length, 2);
  first.client.onclose({ code: 1006 });
  first.client.onmessage({ data: "{}" });
  network.last.open();
  assert.equal(client.status, "live");
});

test("any frame keeps the connection alive", async (t) => {
  const { clock, network, client } = await connected(t, { pingInterval: 1000 });
  for (let n = 0; n < 10; n++) {
    network.last.deliver({ id: 2 ** 52, type: "hint" });
    await clock.run(1000);
  }
  assert.equal(client.status, "live");
  await clock.run(1000);
  assert.equal(client.status, "stale");
});

test("an attempt that does not open in ten seconds fails", async (t) => {
  const { clock, network } = setup(t, { random: () => 0 });
  await clock.run(10_499);
  assert.equal(network.sockets.length, 1);
  await clock.run(1);
  assert.equal(network.sockets.length, 2);
  assert.ok(network.sockets[0].closed);
});

for (const type of ["online", "visibilitychange"]) {
  test(`${type} starts the next attempt at once`, async (t) => {
    const { on } = stubBrowser(t);
    const { network, client } = await connected(t);
    network.last.drop();
    if (type === "visibilitychange") {
      document.hidden = true;
      on(type);
      await settled();
      assert.equal(network.sockets.length, 1, "a hidden page waits");
      document.hidden = false;
    }
    on(type);
    await settled();
    assert.equal(network.sockets.length, 2);
    on(type);
    await settled();
    assert.equal(network.sockets.length, 2, "an attempt is in progress");
    client.close();
    on(type);
    await settled();
    assert.equal(network.sockets.length, 2);
  });

  test(`${type} pings an open connection at once`, async (t) => {
    const { on } = stubBrowser(t);
    const { clock, network, client } = await connected(t);
    await clock.run(1000);
    network.last.deliver({ type: "pong", id: 1 });
    on(type);
    assert.equal(network.last.sent.filter((m) => m.type === "ping").length, 2);
    await clock.run(1000);
    network.last.deliver({ type: "pong", id: 2 });
    await clock.run(1000);
    assert.equal(client.status, "live");
    on(type);
    await clock.run(2000);
    assert.equal(client.status, "stale");
  });
}

test("an event abandons an attempt that hangs, also after the clock was set back", async (t) => {
  const { on } = stubBrowser(t);
  const { clock, network } = setup(t, { random: () => 0 });
  await clock.run(500);
  clock.wrong = -3_600_000;
  on("online");
  await clock.run(999);
  assert.equal(network.sockets.length, 1);
  await clock.run(1);
  assert.equal(network.sockets.length, 2);
  await clock.run(1000);
  on("online");
  await settled();
  assert.equal(network.sockets.length, 3, "it was old enough");
});

test("without heartbeats a slow client reconnects at once if its connection has lasted", async (t) => {
  const { clock, network } = await connected(t, { pingInterval: 0, random: () => 0 });
  const drop = () => network.last.drop(4008, "slow consumer");
  drop();
  await clock.run(0);
  network.last.open();
  drop();
  assert.equal(clock.next, 500);
  await clock.run(500);
  network.last.open();
  await clock.run(5000);
  drop();
  assert.equal(clock.next, 0);
});

test("offline makes the connection stale at once", async (t) => {
  const { on } = stubBrowser(t);
  const { client } = await connected(t);
  on("offline");
  assert.equal(client.status, "stale");
});
