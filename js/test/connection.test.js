// The connection: status, tokens, calls, backoff, close codes, signs of life.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Rohrpost, RohrpostError } from "../rohrpost.js";
import LegacyName from "../rohrpost.js";
import { connected, settled, setup } from "./support.js";

test("the class is the default export, as in rohrpost-js", () => assert.equal(LegacyName, Rohrpost));

test("an invalid URL is an error at once", () => {
  assert.throws(() => new Rohrpost("http://"), TypeError);
});

test("http addresses are those of WebSocket, relative ones the page's own", async (t) => {
  globalThis.location = { href: "https://example.org/board/" };
  t.after(() => delete globalThis.location);
  const { network, page } = setup(t);
  await settled();
  assert.equal(network.last.url, "ws://hub.test/");
  const other = new Rohrpost("/ws/rohrpost/", { WebSocket: network.WebSocket });
  await settled();
  assert.equal(network.last.url, "wss://example.org/ws/rohrpost/");
  other.close();
  page.close();
});

test("what is undefined is the default", async (t) => {
  const { clock, network, page } = await connected(t, { token: undefined, pingInterval: undefined, timeout: undefined });
  network.last.deliver({});
  const call = page.call("a", undefined, { timeout: undefined });
  await clock.run(1999);
  assert.equal(network.last.sent.length, 2);
  assert.equal(network.last.sent[1].auth_jwt, "");
  await Promise.all([assert.rejects(call, { code: "timeout" }), clock.run(1)]);
});

test("frames are those of rohrpost-js", async (t) => {
  const { clock, network, page } = await connected(t, { token: "secret" });
  failure(page.subscribe({ type: "collection", id: 52 }));
  failure(page.call("shout", { a: 1 }));
  const [ping, ...rest] = network.last.sent;
  assert.deepEqual(ping, { type: "ping", id: clock.now });
  assert.deepEqual(rest, [
    { type: "subscribe", id: 1, auth_jwt: "secret", data: { type: "collection", id: 52 } },
    { type: "shout", id: 2, auth_jwt: "secret", data: { a: 1 } },
  ]);
});

test("status: connecting, live, stale, recovering, live, closed", async (t) => {
  const { clock, network, page, of } = setup(t);
  page.subscribe("a");
  await settled();
  network.last.open();
  assert.equal(page.status, "connecting");
  network.last.reply(network.last.requests()[0], { group: "a", epoch: "e", offset: 4 });
  assert.equal(page.status, "live");
  network.last.drop();
  assert.equal(page.status, "stale");
  await clock.run(1000);
  network.last.open();
  assert.equal(page.status, "recovering");
  network.last.reply(network.last.requests()[0], { group: "a", epoch: "e", offset: 5, recovered: true, missed: 1 });
  assert.equal(page.status, "recovering", "one message is missing");
  network.last.deliver({ type: "subscription-update", data: { type: "update", group: "a", object: {}, offset: 5 } });
  assert.equal(page.status, "live");
  page.close();
  assert.deepEqual(of("status"), ["live", "stale", "recovering", "live", "closed"]);
});

test("events are those of rohrpost-js", async (t) => {
  const { clock, network, page, names } = await connected(t);
  network.last.drop();
  await clock.run(1000);
  network.last.open();
  page.close();
  const events = ["open", "closed", "reconnecting", "open", "closed"];
  assert.deepEqual(names().filter((n) => n !== "status"), events);
});

test("once and off", async (t) => {
  const { network, page } = await connected(t);
  const heard = [];
  const twice = () => heard.push("never");
  page.once("message", () => heard.push("once")).on("message", twice).once("message", twice).off("message", twice);
  network.last.deliver({ id: 1 });
  network.last.deliver({ id: 2 });
  assert.deepEqual(heard, ["once"]);
});

// ---- calls

const failure = (promise) => promise.then(() => assert.fail("resolved"), (error) => (assert.ok(error instanceof RohrpostError), error));

test("a call resolves with the data, or rejects with the error", async (t) => {
  const { network, page } = await connected(t);
  const good = page.call("add", [1, 2]);
  const bad = failure(page.call("add", "x"));
  const [first, second] = network.last.requests("add");
  network.last.reply(second, { try: "numbers" }, "No numbers.");
  network.last.reply(first, 3);
  assert.equal(await good, 3);
  const error = await bad;
  assert.deepEqual([error.code, error.message, error.data, error.sent], ["refused", "No numbers.", { try: "numbers" }, true]);
});

