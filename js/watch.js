import { RohrpostError, closed } from "./errors.js";

const notifyInterval = 16; // ms

// Makes items of the snapshot and the changes of a group.
export class Watch {
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

// A key of several columns is an array.
function mapKey(key) {
  return typeof key === "object" ? JSON.stringify(key) : key;
}
