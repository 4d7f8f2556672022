// Shared by the tests: a fake clock, and sockets whose server end the test controls.
import assert from "node:assert/strict";
import { Rohrpost, RohrpostError } from "../rohrpost.js";

const real = { setTimeout, clearTimeout, setImmediate, now: Date.now, random: Math.random };

// settled resolves after all promise reactions that can run have run.
export const settled = () => new Promise((resolve) => real.setImmediate(resolve));

// Clock replaces the timers of the client.
export class Clock {
  now = 1_700_000_000_000;
  wrong = 0; // ms by which Date.now() is wrong
  #timers = new Map();
  #last = 0;

  install(random = real.random) {
    globalThis.setTimeout = (fn, ms = 0) => {
      this.#timers.set(++this.#last, { at: this.now + ms, fn });
      return this.#last;
    };
    globalThis.clearTimeout = (id) => this.#timers.delete(id);
    Date.now = () => this.now + this.wrong;
    performance.now = () => this.now;
    Math.random = random;
    return this;
  }

  uninstall() {
    Object.assign(globalThis, { setTimeout: real.setTimeout, clearTimeout: real.clearTimeout });
    Date.now = real.now;
    delete performance.now;
    Math.random = real.random;
  }

  // The delay of the next timer.
  get next() {
    return Math.min(...[...this.#timers.values()].map((t) => t.at)) - this.now;
  }

  async run(ms) {
    const until = this.now + ms;
    await settled();
    for (;;) {
      const due = [...this.#timers].filter(([, t]) => t.at <= until).sort(([i, a], [j, b]) => a.at - b.at || i - j)[0];
      if (!due) break;
      this.#timers.delete(due[0]);
      this.now = Math.max(this.now, due[1].at);
      due[1].fn();
      await settled();
    }
    this.now = until;
  }
}

// Network creates sockets; the test plays the server.
export class Network {
  sockets = [];
  onsocket = () => {};

  get WebSocket() {
    const network = this;
    return class {
      constructor(url) {
        this.socket = new Socket(url, this);
        network.sockets.push(this.socket);
        network.onsocket(this.socket);
      }
      send(text) {
        this.socket.send(text);
      }
      close() {
        this.socket.closed = true;
        this.socket.onclose?.();
      }
    };
  }

  get last() {
    return this.sockets.at(-1);
  }
}

class Socket {
  sent = [];
  closed = false;

  constructor(url, client) {
    this.url = url;
    this.client = client;
  }

  send(text) {
    if (this.closed) throw new Error("the client sent on a closed socket");
    const message = JSON.parse(text);
    if (message.id === 0) this.hello = message;
    else this.sent.push(message);
    this.onsent?.(message);
  }

  // Returns the requests of one type, or of all types. Pings, whose id is a time, are not requests.
  requests(type) {
    return this.sent.filter((m) => m.id < 1e9 && (!type || m.type === type));
  }

  open() {
    this.client.onopen({});
  }

  deliver(message) {
    this.client.onmessage({ data: typeof message === "string" ? message : JSON.stringify(message) });
  }

  reply(request, data, error, error_info) {
    this.deliver({ id: request.id, type: request.type, error, error_info, data });
  }

  // Answers the hello of the client, as a hub of today does.
  welcome(data) {
    this.deliver({ id: 0, type: "rohrpost:hello", data: { version: 1, connection: "c", limits: { max_message_bytes: 65_536 }, ...data } });
  }

  drop(code = 1006, reason = "") {
    this.closed = true;
    this.client.onclose({ code, reason });
  }
}

// setup returns a client that is not connected yet, with its clock, network and events.
export function setup(t, { url = "ws://hub.test/", ...options } = {}) {
  const clock = new Clock().install(options.random);
  const network = new Network();
  const client = new Rohrpost(url, { WebSocket: network.WebSocket, ...options });
  const seen = [];
  const record = (type) => client.on(type, (...values) => seen.push([type, ...values]));
  for (const type of ["open", "closed", "reconnecting", "status", "resync", "error"]) record(type);
  t.after(() => {
    client.close();
    clock.uninstall();
  });
  const names = () => seen.map(([type]) => type);
  const of = (type) => seen.filter((e) => e[0] === type).map((e) => e[1]);
  return { clock, network, client, seen, record, names, of, settled };
}

// connected returns the same after the first connection has opened.
export async function connected(t, options) {
  const all = setup(t, options);
  await settled();
  all.network.last.open();
  await settled();
  return all;
}

// board returns a connected client with a watch of the group "board", loaded at offset 10.
export async function board(t, options = {}, snapshot = [{ id: 1, title: "one" }, { id: 2, title: "two" }], more = {}) {
  const all = await connected(t, { random: () => 0, ...more });
  const watch = all.client.watch("board", options);
  let offset = 10;
  const requests = () => all.network.last.requests("subscribe");
  const reply = (data, error, info) => all.network.last.reply(requests().at(-1), data && { group: "board", epoch: "e", ...data }, error, info);
  const change = (type, object, at = ++offset) =>
    all.network.last.deliver({ type: "subscription-update", data: { type, group: "board", object, offset: at ?? undefined } });
  assert.equal(watch.status, "connecting");
  if (snapshot) reply({ offset, snapshot });
  return { ...all, watch, requests, reply, change };
}

// failure resolves with the RohrpostError of a promise that must reject.
export const failure = (promise) =>
  promise.then(
    () => assert.fail("resolved"),
    (error) => (assert.ok(error instanceof RohrpostError), error),
  );

// stubBrowser adds the event targets of a browser to the global object.
export function stubBrowser(t) {
  const events = new EventTarget();
  globalThis.document = Object.assign(new EventTarget(), { hidden: false });
  globalThis.addEventListener = (...args) => events.addEventListener(...args);
  t.after(() => {
    delete globalThis.document;
    delete globalThis.addEventListener;
  });
  return { on: (type, more) => (type.startsWith("v") || type.startsWith("s") ? document : events).dispatchEvent(Object.assign(new Event(type), more)) };
}
