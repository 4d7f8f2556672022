const opening = 10_000; // ms that a connection may take
const frame = 16; // ms that changes are gathered for one notification

export class RohrpostError extends Error {
  name = "RohrpostError";
  constructor(code, message, more) {
    super(message);
    Object.assign(this, { code, ...more });
  }
}

export class Rohrpost {
  #options;
  #url;
  #token; // undefined: ask for it
  #renewing;
  #socket;
  #turn = 0; // sockets of earlier turns are ignored
  #timer; // opening, next ping or next attempt
  #open;
  #closed;
  #status = "connecting";
  #once; // has been live
  #heard; // since the last ping
  #attempts = 0; // in vain
  #waiting; // for an attempt that may be made earlier
  #id = 0;
  #pending = new Map(); // id -> (error, data) => …
  #queue = new Set(); // of calls that are not sent yet
  #groups = new Map(); // asked for -> Group
  #names = new Map(); // called by the server -> Group
  #handlers = new Map();
  #listening = new AbortController();

  constructor(url, { token, pingInterval = 5000, timeout = 2000, WebSocket = globalThis.WebSocket } = {}) {
    this.#options = { token, pingInterval, timeout, WebSocket };
    this.#url = new URL(url, globalThis.location?.href).href.replace(/^http/, "ws");
    const { signal } = this.#listening;
    const listen = (target, type, handler) => target?.addEventListener?.(type, handler, { signal });
    listen(globalThis, "online", () => this.#wake());
    listen(globalThis, "offline", () => this.#open && this.#abandon());
    listen(globalThis.document, "visibilitychange", () => document.hidden || this.#wake());
    this.#connect();
  }

  get status() {
    return this.#status;
  }

  // ---- events

  on(type, handler) {
    this.#handlers.set(type, [...(this.#handlers.get(type) ?? []), handler]);
    return this;
  }

  once(type, handler) {
    const first = (...values) => this.off(type, handler) && handler(...values);
    first.handler = handler;
    return this.on(type, first);
  }

  off(type, handler) {
    this.#handlers.set(type, (this.#handlers.get(type) ?? []).filter((h) => h !== handler && h.handler !== handler));
    return this;
  }

  #emit(type, ...values) {
    for (const handler of this.#handlers.get(type) ?? []) {
      try {
        handler(...values);
      } catch (error) {
        if (type === "error") report(error);
        else this.#fail(error);
      }
    }
  }

  #fail(error) {
    if (this.#handlers.get("error")?.length) this.#emit("error", error);
    else report(error);
  }

  // ---- requests

  call(name, data, { timeout = this.#options.timeout } = {}) {
    return new Promise((resolve, reject) => {
      const call = { name, data, sent: false };
      call.done = (error, value) => {
        clearTimeout(timer);
        this.#queue.delete(call);
        if (error) reject(Object.assign(error, { sent: call.sent }));
        else resolve(value);
      };
      const timer = setTimeout(() => call.done(new RohrpostError("timeout", `no answer to ${name}`)), timeout);
      this.#submit(call);
    });
  }

  #submit(call) {
    if (this.#closed) return call.done(closed());
    if (!this.#open) return this.#queue.add(call);
    call.sent = true;
    try {
      this.#request(call.name, call.data, call.done);
    } catch (error) {
      call.done(error);
    }
  }

  #request(type, data, reply, renewable = true) {
    const token = this.#token;
    this.#pending.set(++this.#id, async (error, value) => {
      // What was refused was not done.
      if (!renewable || error?.message !== "ACCESS_DENIED" || !(await this.#renew(token))) reply(error, value);
      else if (this.#open) this.#request(type, data, reply, false);
      else reply(lost());
    });
    this.#send({ type, id: this.#id, auth_jwt: token, data });
  }

  #send(message) {
    this.#socket.send(JSON.stringify(message));
  }

  async #askToken() {
    const { token } = this.#options;
    this.#token = (typeof token === "function" ? await token() : token) ?? "";
  }

  async #renew(refused) {
    try {
      if (this.#token === refused) await (this.#renewing ??= this.#askToken().finally(() => (this.#renewing = undefined)));
    } catch (error) {
      this.#fail(error);
    }
    return this.#token !== refused;
  }

  // ---- groups

  async subscribe(what) {
    if (this.#closed) throw closed();
    const group = this.#group(what);
    group.users++;
    if (what.state) {
      group.state = true;
      group.fresh ||= !what.since || what.since !== group.position;
    } else if (group.joined) return { group: group.name, ...group.position };
    return new Promise((resolve, reject) => {
      group.waiting.push({ resolve, reject });
      this.#ask(group);
    });
  }

  async unsubscribe(what) {
    const group = this.#find(what) ?? Object.assign(new Group(dataOf(what)), { joined: this.#open });
    if (group.users) group.users--;
    return this.#release(group);
  }

  watch(what, options = {}) {
    if (this.#closed) throw closed();
    const group = this.#group(what, options.since);
    const watch = new Watch(options, {
      status: () => (!this.#open ? "stale" : watch.group.live ? "live" : "catching up"),
      fail: (error) => this.#fail(error),
      release: () => {
        watch.group.watches.delete(watch);
        this.#sweep();
      },
    });
    watch.group = group;
    group.watches.add(watch);
    const { items, since } = options;
    if (!(items && since && since === group.position) && !group.asking?.fresh) group.fresh = true;
    this.#ask(group);
    return watch;
  }

  #find(what) {
    const data = dataOf(what);
    return this.#groups.get(JSON.stringify(data)) ?? this.#names.get(data.group);
  }

  #group(what, since = what.since) {
    let group = this.#find(what);
    if (!group) {
      group = new Group(dataOf(what), since);
      this.#groups.set(JSON.stringify(group.data), group);
    }
    return group;
  }

  // The page may take the group again at once; a name on its way may be
  // that of this group.
  async #release(group) {
    await null;
    const unsure = [...this.#groups.values()].some((g) => g.asking && (g === group || !g.name));
    if (group.used || group.gone || unsure) return { group: group.name };
    this.#forget(group, closed("unsubscribed"));
    if (!group.joined) return;
    return this.call("unsubscribe", group.data).catch((error) => {
      if (error.code === "refused") throw error;
    });
  }

  #forget(group, error) {
    group.gone = true;
    for (const groups of [this.#groups, this.#names]) {
      for (const [key, value] of groups) if (value === group) groups.delete(key);
    }
    for (const { reject } of group.waiting) reject(error);
    for (const watch of group.watches) watch._end(error);
    this.#update();
  }

  // One request at a time: what comes after its reply follows the position in it.
  #ask(group) {
    if (!this.#open || group.asking || group.gone) return;
    const state = group.stateful || undefined;
    const asking = (group.asking = { state, fresh: state && group.fresh });
    group.fresh = false;
    const since = asking.fresh ? undefined : group.position;
    this.#request("subscribe", { ...group.data, since, state }, (error, reply = {}) => {
      group.asking = undefined;
      if (group.gone) return;
      if (error) group.fresh ||= asking.fresh;
      if (!error) this.#confirm(group, reply, asking);
      else if (error.code === "refused") this.#refused(group, error, asking);
      this.#sweep();
    });
  }

  #sweep() {
    for (const group of this.#groups.values()) if (!group.used) this.#release(group).catch((error) => this.#fail(error));
  }

  #refused(group, error, asking) {
    const { message } = error;
    if (message === "UNAVAILABLE" || (message === "internal error" && group.confirmed)) {
      setTimeout(() => this.#ask(group), backoff(group.failures++));
      return;
    }
    if (group.watches.size || !group.waiting.length) this.#fail(Object.assign(error, { group: group.name ?? group.data }));
    if (asking.state && !group.state && group.users) {
      for (const watch of group.watches) watch._end(error); // perhaps only the state
      this.#ask(group);
    } else this.#forget(group, error);
  }

  #confirm(group, reply, asking) {
    group = this.#name(group, reply.group);
    const before = group.position;
    const now = reply.epoch === undefined ? undefined : { epoch: reply.epoch, offset: reply.offset };
    const broken = before ? before.epoch !== now?.epoch : group.confirmed && !group.joined;
    const missed = reply.recovered === false || broken;
    const ahead = now?.offset > before?.offset;
    // Not told: there was no position; a resync to come covers it.
    const skipped = !missed && !reply.recovered && ahead;
    group.hole = skipped && !group.resync;
    if (missed || !before || (skipped && group.resync)) group.position = now;
    group.target = reply.recovered && ahead ? now.offset : undefined;
    group.joined = group.confirmed = true;
    group.loose = false;
    group.failures = 0;
    if (missed) group.resync = { group: group.name, reason: reply.reason ?? (now ? "epoch" : "off") };
    if ("state" in reply || asking.fresh) for (const watch of group.watches) watch._load(reply.state, reply.offset);
    this.#tell(group, reply);
    if (!group.fresh) for (const { resolve } of group.waiting.splice(0)) resolve(reply);
    if (group.fresh || group.hole) this.#ask(group);
    this.#update();
  }

