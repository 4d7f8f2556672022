// Tests of the connection: status, calls, tokens, reconnecting, close codes, pings.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Rohrpost, RohrpostError } from "../rohrpost.js";
import LegacyName from "../rohrpost.js";
import { connected, settled, setup } from "./support.js";

test("the class is the default export, as in rohrpost-js", () => assert.equal(LegacyName, Rohrpost));

test("the constructor throws on an invalid URL", () => {
  assert.throws(() => new Rohrpost("http://"), TypeError);
});

test("http URLs become ws URLs, and relative URLs are resolved against the page", async (t) => {
  globalThis.location = { href: "https://example.org/board/" };
  t.after(() => delete globalThis.location);
  const { network, client } = setup(t);
  await settled();
  assert.equal(network.last.url, "ws://hub.test/");
  const other = new Rohrpost("/ws/rohrpost/", { WebSocket: network.WebSocket });
  await settled();
  assert.equal(network.last.url, "wss://example.org/ws/rohrpost/");
  other.close();
  client.close();
});

test("an undefined option takes its default", async (t) => {
  const { clock, network, client } = await connected(t, { token: undefined, pingInterval: undefined, timeout: undefined });
  network.last.deliver({});
  const call = client.call("a", undefined, { timeout: undefined });
  await clock.run(1999);
  assert.equal(network.last.sent.length, 2);
  assert.equal(network.last.sent[1].auth_jwt, "");
  await Promise.all([assert.rejects(call, { code: "timeout" }), clock.run(1)]);
});

test("the frames are those of rohrpost-js", async (t) => {
  const { clock, network, client } = await connected(t, { token: "secret" });
  failure(client.subscribe({ type: "collection", id: 52 }));
  failure(client.call("shout", { a: 1 }));
  const [ping, ...rest] = network.last.sent;
  assert.deepEqual(ping, { type: "ping", id: clock.now });
  assert.deepEqual(rest, [
    { type: "subscribe", id: 1, auth_jwt: "secret", data: { type: "collection", id: 52 } },
    { type: "shout", id: 2, auth_jwt: "secret", data: { a: 1 } },
  ]);
});

test("status: connecting, live, stale, recovering, live, closed", async (t) => {
  const { clock, network, client, of } = setup(t);
  client.subscribe("a");
  await settled();
  network.last.open();
  assert.equal(client.status, "connecting");
  network.last.reply(network.last.requests()[0], { group: "a", epoch: "e", offset: 4 });
  assert.equal(client.status, "live");
  network.last.drop();
  assert.equal(client.status, "stale");
  await clock.run(1000);
  network.last.open();
  assert.equal(client.status, "recovering");
  network.last.reply(network.last.requests()[0], { group: "a", epoch: "e", offset: 5, recovered: true, missed: 1 });
  assert.equal(client.status, "recovering", "one message is missing");
  network.last.deliver({ type: "subscription-update", data: { type: "update", group: "a", object: {}, offset: 5 } });
  assert.equal(client.status, "live");
  client.close();
  assert.deepEqual(of("status"), ["live", "stale", "recovering", "live", "closed"]);
});

test("the events are those of rohrpost-js", async (t) => {
  const { clock, network, client, names } = await connected(t);
  network.last.drop();
  await clock.run(1000);
  network.last.open();
  client.close();
  const events = ["open", "closed", "reconnecting", "open", "closed"];
  assert.deepEqual(names().filter((n) => n !== "status"), events);
});

test("once and off", async (t) => {
  const { network, client } = await connected(t);
  const received = [];
  const twice = () => received.push("never");
  client.once("message", () => received.push("once")).on("message", twice).once("message", twice).off("message", twice);
  network.last.deliver({ id: 1 });
  network.last.deliver({ id: 2 });
  assert.deepEqual(received, ["once"]);
});

// ---- calls

const failure = (promise) => promise.then(() => assert.fail("resolved"), (error) => (assert.ok(error instanceof RohrpostError), error));

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
  assert.throws(() => client.watch("i"), { code: "closed" });
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

// ---- reconnecting

test("the delay before an attempt is random, from half a second to twenty seconds", async (t) => {
  for (const [random, delays] of [
    [0, [500, 500, 500, 500, 500, 500, 500]],
    [0.5, [750, 1250, 2250, 4250, 8250, 10_250, 10_250]],
    [0.999999, [1000, 2000, 4000, 8000, 16_000, 20_000, 20_000]],
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

// stubBrowser adds the event targets of a browser to the global object.
function stubBrowser(t) {
  const events = new EventTarget();
  globalThis.document = Object.assign(new EventTarget(), { hidden: false });
  globalThis.addEventListener = (...args) => events.addEventListener(...args);
  t.after(() => {
    delete globalThis.document;
    delete globalThis.addEventListener;
  });
  return { on: (type) => (type === "visibilitychange" ? document : events).dispatchEvent(new Event(type)) };
}

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

test("offline makes the connection stale at once", async (t) => {
  const { on } = stubBrowser(t);
  const { client } = await connected(t);
  on("offline");
  assert.equal(client.status, "stale");
});

// ---- errors

test("an error thrown by a handler is reported and stops no other handler", async (t) => {
  const { network, client, of } = await connected(t);
  const received = [];
  client.on("a", () => {
    throw new Error("oops");
  });
  client.on("a", (_, data) => received.push(data.type));
  client.on("error", () => {
    throw new Error("again");
  });
  const reported = t.mock.method(console, "error", () => {});
  network.last.deliver({ type: "subscription-update", data: { type: "update", group: "a" } });
  network.last.deliver({ type: "subscription-update", data: { type: "delete", group: "a" } });
  assert.deepEqual(received, ["update", "delete"]);
  assert.deepEqual(of("error").map((e) => e.message), ["oops", "oops"]);
  assert.deepEqual(reported.mock.calls.map((c) => c.arguments[0].message), ["again", "again"]);
});

test("errors are logged if no handler for them is registered", async (t) => {
  const { network, client } = await connected(t);
  const reported = t.mock.method(console, "error", () => {});
  const other = new Rohrpost("ws://hub.test/", { WebSocket: network.WebSocket });
  await settled();
  network.last.open();
  network.last.deliver({ error: "Too late." });
  assert.equal(reported.mock.calls[0].arguments[0].message, "Too late.");
  other.close();
  client.close();
});

test("an invalid message is an error event and changes nothing else", async (t) => {
  const { network, client, of } = await connected(t);
  for (const text of ["", "nonsense", "null", "5", "[]", "{}", '{"type":"subscription-update"}', '{"type":"subscription-update","data":{}}']) {
    network.last.deliver(text);
  }
  assert.deepEqual(of("error").map((e) => e.code), Array(4).fill("protocol"));
  assert.equal(client.status, "live");
});