test("a call waits two seconds, or as long as it is told", async (t) => {
  const { clock, network, page, of } = await connected(t);
  const calls = [failure(page.call("a")), failure(page.call("b", null, { timeout: 3000 }))];
  const ends = [];
  calls.forEach((c, i) => c.then((error) => ends.push([i, error.code, error.sent])));
  await clock.run(1999);
  assert.deepEqual(ends, []);
  await clock.run(1);
  assert.deepEqual(ends, [[0, "timeout", true]]);
  await clock.run(1000);
  assert.equal(ends.length, 2);
  for (const request of network.last.requests()) network.last.reply(request, "late");
  assert.deepEqual(of("error"), [], "a late answer is nobody's");
});

test("a call that waits for the connection is sent once, or never", async (t) => {
  const { clock, network, page } = setup(t);
  const late = failure(page.call("late"));
  await clock.run(2000);
  const call = page.call("call", 1);
  network.last.open();
  assert.deepEqual(network.last.requests().map((m) => m.type), ["call"]);
  network.last.reply(network.last.requests()[0], 2);
  assert.equal(await call, 2);
  const error = await late;
  assert.deepEqual([error.code, error.sent], ["timeout", false]);
});

test("a call that is under way when the connection is lost is rejected and not repeated", async (t) => {
  const { clock, network, page } = await connected(t);
  const call = failure(page.call("pay"));
  network.last.drop();
  const error = await call;
  assert.deepEqual([error.code, error.sent], ["lost", true]);
  await clock.run(1000);
  network.last.open();
  assert.deepEqual(network.last.requests(), []);
});

test("what cannot be encoded is the caller's error, and nobody else's", async (t) => {
  const { network, page } = setup(t);
  const bad = page.call("a", 1n).catch((error) => error);
  const good = page.call("b");
  await settled();
  network.last.open();
  assert.ok((await bad) instanceof TypeError);
  network.last.reply(network.last.requests("b")[0], 1);
  assert.equal(await good, 1);
});

test("close ends everything", async (t) => {
  const { clock, network, page } = await connected(t);
  const ends = [page.call("a"), page.subscribe("g")].map(failure);
  page.close();
  page.close();
  ends.push(failure(page.call("b")), failure(page.subscribe("h")));
  assert.deepEqual((await Promise.all(ends)).map((e) => e.code), ["closed", "closed", "closed", "closed"]);
  assert.throws(() => page.watch("i"), { code: "closed" });
  await clock.run(60_000);
  assert.equal(network.sockets.length, 1);
  assert.ok(network.last.closed);
});

// ---- tokens

test("a token function is asked once, before the connection", async (t) => {
  let asked = 0;
  const { network, page } = await connected(t, { token: async () => `t${++asked}` });
  failure(page.call("a"));
  failure(page.call("b"));
  assert.deepEqual(network.last.requests().map((m) => m.auth_jwt), ["t1", "t1"]);
});

test("a refused token is asked anew, once for all that were refused", async (t) => {
  let asked = 0;
  const { network, page } = await connected(t, { token: async () => `t${++asked}` });
  const ends = [page.call("a"), page.subscribe("g"), page.call("b")];
  for (const request of network.last.requests()) network.last.reply(request, undefined, "ACCESS_DENIED");
  await settled();
  const again = network.last.requests().slice(3);
  assert.deepEqual(again.map((m) => [m.type, m.auth_jwt]), [["a", "t2"], ["subscribe", "t2"], ["b", "t2"]]);
  again.forEach((request, i) => network.last.reply(request, { group: "g", i }));
  assert.deepEqual((await Promise.all(ends)).map((data) => data.i), [0, 1, 2]);
  assert.equal(asked, 2);
});

test("who is refused with a new token too is refused", async (t) => {
  let asked = 0;
  const { network, page } = await connected(t, { token: () => `t${++asked}` });
  const ends = [page.call("a"), page.subscribe("g")].map(failure);
  for (const n of [0, 2]) {
    for (const request of network.last.requests().slice(n)) network.last.reply(request, undefined, "ACCESS_DENIED");
    await settled();
  }
  assert.deepEqual((await Promise.all(ends)).map((e) => [e.code, e.message]), Array(2).fill(["refused", "ACCESS_DENIED"]));
  assert.equal(network.last.requests().length, 4);
});

