// Plays testdata/conversations, as the Go tests do. The client makes the requests
// that its interface allows, and receives the frames of the server.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { connected, settled } from "./support.js";

// Conversations without any request that the client can make.
const unplayable = {
  "missing-fields": "the client always sends type and id",
  "duplicate-keys": "the client encodes objects, which have no duplicate keys",
  "invalid-utf8": "browsers encode text frames themselves",
};

const folder = new URL("../../testdata/conversations/", import.meta.url);
const conversations = readdirSync(folder)
  .filter((name) => name.endsWith(".json"))
  .map((name) => JSON.parse(readFileSync(new URL(name, folder))));

// request returns the request if the client can make it.
function request(text) {
  let message;
  try {
    message = JSON.parse(text);
  } catch {
    return;
  }
  const keys = (json) => json.match(/":/g)?.length;
  const { type, id, data } = Object(message);
  if (typeof type !== "string" || !["string", "number", "boolean"].includes(typeof id)) return;
  if (keys(text) !== keys(JSON.stringify(message))) return; // a duplicate key
  if (["subscribe", "unsubscribe"].includes(type) && (typeof data !== "object" || !data)) return;
  return message;
}

const nameOf = ({ group, type, id }) => group ?? `${type}-${id}`;
const rawId = (text) => /"id":\s*("(?:[^"\\]|\\.)*"|[^,}\]]+)/.exec(text)?.[1];

class Player {
  sessions = new Map();
  made = 0;

  constructor(t, steps) {
    this.t = t;
    this.token = steps.map((step) => request(step.send)?.auth_jwt).find(Boolean);
  }

  async on(name) {
    if (!this.sessions.has(name)) {
      const session = await connected(this.t, { timeout: 60_000, token: this.token });
      session.record("message");
      session.received = new Map(); // group -> data of its messages
      session.asked = new Map(); // id in the conversation -> outcome of the request
      session.raw = 0; // frames that the client cannot make and whose errors are still expected
      this.sessions.set(name, session);
    }
    return this.sessions.get(name);
  }

  async play(step) {
    const session = await this.on(step.on ?? "a");
    if (step.send !== undefined) await this.send(session, step);
    else if (step.expect !== undefined) await this.expect(session, step);
    else if (step.close) await this.close(session, step);
  }

  async send(session, step) {
    const message = request(this.fill(step.send));
    if (!message) return session.raw++;
    this.made++;
    const { type, data } = message;
    const shared = ["subscribe", "unsubscribe"].includes(type);
    const socket = session.network.last;
    const before = socket.requests().length;
    const promise = shared ? session.client[type](data) : session.client.call(type, data);
    const outcome = {};
    promise.then(
      (value) => Object.assign(outcome, { done: true, value }),
      (error) => Object.assign(outcome, { done: true, error }),
    );
    await settled();
    const sent = socket.requests().slice(before);
    assert.ok(sent.length <= 1, "one request is one frame");
    if (sent.length) {
      assert.equal(sent[0].type, type);
      // The client renews an existing subscription in its own way.
      if (shared && session.received.has(nameOf(data))) assert.equal(nameOf(sent[0].data), nameOf(data));
      else assert.deepEqual(sent[0].data, data);
      outcome.id = sent[0].id;
    } else assert.ok(shared, "only a shared subscription is not sent");
    session.asked.set(rawId(step.send), outcome);
    if (type === "subscribe") this.listen(session, nameOf(data));
  }

  listen(session, group) {
    if (session.received.has(group)) return;
    session.received.set(group, []);
    session.client.on(group, (error, data) => session.received.get(group).push(data));
  }

  fill(text) {
    return text.replaceAll("{{id}}", () => String(2 ** 52 + Math.floor(Math.random() * 2 ** 52))).replaceAll("{{epoch}}", "K3v9").replaceAll("{{connection}}", "c1");
  }