  // Two ways to ask may come to one name.
  #name(group, name) {
    const twin = this.#names.get(name) ?? group;
    this.#names.set(name, twin);
    twin.name = name;
    if (twin === group) return group;
    this.#groups.set(JSON.stringify(group.data), twin);
    group.gone = true;
    twin.users += group.users;
    twin.state ||= group.state;
    twin.fresh ||= group.fresh;
    twin.waiting.push(...group.waiting);
    for (const watch of group.watches) {
      watch.group = twin;
      twin.watches.add(watch);
    }
    return twin;
  }

  // A resync is told with the state, where there is one.
  #tell(group, { state }) {
    if (!group.resync) return;
    if (group.stateful && state === undefined) return (group.fresh = true);
    const { resync } = group;
    group.resync = undefined;
    this.#emit("resync", { ...resync, state });
  }

  #change(data) {
    const group = this.#names.get(data.group);
    if (!group) return this.#emit(data.group, null, data); // joined by the server itself
    if (!group.joined) return;
    const before = group.position;
    const { type, offset, epoch = before?.epoch } = data;
    const seen = epoch === before?.epoch && offset <= before?.offset;
    if (offset > before?.offset + 1 && !data.epoch && !group.loose) {
      group.hole = true; // the server tells it all again
      this.#ask(group);
      return this.#update();
    }
    // First the position: a handler may do anything.
    if (offset === undefined) group.loose ||= type === "resync";
    else if (!seen && epoch !== undefined) {
      group.position = { epoch, offset };
      group.loose = false;
    }
    if (!seen || !data.epoch) for (const watch of group.watches) watch._apply(data);
    if (seen) return;
    if (group.target <= offset) {
      group.target = undefined;
      this.#update();
    }
    if (type === "resync") {
      group.resync = { group: group.name, reason: data.object?.reason };
      this.#tell(group, {});
      if (group.fresh) this.#ask(group);
    }
    this.#emit(data.group, null, data);
  }

  // ---- the connection

  async #connect() {
    clearTimeout(this.#timer);
    this.#waiting = false;
    const turn = ++this.#turn;
    const current = (handler) => (event) => turn === this.#turn && handler(event);
    this.#timer = setTimeout(() => this.#abandon(), opening);
    try {
      if (this.#token === undefined) await this.#askToken();
      if (turn !== this.#turn) return;
      const socket = (this.#socket = new this.#options.WebSocket(this.#url));
      socket.onopen = current(() => this.#opened());
      socket.onmessage = current(({ data }) => this.#receive(data));
      socket.onclose = current(({ code, reason }) => this.#lost(code, reason));
    } catch (error) {
      if (turn !== this.#turn) return;
      this.#fail(error);
      this.#lost();
    }
  }

  #opened() {
    this.#open = true;
    this.#ping(this.#options.pingInterval);
    for (const group of this.#groups.values()) this.#ask(group);
    const queue = [...this.#queue];
    this.#queue.clear();
    for (const call of queue) this.#submit(call);
    this.#update();
    this.#emit("open");
  }

  #ping(deadline) {
    clearTimeout(this.#timer);
    this.#heard = false;
    this.#send({ type: "ping", id: Date.now() });
    this.#timer = setTimeout(() => {
      if (!this.#heard) return this.#abandon(); // gone without a word
      this.#attempts = 0;
      this.#ping(this.#options.pingInterval);
    }, deadline);
  }

  #wake() {
    if (this.#open) this.#ping(Math.min(2000, this.#options.pingInterval));
    else if (this.#waiting) this.#reconnect();
  }

  #reconnect() {
    this.#emit("reconnecting");
    if (!this.#closed) this.#connect();
  }

  #receive(text) {
    this.#heard = true;
    let message;
    try {
      message = JSON.parse(text);
    } catch {}
    if (!message || typeof message !== "object") return this.#fail(new RohrpostError("protocol", `no message: ${text}`));
    this.#emit("message", message);
    const { id, type, error, data } = message;
    const reply = this.#pending.get(id);
    this.#pending.delete(id);
    const refusal = error === undefined ? undefined : new RohrpostError("refused", error, { data });
    if (reply) reply(refusal, data);
    else if (refusal) this.#fail(refusal);
    else if (type === "subscription-update" && data?.group) this.#change(data);
  }

  #abandon() {
    this.#lost();
    this.#socket?.close();
  }

  #lost(code = 1006, reason = "") {
    this.#disconnect(lost);
    if (/^(100[23789]|1010|44..)$/.test(code)) {
      const error = closed(`closed by the server: ${code} ${reason}`, { close: code });
      this.#end(error);
      return this.#fail(error);
    }
    if (code === 4001) this.#token = undefined;
    const told = /retry_after=(\d+\.?\d*)/.exec(reason);
    const delay = told ? Math.min(told[1], 3600) * 1000 : code === 4008 && !this.#attempts ? 0 : backoff(this.#attempts);
    this.#attempts++;
    this.#waiting = !told;
    this.#timer = setTimeout(() => this.#reconnect(), delay);
    this.#update();
    this.#emit("closed");
  }

  #disconnect(failure) {
    this.#turn++;
    clearTimeout(this.#timer);
    this.#open = false;
    for (const group of this.#groups.values()) group.joined = false;
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const reply of pending) reply(failure());
  }

  close() {
    if (!this.#closed) this.#end(closed());
  }

  #end(error) {
    this.#closed = true;
    this.#disconnect(closed);
    this.#socket?.close();
    this.#listening.abort();
    for (const call of this.#queue) call.done(closed());
    for (const group of this.#groups.values()) this.#forget(group, error);
    this.#update();
    this.#emit("closed");
  }

  #update() {
    const behind = [...this.#groups.values()].some((group) => !group.live && (group.confirmed || !this.#once));
    let status = this.#open ? "catching up" : "stale";
    if (!this.#once) status = "connecting";
    if (this.#open && !behind) status = "live";
    if (this.#closed) status = "closed";
    this.#once ||= status === "live";
    if (status === this.#status) return;
    this.#status = status;
    this.#emit("status", status);
  }
}

// A subscription on the server, shared.
class Group {
  users = 0; // subscribe() without unsubscribe()
  watches = new Set();
  waiting = []; // promises of subscribe()
  state; // a subscribe() wants it too
  fresh; // the state must be asked for, whatever the position
  asking; // on its way
  joined; // on this connection
  confirmed; // on any
  hole; // in the messages
  loose; // any offset may come next
  target; // the offset up to which it is catching up
  resync; // to be told with the state
  failures = 0;

  constructor(data, position) {
    this.data = data;
    this.position = position;
  }
  get used() {
    return this.users || this.watches.size;
  }
  get stateful() {
    return this.state || this.watches.size > 0;
  }
  get live() {
    return this.joined && !this.hole && !this.target;
  }
}

class Watch {
  #key;
  #replace;
  #owner;
  #map = new Map();
  #items;
  #offset; // of the newest change
  #loaded = false;
  #closed = false;
  #listeners = new Set();
  #changes = [];
  #timer;
  #next = [];

  constructor({ key = "id", replace, items, since }, owner) {
    this.#key = typeof key === "function" ? key : (item) => item[key];
    this.#replace = replace;
    this.#owner = owner;
    if (items) this._load(items, since?.offset);
    this.ready = this[Symbol.asyncIterator]().next().then(() => this);
    this.ready.catch(() => {});
  }

  get items() {
    return (this.#items ??= Object.freeze([...this.#map.values()]));
  }

  get status() {
    return this.#closed ? "closed" : this.#loaded ? this.#owner.status() : "connecting";
  }

  get(key) {
    return this.#map.get(flat(key));
  }

  subscribe(fn) {
    const listener = { fn };
    this.#listeners.add(listener);
    this.#tell(listener, []);
    return () => this.#listeners.delete(listener);
  }

  async *[Symbol.asyncIterator]() {
    let seen;
    while (!this.#closed) {
      if (this.#loaded && this.items !== seen) yield (seen = this.items);
      else await new Promise((resolve) => this.#next.push(resolve));
    }
    if (this.error) throw this.error;
  }

  close() {
    this._end(closed());
  }

  _end(error) {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    if (error.code !== "closed" || error.close) this.error = error;
    for (const resolve of this.#next) resolve();
    this.#owner.release();
  }

  _load(state, offset) {
    try {
      this.#map = new Map(state.map((item) => [this.#keyOf(item), item]));
    } catch (error) {
      this.#owner.fail(error);
      return this._end(error);
    }
    this.#loaded = true;
    this.#offset = offset;
    this.#changes = undefined; // it is all new
    this.#touch();
  }

  _apply(change) {
    const { type, object, offset, epoch } = change;
    if (!this.#loaded || (!epoch && offset <= this.#offset)) return; // the state has it
    this.#offset = offset ?? this.#offset;
    if (!["create", "update", "delete"].includes(type)) return;
    try {
      const key = this.#keyOf(object);
      const { updated_fields, ...item } = object;
      if (type === "delete") this.#map.delete(key);
      else this.#map.set(key, this.#replace ? item : { ...this.#map.get(key), ...item });
      this.#changes?.push(change);
      this.#touch();
    } catch (error) {
      this.#owner.fail(error);
    }
  }

  #keyOf(item) {
    const key = flat(this.#key(item));
    if (key === undefined) throw new RohrpostError("protocol", `no key in ${JSON.stringify(item)}`);
    return key;
  }

  // Each message is a task of its own: microtasks would gather nothing.
  #touch() {
    this.#items = undefined;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      const changes = this.#changes ?? [];
      this.#changes = [];
      for (const listener of this.#listeners) this.#tell(listener, changes);
      for (const resolve of this.#next.splice(0)) resolve();
    }, frame);
  }

  #tell({ fn }, changes) {
    try {
      fn(this.items, changes);
    } catch (error) {
      this.#owner.fail(error);
    }
  }
}

// Pages that left together must not return together.
function backoff(attempts) {
  return 500 + Math.random() * (Math.min(20_000, 1000 * 2 ** attempts) - 500);
}

function lost() {
  return new RohrpostError("lost", "The connection was lost.");
}

function closed(text = "The connection is closed.", more) {
  return new RohrpostError("closed", text, more);
}

function dataOf(what) {
  if (typeof what === "string") return { group: what };
  const { since, state, ...data } = what;
  return data;
}

// A key of several columns is an array.
function flat(key) {
  return typeof key === "object" ? JSON.stringify(key) : key;
}

function report(error) {
  (globalThis.reportError ?? console.error)(error);
}

export default Rohrpost;