test("without another token there is nothing to ask again", async (t) => {
  for (const token of ["fixed", () => "fixed", undefined]) {
    const { network, page } = await connected(t, { token });
    const call = failure(page.call("a"));
    network.last.reply(network.last.requests()[0], undefined, "ACCESS_DENIED");
    assert.equal((await call).code, "refused");
    assert.equal(network.last.requests().length, 1);
    page.close();
  }
});

test("the connection is lost while the token is asked anew", async (t) => {
  let tell;
  let asked = 0;
  const token = () => (asked++ ? new Promise((resolve) => (tell = resolve)) : "t1");
  const { clock, network, page } = await connected(t, { token });
  const call = failure(page.call("a"));
  const subscribed = page.subscribe("g");
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

test("a token function that fails or hangs is asked again", async (t) => {
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

// ---- connecting again

test("attempts are spread from half a second to twenty", async (t) => {
  for (const [random, delays] of [
    [0, [500, 500, 500, 500, 500, 500, 500]],
    [0.5, [750, 1250, 2250, 4250, 8250, 10_250, 10_250]],
    [0.999999, [1000, 2000, 4000, 8000, 16_000, 20_000, 20_000]],
  ]) {
    const { clock, network, page } = setup(t, { random: () => random });
    await settled();
    for (const delay of delays) {
      network.last.drop();
      assert.equal(Math.round(clock.next), delay);
      await clock.run(delay);
    }
    assert.equal(network.sockets.length, delays.length + 1);
    page.close();
  }
});

test("a connection that has lived for an interval forgets the attempts", async (t) => {
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
    const { clock, network, page, of, names } = await connected(t);
    const waiting = failure(page.subscribe("a"));
    network.last.drop(code, "why");
    assert.equal(page.status, "closed", code);
    assert.equal((await waiting).code, "closed");
    const [error] = of("error");
    assert.deepEqual([error.code, error.close], ["closed", code]);
    assert.match(error.message, /why/);
    assert.ok(names().includes("closed"));
    await clock.run(60_000);
    assert.equal(network.sockets.length, 1);
  }
  for (const code of again) {
    const { clock, network, page } = await connected(t, { random: () => 0 });
    network.last.drop(code);
    assert.equal(page.status, "stale", code);
    assert.equal(clock.next, 500, code);
    page.close();
  }
});

test("a slow page comes back at once, the second time it waits", async (t) => {
  const { clock, network } = await connected(t, { random: () => 0 });
  network.last.drop(4008, "slow consumer");
  await clock.run(0);
  assert.equal(network.sockets.length, 2);
  network.last.open();
  network.last.drop(4008, "slow consumer");
  assert.equal(clock.next, 500);
});

test("retry_after delays the next attempt, whatever happens", async (t) => {
  const { on } = stubPage(t);
  for (const [code, reason, delay] of [
    [1012, "service restart; retry_after=7", 7000],
    [4008, "retry_after=0.5 please", 500],
    [1013, "retry_after=99999999999", 3_600_000],
  ]) {
    const { clock, network, page } = await connected(t);
    network.last.drop(code, reason);
    on("online");
    on("visibilitychange");
    assert.equal(clock.next, delay);
    await clock.run(delay);
    assert.equal(network.sockets.length, 2);
    page.close();
  }
});

test("an expired identity asks for a new token before it connects", async (t) => {
  let asked = 0;
  const { clock, network, page } = await connected(t, { token: async () => `t${++asked}` });
  network.last.drop(4001, "identity expired");
  await clock.run(1000);
  network.last.open();
  failure(page.call("a"));
  assert.equal(network.last.requests()[0].auth_jwt, "t2");
});

// ---- signs of life

test("a connection that is silent for an interval is given up", async (t) => {
  const { clock, network, page } = await connected(t, { random: () => 0 });
  const [first] = network.sockets;
  network.last.deliver({ type: "pong", id: 1 });
  await clock.run(5000);
  assert.equal(page.status, "live");
  assert.equal(first.sent.filter((m) => m.type === "ping").length, 2);
  await clock.run(5000);
  assert.equal(page.status, "stale");
  assert.ok(first.closed);
  await clock.run(500);
  assert.equal(network.sockets.length, 2);
  first.page.onclose({ code: 1006 }); // at last
  first.page.onmessage({ data: "{}" });
  network.last.open();
  assert.equal(page.status, "live");
});

test("any message is a sign of life", async (t) => {
  const { clock, network, page } = await connected(t, { pingInterval: 1000 });
  for (let n = 0; n < 10; n++) {
    network.last.deliver({ id: 2 ** 52, type: "hint" });
    await clock.run(1000);
  }
  assert.equal(page.status, "live");
  await clock.run(1000);
  assert.equal(page.status, "stale");
});

test("a connection that does not open is given up", async (t) => {
  const { clock, network } = setup(t, { random: () => 0 });
  await clock.run(10_499);
  assert.equal(network.sockets.length, 1);
  await clock.run(1);
  assert.equal(network.sockets.length, 2);
  assert.ok(network.sockets[0].closed);
});

// stubPage puts the events of a browser into the global object.
function stubPage(t) {
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
  test(`${type} does not wait for the next attempt`, async (t) => {
    const { on } = stubPage(t);
    const { network, page } = await connected(t);
    network.last.drop();
    if (type === "visibilitychange") {
      document.hidden = true;
      on(type);
      await settled();
      assert.equal(network.sockets.length, 1, "a hidden page can wait");
      document.hidden = false;
    }
    on(type);
    await settled();
    assert.equal(network.sockets.length, 2);
    on(type);
    await settled();
    assert.equal(network.sockets.length, 2, "an attempt is under way");
    page.close();
    on(type);
    await settled();
    assert.equal(network.sockets.length, 2);
  });

  test(`${type} finds out at once whether the connection lives`, async (t) => {
    const { on } = stubPage(t);
    const { clock, network, page } = await connected(t);
    await clock.run(1000);
    network.last.deliver({ type: "pong", id: 1 });
    on(type);
    assert.equal(network.last.sent.filter((m) => m.type === "ping").length, 2);
    await clock.run(1000);
    network.last.deliver({ type: "pong", id: 2 });
    await clock.run(1000);
    assert.equal(page.status, "live");
    on(type);
    await clock.run(2000);
    assert.equal(page.status, "stale");
  });
}

test("offline is believed", async (t) => {
  const { on } = stubPage(t);
  const { page } = await connected(t);
  on("offline");
  assert.equal(page.status, "stale");
});

// ---- what goes wrong

test("a handler that throws is reported and disturbs nobody", async (t) => {
  const { network, page, of } = await connected(t);
  const heard = [];
  page.on("a", () => {
    throw new Error("oops");
  });
  page.on("a", (_, data) => heard.push(data.type));
  page.on("error", () => {
    throw new Error("again");
  });
  const complaints = t.mock.method(console, "error", () => {});
  network.last.deliver({ type: "subscription-update", data: { type: "update", group: "a" } });
  network.last.deliver({ type: "subscription-update", data: { type: "delete", group: "a" } });
  assert.deepEqual(heard, ["update", "delete"]);
  assert.deepEqual(of("error").map((e) => e.message), ["oops", "oops"]);
  assert.deepEqual(complaints.mock.calls.map((c) => c.arguments[0].message), ["again", "again"]);
});

test("without a handler for errors they are reported", async (t) => {
  const { network, page } = await connected(t);
  const complaints = t.mock.method(console, "error", () => {});
  const other = new Rohrpost("ws://hub.test/", { WebSocket: network.WebSocket });
  await settled();
  network.last.open();
  network.last.deliver({ error: "Too late." });
  assert.equal(complaints.mock.calls[0].arguments[0].message, "Too late.");
  other.close();
  page.close();
});

test("what is no message is an error and no more", async (t) => {
  const { network, page, of } = await connected(t);
  for (const text of ["", "nonsense", "null", "5", "[]", "{}", '{"type":"subscription-update"}', '{"type":"subscription-update","data":{}}']) {
    network.last.deliver(text);
  }
  assert.deepEqual(of("error").map((e) => e.code), Array(4).fill("protocol"));
  assert.equal(page.status, "live");
});
