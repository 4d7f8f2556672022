// Plays testdata/conversations, as the Go tests do, with the page in the place
// of the connection: requests that the module can make are made through it,
// and what the server says is delivered to it.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { connected, settled } from "./support.js";

// Conversations without a single request that the module could make.
const notForPages = {
  "missing-fields": "the module always sends type and id",
  "duplicate-keys": "the module encodes objects, which have no key twice",
  "invalid-utf8": "browsers encode text frames themselves",
};

const folder = new URL("../../testdata/conversations/", import.meta.url);
const conversations = readdirSync(folder)
  .filter((name) => name.endsWith(".json"))
  .map((name) => JSON.parse(readFileSync(new URL(name, folder))));

// request returns what is asked for, if the module can ask for it.
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
  if (keys(text) !== keys(JSON.stringify(message))) return; // one stands there twice
  if (["subscribe", "unsubscribe"].includes(type) && (typeof data !== "object" || !data)) return;
  return message;
}

const nameOf = ({ group, type, id }) => group ?? `${type}-${id}`;
const rawId = (text) => /"id":\s*("(?:[^"\\]|\\.)*"|[^,}\]]+)/.exec(text)?.[1];

class Player {
  pages = new Map();
  made = 0;

  constructor(t, steps) {
    this.t = t;
    this.token = steps.map((step) => request(step.send)?.auth_jwt).find(Boolean);
  }

  async on(name) {
    if (!this.pages.has(name)) {
      const page = await connected(this.t, { timeout: 60_000, token: this.token });
      page.see("message");
      page.heard = new Map(); // group -> the data of its messages
      page.asked = new Map(); // id in the conversation -> what became of the request
      page.raw = 0; // frames the module cannot make, whose errors are still to come
      this.pages.set(name, page);
    }
    return this.pages.get(name);
  }

  async play(step) {
    const page = await this.on(step.on ?? "a");
    if (step.send !== undefined) await this.send(page, step);
    else if (step.expect !== undefined) await this.expect(page, step);
    else if (step.close) await this.close(page, step);
  }

  async send(page, step) {
    const message = request(this.fill(step.send));
    if (!message) return page.raw++;
    this.made++;
    const { type, data } = message;
    const shared = ["subscribe", "unsubscribe"].includes(type);
    const socket = page.network.last;
    const before = socket.requests().length;
    const promise = shared ? page.page[type](data) : page.page.call(type, data);
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
      // What it is a member of it asks for in its own way.
      if (shared && page.heard.has(nameOf(data))) assert.equal(nameOf(sent[0].data), nameOf(data));
      else assert.deepEqual(sent[0].data, data);
      outcome.id = sent[0].id;
    } else assert.ok(shared, "only what is shared is not sent");
    page.asked.set(rawId(step.send), outcome);
    if (type === "subscribe") this.listen(page, nameOf(data));
  }

  listen(page, group) {
    if (page.heard.has(group)) return;
    page.heard.set(group, []);
    page.page.on(group, (error, data) => page.heard.get(group).push(data));
  }

  fill(text) {
    return text.replaceAll("{{id}}", () => String(2 ** 52 + Math.floor(Math.random() * 2 ** 52))).replaceAll("{{epoch}}", "K3v9");
  }

  async expect(page, step) {
    const text = this.fill(step.expect);
    const id = rawId(text);
    const outcome = page.asked.get(id);
    if (outcome) {
      page.asked.delete(id);
      return this.answer(page, text, outcome);
    }
    const message = JSON.parse(text);
    // An error without an id is about a frame that could not be read.
    if (message.error !== undefined && id === undefined && page.raw-- === 0) {
      page.raw = 0;
      page.asked.delete([...page.asked.keys()].at(-1));
    }
    const errors = page.of("error").length;
    page.network.last.deliver(text);
    await settled();
    assert.deepEqual(page.of("message").at(-1), message);
    assert.equal(page.of("error").length - errors, message.error === undefined ? 0 : 1, "an error nobody asked for is an event");
    if (message.type === "subscription-update") this.heard(page, message.data);
  }

  async answer(page, text, outcome) {
    const want = JSON.parse(text);
    if (outcome.id === undefined) {
      // Shared with an earlier subscription: the page knows the answer.
      assert.ok(outcome.done && !outcome.error);
      if (want.error !== undefined) return; // what would be refused was never sent
      return assert.equal(outcome.value.group, want.data.group);
    }
    assert.ok(!outcome.done, "done before the answer");
    page.network.last.deliver(text.replace(rawId(text), String(outcome.id)));
    await settled();
    assert.ok(outcome.done);
    if (want.error === undefined) return assert.deepEqual(outcome.value, want.data);
    assert.equal(outcome.error.code, "refused");
    assert.equal(outcome.error.message, want.error);
    assert.deepEqual(outcome.error.data, want.data);
  }

  // Each message once: one that is told again is not heard again.
  heard(page, data) {
    const heard = page.heard.get(data.group);
    const equal = heard.filter((h) => JSON.stringify(h) === JSON.stringify(data));
    if (data.offset === undefined) assert.deepEqual(heard.at(-1), data);
    else assert.equal(equal.length, 1, JSON.stringify(data));
  }

  async close(page, { close, reason }) {
    page.network.last.drop(close, reason);
    await settled();
    assert.equal(page.of("closed").length, 1);
    assert.equal(page.page.status, close === 1007 ? "closed" : "stale");
    for (const { error } of page.asked.values()) assert.equal(error.code, "lost");
    page.asked.clear();
  }
}

for (const { name, steps } of conversations) {
  test(`conversation ${name}`, async (t) => {
    const player = new Player(t, steps);
    for (const step of steps) await player.play(step);
    for (const page of player.pages.values()) {
      assert.equal(page.asked.size, 0, "a request of the conversation has no answer in it");
    }
    if (notForPages[name]) assert.equal(player.made, 0, "it is for pages after all: take it off the list");
    else assert.ok(player.made > 0, "no request that a page can make: put it on the list, with the reason");
  });
}

test("the list names conversations", () => {
  for (const name of Object.keys(notForPages)) assert.ok(conversations.some((c) => c.name === name), name);
});