  async expect(session, step) {
    const text = this.fill(step.expect);
    const id = rawId(text);
    const outcome = session.asked.get(id);
    if (outcome) {
      const { part, last } = Object(JSON.parse(text).data);
      if (part && !last) return this.part(session, text, outcome);
      session.asked.delete(id);
      return this.answer(session, text, outcome);
    }
    const message = JSON.parse(text);
    // An error without an id belongs to a frame that the server could not read.
    if (message.error !== undefined && id === undefined && session.raw-- === 0) {
      session.raw = 0;
      session.asked.delete([...session.asked.keys()].at(-1));
    }
    const errors = session.of("error").length;
    if (message.data?.origin) message.data.self = false; // the client adds it: it is another page
    session.network.last.deliver(text);
    await settled();
    assert.deepEqual(session.of("message").at(-1), message);
    const isError = message.error !== undefined || message.data?.type === "unsubscribed";
    assert.equal(session.of("error").length - errors, isError ? 1 : 0, "an error without a request is an event");
    if (message.type === "subscription-update") this.received(session, message.data);
  }

  // A part of a snapshot does not answer the request.
  async part(session, text, outcome) {
    const { part, ...data } = JSON.parse(text).data;
    if (part === 1) outcome.parts = data;
    else outcome.parts.snapshot.push(...data.snapshot);
    session.network.last.deliver(text.replace(rawId(text), String(outcome.id)));
    await settled();
    assert.ok(!outcome.done, "done before the last part");
  }

  async answer(session, text, outcome) {
    const want = JSON.parse(text);
    if (outcome.parts) want.data = { ...outcome.parts, snapshot: [...outcome.parts.snapshot, ...want.data.snapshot] };
    if (outcome.id === undefined) {
      // Shared with an earlier subscription: the client knows the reply.
      assert.ok(outcome.done && !outcome.error);
      if (want.error !== undefined) return; // the client never sent the request
      return assert.equal(outcome.value.group, want.data.group);
    }
    assert.ok(!outcome.done, "done before the reply");
    session.network.last.deliver(text.replace(rawId(text), String(outcome.id)));
    await settled();
    // The client subscribes again after a passing error.
    if (want.error_info?.temporary && want.type === "subscribe") return assert.ok(!outcome.done);
    assert.ok(outcome.done);
    if (want.error === undefined) return assert.deepEqual(outcome.value, want.data);
    assert.equal(outcome.error.code, want.error_info?.code ?? "refused");
    assert.deepEqual(outcome.error.content, want.error);
    assert.deepEqual(outcome.error.data, want.data);
  }

  // The client delivers each message once, even if the server repeats it.
  received(session, data) {
    const received = session.received.get(data.group);
    const equal = received.filter((h) => JSON.stringify(h) === JSON.stringify(data));
    if (data.offset === undefined) assert.deepEqual(received.at(-1), data);
    else assert.equal(equal.length, 1, JSON.stringify(data));
  }

  async close(session, { close, reason }) {
    session.network.last.drop(close, reason);
    await settled();
    assert.equal(session.of("closed").length, 1);
    assert.equal(session.client.status, [1007, 4401].includes(close) ? "closed" : "stale"); // it has no other token
    for (const { error } of session.asked.values()) assert.equal(error.code, "lost");
    session.asked.clear();
  }
}

for (const { name, steps } of conversations) {
  test(`conversation ${name}`, async (t) => {
    const player = new Player(t, steps);
    for (const step of steps) await player.play(step);
    for (const session of player.sessions.values()) {
      assert.equal(session.asked.size, 0, "a request of the conversation has no reply");
    }
    if (unplayable[name]) assert.equal(player.made, 0, "the client can play it: remove it from the list");
    else assert.ok(player.made > 0, "no request that the client can make: add it to the list, with the reason");
  });
}

test("every entry of the list is a conversation", () => {
  for (const name of Object.keys(unplayable)) assert.ok(conversations.some((c) => c.name === name), name);
});
