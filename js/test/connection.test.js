// Tests of the interface: URLs, options, frames, status, events, errors.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Rohrpost } from "../rohrpost.js";
import LegacyName from "../rohrpost.js";
import { connected, failure, settled, setup } from "./support.js";

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
