import { RohrpostError, closed } from "./errors.js";
import { Emitter } from "./events.js";

const notifyInterval = 16; // ms

// The reducer of a group: makes items of its snapshot and its changes.
export class Watch extends Emitter {
  error;
  #keyField;
  #key;
  #replace;
  #groups;
  #byKey = new Map();
  #items;
  _unfit; // the items lack a change, until the next snapshot
  #offset; // of the newest change
  #loaded = false;
  _closed = false;
  _status = "connecting";
  #listeners = new Set();
  #changes = [];
  #timer;
  #waiters = [];

  constructor({ key = "id", replace, items, since }, groups) {
    super();
    this.#keyField = key;
    this.#key = typeof key === "function" ? key : (item) => item[key];
    this.#replace = replace;
    this.#groups = groups;
    if (items) this._load(items, since?.offset);
    this.ready = this.#whenReady();
    this.ready.catch(() => {});
  }

  get items() {
    return (this.#items ??= Object.freeze([...this.#byKey.values()]));
  }

  get status() {
    return this._closed ? "closed" : this.#loaded ? this.subscription.status : "connecting";
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
    while (!this._closed) {
      if (this.#loaded && this.items !== seen) yield (seen = this.items);
      else await new Promise((resolve) => this.#waiters.push(resolve));
    }
    if (this.error) throw this.error;
  }

  async #whenReady() {
    for await (const _ of this) return this;
    throw closed();
  }

  close() {
    this._end();
  }

  _report(error) {
    this.#groups.report(error);
  }

  // After an error the page must not show the items any longer.
  _end(error) {
    if (this._closed) return;
    this._closed = true;
    clearTimeout(this.#timer);
    this.error = error;
    if (error) {
      this.#byKey.clear();
      this.#items = undefined;
      for (const listener of this.#listeners) this.#notify(listener, []);
    }
    for (const resolve of this.#waiters) resolve();
    this.#groups.release(this);
    this._updateStatus();
  }

  _load(snapshot, offset) {
    try {
      this.#byKey = new Map((snapshot === null ? [] : snapshot).map((item) => [this.#keyOf(item), item]));
    } catch (error) {
      return this.#fail(error);
    }
    this.#loaded = true;
    this._unfit = false;
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
      const { partial } = change;
      if (!this.#fits(key, item, type, change)) return this.#reload();
      if (type === "delete") this.#byKey.delete(key);
      else this.#byKey.set(key, this.#replace && !partial ? item : { ...this.#byKey.get(key), ...item });
      this.#changes?.push(change);
      this.#schedule();
    } catch (error) {
      if (error.code === "unsafe_key") return this.#fail(error);
      this._report(error);
      this.#reload();
    }
  }

  // No later change makes up for what one did not say.
  #reload() {
    this._unfit = true;
    this.#groups.reload(this);
  }

  // Whether the change says all that the items need.
  #fits(key, item, type, { partial, updated_fields: fields }) {
    const [first] = this.#byKey.values();
    if (first && this.#typeOf(first) !== this.#typeOf(item)) return false;
    if (type === "delete") return true;
    const old = this.#byKey.get(key);
    if (partial && (!old || !fields)) return !!old;
    const known = old ?? first;
    if (this.#isBare(item) && !(known && this.#isBare(known))) return false;
    if (type === "create") return true;
    if (!old) {
      // The update may have changed the key, or contain only what it changed.
      if (this.#keyField !== "id" || Array.isArray(item.id) || fields?.includes("id")) return false;
      return !fields || Object.keys(item).some((name) => name !== "id" && !fields.includes(name));
    }
    return this.#replace || !fields?.some((name) => name in old && !(name in item));
  }

  // Whether the item has nothing but a key.
  #isBare(item) {
    return Object.keys(item).every((name) => name === "id" || name === this.#keyField);
  }

  #fail(error) {
    this._report(error);
    this._end(error);
  }

  #typeOf(item) {
    return [this.#key(item)].flat().map((part) => typeof part).join();
  }

  #keyOf(item) {
    const key = this.#key(item);
    for (const part of [key].flat()) {
      if (part == null) throw new RohrpostError("protocol", `no key in ${JSON.stringify(item)}`);
      if (Math.abs(part) > Number.MAX_SAFE_INTEGER && typeof part === "number") {
        throw new RohrpostError("unsafe_key", `key ${part} is above 2^53, send it as a string`);
      }
    }
    return mapKey(key);
  }

  // Each message is a task: a microtask would notify for each.
  #schedule() {
    this.#items = undefined;
    this.#timer ??= setTimeout(() => this.#flush(), notifyInterval);
  }

  #flush() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const changes = this.#changes ?? [];
    this.#changes = [];
    for (const listener of this.#listeners) this.#notify(listener, changes);
    for (const resolve of this.#waiters.splice(0)) resolve();
  }

  // The subscribers get the items before anybody learns that they are live.
  _updateStatus() {
    if (this.#timer && this.status !== this._status) this.#flush();
    super._updateStatus();
  }

  #notify({ fn }, changes) {
    try {
      fn(this.items, changes);
    } catch (error) {
      this._report(error);
    }
  }
}

// A key of several columns is an array.
function mapKey(key) {
  return typeof key === "object" ? JSON.stringify(key) : key;
}
