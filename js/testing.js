import { Rohrpost, pageId } from "./rohrpost.js";

// A client with a server in memory, for the tests of components.
export function fakeHub(groups = {}, options = {}) {
  return new FakeHub(groups, options);
}

class FakeHub {
  calls = []; // {name, data}
  #groups = new Map(); // name -> {rows, offset, error}
  #handlers = new Map();
  #sockets = new Set();
  #offline; // sockets that wait for online()
  #key;

  constructor(groups, { key = "id", ...options }) {
    const fake = this;
    this.#key = key;
    for (const [name, rows] of Object.entries(groups)) this.#group(name).rows = [...rows];
    this.WebSocket = class {
      constructor() {
        this.members = new Set();
        queueMicrotask(() => fake.#accept(this));
      }
      send(text) {
        queueMicrotask(() => fake.#sockets.has(this) && fake.#answer(this, JSON.parse(text)));
      }
      close() {
        fake.#sockets.delete(this);
        fake.#offline?.delete(this);
      }
    };
    const defaults = { pingInterval: 0, reconnectDelay: { min: 1, max: 1 }, WebSocket: this.WebSocket };
    this.hub = new Rohrpost("ws://fake.test/", { ...defaults, ...options });
  }

  handle(name, handler) {
    this.#handlers.set(name, handler);
  }

  snapshot(name, rows) {
    this.#group(name).rows = [...rows];
    this.resync(name);
  }

  create(name, row, options) {
    this.#group(name).rows.push(row);
    this.#publish(name, "create", row, options);
  }

  update(name, row, options) {
    const { rows } = this.#group(name);
    const at = rows.findIndex((old) => old[this.#key] === row[this.#key]);
    if (at < 0) throw new Error(`no row ${row[this.#key]} in ${name}`);
    rows[at] = { ...rows[at], ...row };
    const updated_fields = Object.keys(row).filter((field) => field !== this.#key);
    this.#publish(name, "update", { ...row, updated_fields }, options, updated_fields);
  }

  delete(name, key, options) {
    const group = this.#group(name);
    group.rows = group.rows.filter((row) => row[this.#key] !== key);
    this.#publish(name, "delete", { [this.#key]: key }, options);
  }

  resync(name, reason = "rows") {
    this.#publish(name, "resync", { reason, spread: 0 });
  }

  // Sends a plain message.
  send(name, type, data) {
    for (const socket of this.#members(name)) this.#deliver(socket, { id: 2 ** 52, type, data, group: name });
  }

  // Refuses the group from now on, and ends its subscriptions.
  refuse(name, code = "access_denied", text = "ACCESS_DENIED") {
    this.#group(name).error = { error: text, error_info: { code, temporary: ["unavailable", "timeout", "internal"].includes(code) } };
    for (const socket of this.#members(name)) {
      socket.members.delete(name);
      this.#deliver(socket, { type: "subscription-update", data: { type: "unsubscribed", group: name, object: { reason: "revoked" } } });
    }
  }

  allow(name) {
    this.#group(name).error = undefined;
  }

  offline() {
    this.#offline ??= new Set();
    this.close(1006);
  }

  online() {
    const waiting = this.#offline ?? [];
    this.#offline = undefined;
    for (const socket of waiting) this.#accept(socket);
  }

  // Closes the connection as the server would.
  close(code = 1006, reason = "") {
    for (const socket of [...this.#sockets]) {
      this.#sockets.delete(socket);
      socket.onclose?.({ code, reason });
    }
  }

  #group(name) {
    if (!this.#groups.has(name)) this.#groups.set(name, { rows: [], offset: 0 });
    return this.#groups.get(name);
  }

  #members(name) {
    return [...this.#sockets].filter((socket) => socket.members.has(name));
  }

  #accept(socket) {
    if (this.#offline) return this.#offline.add(socket);
    this.#sockets.add(socket);
    socket.onopen?.({});
  }

  #deliver(socket, message) {
    socket.onmessage?.({ data: JSON.stringify(message) });
  }

  #publish(name, type, object, { self } = {}, updated_fields) {
    const data = { type, group: name, object, updated_fields, origin: self ? pageId : undefined, offset: ++this.#group(name).offset };
    for (const socket of this.#members(name)) this.#deliver(socket, { id: 2 ** 52, type: "subscription-update", data });
  }

  async #answer(socket, { type, id, data }) {
    const reply = (more) => this.#deliver(socket, { id, type, ...more });
    if (type === "rohrpost:hello") return reply({ data: { version: 1, connection: "fake", limits: {} } });
    if (type === "ping") return reply({ type: "pong" });
    const name = data?.group ?? `${data?.type}-${data?.id}`;
    if (type === "subscribe") return this.#subscribe(socket, name, data, reply);
    if (type === "unsubscribe") {
      socket.members.delete(name);
      return reply({ data: { group: name } });
    }
    this.calls.push({ name: type, data });
    const handler = this.#handlers.get(type);
    const unknown = `No registered handler called '${type}'.`;
    if (!handler) return reply({ error: unknown, error_info: { code: "unknown_handler", temporary: false } });
    try {
      reply({ data: await handler(data) });
    } catch (error) {
      reply({ error: error.message, error_info: { code: "application", temporary: false } });
    }
  }

  // The fake keeps no history: a client that comes back loads the snapshot.
  #subscribe(socket, name, { since, snapshot }, reply) {
    const { rows, offset, error } = this.#group(name);
    if (error) return reply(error);
    socket.members.add(name);
    const missed = since ? { recovered: since.offset === offset, missed: 0 } : {};
    const lost = missed.recovered === false ? { reason: "trimmed" } : {};
    reply({ data: { group: name, epoch: "fake", offset, ...missed, ...lost, ...(snapshot && !missed.recovered && { snapshot: rows }) } });
  }
}
