const connectTimeout = 10_000; // ms
const notifyInterval = 16; // ms

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
  #token; // undefined: not fetched
  #renewal;
  #socket;
  #generation = 0; // events of earlier sockets are ignored
  #timer; // timeout, ping or reconnection
  #open;
  #closed;
  #status = "connecting";
  #wasLive;
  #alive; // since the last ping
  #attempts = 0; // failed in a row
  #mayRetry; // before the timer fires
  #id = 0;
  #pending = new Map(); // request id -> (error, data) => …
  #queue = new Set(); // unsent calls
  #groups = new Map(); // request data -> Group
  #names = new Map(); // group name -> Group
  #handlers = new Map();
  #listeners = new AbortController();

  constructor(url, { token, pingInterval = 5000, timeout = 2000, WebSocket = globalThis.WebSocket } = {}) {
    this.#options = { token, pingInterval, timeout, WebSocket };
    this.#url = new URL(url, globalThis.location?.href).href.replace(/^http/, "ws");
    const { signal } = this.#listeners;
    const listen = (target, type, handler) => target?.addEventListener?.(type, handler, { signal });
    listen(globalThis, "online", () => this.#probe());
    listen(globalThis, "offline", () => this.#open && this.#abort());
    listen(globalThis.document, "visibilitychange", () => document.hidden || this.#probe());
    this.#connect();
  }

  get status() {
    return this.#status;
  }

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
        if (type === "error") log(error);
        else this.#report(error);
      }
    }
  }

  #report(error) {
    if (this.#handlers.get("error")?.length) this.#emit("error", error);
    else log(error);
  }

  call(name, data, { timeout = this.#options.timeout } = {}) {
    return new Promise((resolve, reject) => {
      const call = { name, data, sent: false };
      call.done = (error, value) => {
        clearTimeout(timer);
        this.#queue.delete(call);
        if (error) reject(Object.assign(error, { sent: call.sent }));
        else resolve(value);
      };
      const timer = setTimeout(() => call.done(new RohrpostError("timeout", `no reply to ${name}`)), timeout);
      this.#sendCall(call);
    });
  }

  #sendCall(call) {
    if (this.#closed) return call.done(closed());
    if (!this.#open) return this.#queue.add(call);
    call.sent = true;
    try {
      this.#sendRequest(call.name, call.data, call.done);
    } catch (error) {
      call.done(error);
    }
  }

  #sendRequest(type, data, reply, renewable = true) {
    const token = this.#token;
    this.#pending.set(++this.#id, async (error, value) => {
      // The server has not executed a refused request.
      if (!renewable || error?.message !== "ACCESS_DENIED" || !(await this.#renewToken(token))) reply(error, value);
      else if (this.#open) this.#sendRequest(type, data, reply, false);
      else reply(lost());
    });
    this.#send({ type, id: this.#id, auth_jwt: token, data });
  }

  #send(message) {
    this.#socket.send(JSON.stringify(message));
  }

  async #fetchToken() {
    const { token } = this.#options;
    this.#token = (typeof token === "function" ? await token() : token) ?? "";
  }

  async #renewToken(refused) {
    try {
      if (this.#token === refused) await (this.#renewal ??= this.#fetchToken().finally(() => (this.#renewal = undefined)));
    } catch (error) {
      this.#report(error);
    }
    return this.#token !== refused;
  }

  async subscribe(target) {
    if (this.#closed) throw closed();
    const group = this.#addGroup(target);
    group.users++;
    if (target.snapshot) {
      group.snapshot = true;
      group.reload ||= !target.since || target.since !== group.position;
    } else if (group.subscribed) return { group: group.name, ...group.position };
    return new Promise((resolve, reject) => {
      group.waiting.push({ resolve, reject });
      this.#sendSubscribe(group);
    });
  }

  async unsubscribe(target) {
    const group = this.#findGroup(target) ?? Object.assign(new Group(dataOf(target)), { subscribed: this.#open });
    if (group.users) group.users--;
    return this.#release(group);
  }

  watch(target, options = {}) {
    if (this.#closed) throw closed();
    const group = this.#addGroup(target, options.since);
    const watch = new Watch(options, {
      status: () => (!this.#open ? "stale" : watch.group.live ? "live" : "recovering"),
      report: (error) => this.#report(error),
      release: () => {
        watch.group.watches.delete(watch);
        this.#releaseUnused();
      },
    });
    watch.group = group;
    group.watches.add(watch);
    const { items, since } = options;
    if (!(items && since && since === group.position) && !group.request?.reload) group.reload = true;
    this.#sendSubscribe(group);
    return watch;
  }

  #findGroup(target) {
    const data = dataOf(target);
    return this.#groups.get(JSON.stringify(data)) ?? this.#names.get(data.group);
  }

  #addGroup(target, since = target.since) {
    let group = this.#findGroup(target);
    if (!group) {
      group = new Group(dataOf(target), since);
      this.#groups.set(JSON.stringify(group.data), group);
    }
    return group;
  }

  // The page may subscribe again at once, and a reply in flight may name this group.
  async #release(group) {
    await null;
    const unsure = [...this.#groups.values()].some((g) => g.request && (g === group || !g.name));
    if (group.used || group.removed || unsure) return { group: group.name };
    this.#remove(group, closed("unsubscribed"));
    if (!group.subscribed) return;
    return this.call("unsubscribe", group.data).catch((error) => {
      if (error.code === "refused") throw error;
    });
  }

  #remove(group, error) {
    group.removed = true;
    for (const groups of [this.#groups, this.#names]) {
      for (const [key, value] of groups) if (value === group) groups.delete(key);
    }
    for (const { reject } of group.waiting) reject(error);
    for (const watch of group.watches) watch._close(error);
    this.#updateStatus();
  }

  // One request at a time: changes after the reply follow its position.
  #sendSubscribe(group) {
    if (!this.#open || group.request || group.removed) return;
    const snapshot = group.wantsSnapshot || undefined;
    const request = (group.request = { snapshot, reload: snapshot && group.reload });
    group.reload = false;
    const since = request.reload ? undefined : group.position;
    this.#sendRequest("subscribe", { ...group.data, since, snapshot }, (error, reply = {}) => {
      group.request = undefined;
      if (group.removed) return;
      if (error) group.reload ||= request.reload;
      if (!error) this.#onSubscribed(group, reply, request);
      else if (error.code === "refused") this.#onRefused(group, error, request);
      this.#releaseUnused();
    });
  }

  #releaseUnused() {
    for (const group of this.#groups.values()) if (!group.used) this.#release(group).catch((error) => this.#report(error));
  }

  #onRefused(group, error, request) {
    const { message } = error;
    if (message === "UNAVAILABLE" || (message === "internal error" && group.confirmed)) {
      setTimeout(() => this.#sendSubscribe(group), backoff(group.failures++));
      return;
    }
    if (group.watches.size || !group.waiting.length) this.#report(Object.assign(error, { group: group.name ?? group.data }));
    if (request.snapshot && !group.snapshot && group.users) {
      for (const watch of group.watches) watch._close(error); // the group may still exist
      this.#sendSubscribe(group);
    } else this.#remove(group, error);
  }

  #onSubscribed(group, reply, request) {
    group = this.#merge(group, reply.group);
    const before = group.position;
    const now = reply.epoch === undefined ? undefined : { epoch: reply.epoch, offset: reply.offset };
    const broken = before ? before.epoch !== now?.epoch : group.confirmed && !group.subscribed;
    const incomplete = reply.recovered === false || broken;
    const ahead = now?.offset > before?.offset;
    // The handlers missed changes, unless a pending resync covers them.
    const skipped = !incomplete && !reply.recovered && ahead;
    group.gap = skipped && !group.resync;
    if (incomplete || !before || (skipped && group.resync)) group.position = now;
    group.replayEnd = reply.recovered && ahead ? now.offset : undefined;
    group.subscribed = group.confirmed = true;
    group.anyOffset = false;
    group.failures = 0;
    if (incomplete) group.resync = { group: group.name, reason: reply.reason ?? (now ? "epoch" : "off") };
    if ("snapshot" in reply || request.reload) for (const watch of group.watches) watch._load(reply.snapshot, reply.offset);
    this.#emitResync(group, reply);
    if (!group.reload) for (const { resolve } of group.waiting.splice(0)) resolve(reply);
    if (group.reload || group.gap) this.#sendSubscribe(group);
    this.#updateStatus();
  }

  // Different requests may name one group.
  #merge(group, name) {
    const known = this.#names.get(name) ?? group;
    this.#names.set(name, known);
    known.name = name;
    if (known === group) return group;
    this.#groups.set(JSON.stringify(group.data), known);
    group.removed = true;
    known.users += group.users;
    known.snapshot ||= group.snapshot;
    known.reload ||= group.reload;
    known.waiting.push(...group.waiting);
    for (const watch of group.watches) {
      watch.group = known;
      known.watches.add(watch);
    }
    return known;
  }

  // A resync waits for a requested snapshot.
  #emitResync(group, { snapshot }) {
    if (!group.resync) return;
    if (group.wantsSnapshot && snapshot === undefined) return (group.reload = true);
    const { resync } = group;
    group.resync = undefined;
    this.#emit("resync", { ...resync, snapshot });
  }

  #onUpdate(data) {
    const group = this.#names.get(data.group);
    if (!group) return this.#emit(data.group, null, data); // not subscribed by the page
    if (!group.subscribed) return;
    const before = group.position;
    const { type, offset, epoch = before?.epoch } = data;
    const seen = epoch === before?.epoch && offset <= before?.offset;
    if (offset > before?.offset + 1 && !data.epoch && !group.anyOffset) {
      group.gap = true; // the server replays from the position
      this.#sendSubscribe(group);
      return this.#updateStatus();
    }
    // Move the position first: a handler may subscribe.
    if (offset === undefined) group.anyOffset ||= type === "resync";
    else if (!seen && epoch !== undefined) {
      group.position = { epoch, offset };
      group.anyOffset = false;
    }
    if (!seen || !data.epoch) for (const watch of group.watches) watch._apply(data);
    if (seen) return;
    if (group.replayEnd <= offset) {
      group.replayEnd = undefined;
      this.#updateStatus();
    }
    if (type === "resync") {
      group.resync = { group: group.name, reason: data.object?.reason };
      this.#emitResync(group, {});
      if (group.reload) this.#sendSubscribe(group);
    }
    this.#emit(data.group, null, data);
  }

  async #connect() {
    clearTimeout(this.#timer);
    this.#mayRetry = false;
    const generation = ++this.#generation;
    const current = (handler) => (event) => generation === this.#generation && handler(event);
    this.#timer = setTimeout(() => this.#abort(), connectTimeout);
    try {
      if (this.#token === undefined) await this.#fetchToken();
      if (generation !== this.#generation) return;
      const socket = (this.#socket = new this.#options.WebSocket(this.#url));
      socket.onopen = current(() => this.#onOpen());
      socket.onmessage = current(({ data }) => this.#onMessage(data));
      socket.onclose = current(({ code, reason }) => this.#onClose(code, reason));
    } catch (error) {
      if (generation !== this.#generation) return;
      this.#onClose();
      this.#report(error);
    }
  }

  #onOpen() {
    this.#open = true;
    this.#ping(this.#options.pingInterval);
    for (const group of this.#groups.values()) this.#sendSubscribe(group);
    const queue = [...this.#queue];
    this.#queue.clear();
    for (const call of queue) this.#sendCall(call);
    this.#updateStatus();
    this.#emit("open");
  }

  #ping(deadline) {
    clearTimeout(this.#timer);
    this.#alive = false;
    this.#send({ type: "ping", id: Date.now() });
    this.#timer = setTimeout(() => {
      if (!this.#alive) return this.#abort();
      this.#attempts = 0;
      this.#ping(this.#options.pingInterval);
    }, deadline);
  }

  #probe() {
    if (this.#open) this.#ping(Math.min(2000, this.#options.pingInterval));
    else if (this.#mayRetry) this.#reconnect();
  }

  #reconnect() {
    this.#emit("reconnecting");
    if (!this.#closed) this.#connect();
  }

  #onMessage(text) {
    this.#alive = true;
    let message;
    try {
      message = JSON.parse(text);
    } catch {}
    if (!message || typeof message !== "object") return this.#report(new RohrpostError("protocol", `invalid message: ${text}`));
    this.#emit("message", message);
    const { id, type, error, data } = message;
    const reply = this.#pending.get(id);
    this.#pending.delete(id);
    const refusal = error !== undefined && new RohrpostError("refused", error, { data });
    if (reply) reply(refusal, data);
    else if (refusal) this.#report(refusal);
    else if (type === "subscription-update" && data?.group) this.#onUpdate(data);
  }

  #abort() {
    this.#onClose();
    this.#socket?.close();
  }

  #onClose(code = 1006, reason = "") {
    const opened = this.#open;
    this.#disconnect(lost);
    if (/^(100[23789]|1010|44..)$/.test(code)) {
      const error = closed(`closed by the server: ${code} ${reason}`, { close: code });
      this.#end(error, opened);
      return this.#report(error);
    }
    if (code === 4001) this.#token = undefined;
    const retry = /retry_after=(\d+\.?\d*)/.exec(reason);
    const delay = retry ? Math.min(retry[1], 3600) * 1000 : code === 4008 && !this.#attempts ? 0 : backoff(this.#attempts);
    this.#attempts++;
    this.#mayRetry = !retry;
    this.#timer = setTimeout(() => this.#reconnect(), delay);
    this.#updateStatus();
    if (opened) this.#emit("closed");
  }

  #disconnect(failure) {
    this.#generation++;
    clearTimeout(this.#timer);
    this.#open = false;
    for (const group of this.#groups.values()) group.subscribed = false;
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const reply of pending) reply(failure());
  }

  close() {
    if (!this.#closed) this.#end(closed());
  }

  #end(error, opened = this.#open) {
    this.#closed = true;
    this.#disconnect(closed);
    this.#socket?.close();
    this.#listeners.abort();
    for (const call of this.#queue) call.done(closed());
    for (const group of this.#groups.values()) this.#remove(group, error);
    this.#updateStatus();
    if (opened) this.#emit("closed");
  }

  #updateStatus() {
    const behind = [...this.#groups.values()].some((group) => !group.live && (group.confirmed || !this.#wasLive));
    let status = this.#open ? "recovering" : "stale";
    if (!this.#wasLive) status = "connecting";
    if (this.#open && !behind) status = "live";
    if (this.#closed) status = "closed";
    this.#wasLive ||= status === "live";
    if (status === this.#status) return;
    this.#status = status;
    this.#emit("status", status);
  }
}

// A subscription of the page, however many users it has.
class Group {
  users = 0; // subscribe() calls
  watches = new Set();
  waiting = []; // promises of subscribe()
  snapshot; // subscribe() requested it
  reload; // request the snapshot without a position
  request; // in flight
  subscribed; // on this connection
  confirmed; // on any connection
  gap; // changes are missing
  anyOffset; // may come next
  replayEnd; // last offset of the replay
  resync; // waits for the snapshot
  failures = 0;

  constructor(data, position) {
    this.data = data;
    this.position = position;
  }
  get used() {
    return this.users || this.watches.size;
  }
  get wantsSnapshot() {
    return this.snapshot || this.watches.size > 0;
  }
  get live() {
    return this.subscribed && !this.gap && !this.replayEnd;
  }
}

class Watch {
  #key;
  #replace;
  #client;
  #byKey = new Map();
  #items;
  #offset; // of the newest change
  #loaded = false;
  #closed = false;
  #listeners = new Set();
  #changes = [];
  #timer;
  #waiters = [];

  constructor({ key = "id", replace, items, since }, client) {
    this.#key = typeof key === "function" ? key : (item) => item[key];
    this.#replace = replace;
    this.#client = client;
    if (items) this._load(items, since?.offset);
    this.ready = this[Symbol.asyncIterator]().next().then(() => this);
    this.ready.catch(() => {});
  }

  get items() {
    return (this.#items ??= Object.freeze([...this.#byKey.values()]));
  }

  get status() {
    return this.#closed ? "closed" : this.#loaded ? this.#client.status() : "connecting";
  }

  get(key) {
    return this.#byKey.get(mapKey(key));
  }

  subscribe(fn) {
    const listener = { fn };
    this.#listeners.add(listener);
    this.#notify(listener, []);
    return () => this.#listeners.delete(listener);
  }

  async *[Symbol.asyncIterator]() {
    let seen;
    while (!this.#closed) {
      if (this.#loaded && this.items !== seen) yield (seen = this.items);
      else await new Promise((resolve) => this.#waiters.push(resolve));
    }
    if (this.error) throw this.error;
  }

  close() {
    this._close(closed());
  }

  _close(error) {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    if (error.code !== "closed" || error.close) this.error = error;
    for (const resolve of this.#waiters) resolve();
    this.#client.release();
  }

  _load(snapshot, offset) {
    try {
      this.#byKey = new Map(snapshot.map((item) => [this.#keyOf(item), item]));
    } catch (error) {
      this.#client.report(error);
      return this._close(error);
    }
    this.#loaded = true;
    this.#offset = offset;
    this.#changes = undefined; // the snapshot replaced all items
    this.#schedule();
  }

  _apply(change) {
    const { type, object, offset, epoch } = change;
    if (!this.#loaded || (!epoch && offset <= this.#offset)) return; // the snapshot contains it
    this.#offset = offset ?? this.#offset;
    if (!["create", "update", "delete"].includes(type)) return;
    try {
      const key = this.#keyOf(object);
      const { updated_fields, ...item } = object;
      if (type === "delete") this.#byKey.delete(key);
      else this.#byKey.set(key, this.#replace ? item : { ...this.#byKey.get(key), ...item });
      this.#changes?.push(change);
      this.#schedule();
    } catch (error) {
      this.#client.report(error);
    }
  }

  #keyOf(item) {
    const key = mapKey(this.#key(item));
    if (key === undefined) throw new RohrpostError("protocol", `item without a key: ${JSON.stringify(item)}`);
    return key;
  }

  // Each message is a task: a microtask would notify for each.
  #schedule() {
    this.#items = undefined;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      const changes = this.#changes ?? [];
      this.#changes = [];
      for (const listener of this.#listeners) this.#notify(listener, changes);
      for (const resolve of this.#waiters.splice(0)) resolve();
    }, notifyInterval);
  }

  #notify({ fn }, changes) {
    try {
      fn(this.items, changes);
    } catch (error) {
      this.#client.report(error);
    }
  }
}

// Random: pages must not reconnect together.
function backoff(attempts) {
  return 500 + Math.random() * (Math.min(20_000, 1000 * 2 ** attempts) - 500);
}

const lost = () => new RohrpostError("lost", "The connection was lost.");

const closed = (text = "The connection is closed.", more) => new RohrpostError("closed", text, more);

function dataOf(target) {
  if (typeof target === "string") return { group: target };
  const { since, snapshot, ...data } = target;
  return data;
}

// A key of several columns is an array.
function mapKey(key) {
  return typeof key === "object" ? JSON.stringify(key) : key;
}

function log(error) {
  (globalThis.reportError ?? console.error)(error);
}

export default Rohrpost;
