// A part of a watch in an order of its own, kept up to date with the watch: that of a
// group, or one that exists.
export function view(source, target = {}, { sort, filter, ...options } = {}) {
  return source.watch ? new View(source.watch(target, options), { sort, filter }) : new View(source, target);
}

class View {
  #watch;
  #options;
  #source; // the items of the watch that #items shows
  #items;
  #listeners = new Set();
  #end;

  constructor(watch, options) {
    this.#watch = watch;
    this.#options = options;
  }

  get items() {
    const { items } = this.#watch;
    if (this.#source !== items) {
      const { sort, filter } = this.#options;
      const shown = filter ? items.filter(filter) : [...items];
      this.#source = items;
      this.#items = Object.freeze(sort ? shown.sort(sort) : shown);
    }
    return this.#items;
  }

  get status() {
    return this.#watch.status;
  }

  get error() {
    return this.#watch.error;
  }

  get ready() {
    return this.#watch.ready.then(() => this);
  }

  get(key) {
    const item = this.#watch.get(key);
    const { filter = () => true } = this.#options;
    return item && filter(item) ? item : undefined;
  }

  // Replaces the order or the filter.
  set(options) {
    this.#options = { ...this.#options, ...options };
    this.#source = undefined;
    this.#notifyAll([]);
  }

  subscribe(fn) {
    const listener = { fn };
    if (!this.#listeners.size) this.#end = this.#watch.subscribe((_, changes) => this.#notifyAll(changes));
    this.#listeners.add(listener);
    this.#notify(listener, []);
    return () => {
      if (this.#listeners.delete(listener) && !this.#listeners.size) this.#end();
    };
  }

  #notifyAll(changes) {
    for (const listener of this.#listeners) this.#notify(listener, changes);
  }

  #notify({ fn }, changes) {
    try {
      fn(this.items, changes);
    } catch (error) {
      this._report(error);
    }
  }

  _report(error) {
    this.#watch._report(error);
  }

  on(type, handler) {
    this.#watch.on(type, handler);
    return this;
  }

  once(type, handler) {
    this.#watch.once(type, handler);
    return this;
  }

  off(type, handler) {
    this.#watch.off(type, handler);
    return this;
  }

  async *[Symbol.asyncIterator]() {
    for await (const _ of this.#watch) yield this.items;
  }

  close() {
    this.#watch.close();
  }
}
