import { Emitter } from "./events.js";

// A group, as the page sees it: one object, whether the page is subscribed or not.
export class Group extends Emitter {
  _error; // that ended the subscription
  #hub;

  constructor(hub, data) {
    super();
    this.#hub = hub;
    this._data = data;
    this._status = this.status;
  }

  get name() {
    return this.#hub._groups.find(this._data)?.name ?? this._data.group;
  }

  get status() {
    return this.#hub._groups.find(this._data)?.status ?? "closed";
  }

  get error() {
    const sub = this.#hub._groups.find(this._data);
    return sub ? sub.error : (this._error ?? this.#hub._ended);
  }

  subscribe(options) {
    return this.#hub.subscribe({ ...options, ...this._data });
  }

  unsubscribe() {
    return this.#hub.unsubscribe(this._data);
  }

  _report(error) {
    this.#hub._report(error);
  }
}

// The subscription of a group, however many users it has.
export class Subscription {
  users = 0; // subscribe() calls
  watches = new Set();
  waiting = []; // promises of subscribe()
  failures = 0;
  // snapshot: subscribe() requested it
  // reload: request the snapshot without a position
  // resynced: the page shows old data until the snapshot has come
  // request: in flight
  // repeated: ids of changes that came during the last request
  // timer: before the next request
  // subscribed: on this connection
  // confirmed: on any connection
  // gap: changes are missing
  // anyOffset: may come next
  // replayEnd: last offset of the replay
  // resync: waits for the snapshot
  // error: of the last tries
  // removed: replies are ignored

  constructor(data, position, hub) {
    this.data = data;
    this.position = position;
    this.hub = hub;
  }
  get used() {
    return this.users || this.watches.size;
  }
  get wantsSnapshot() {
    return this.snapshot || this.watches.size > 0;
  }
  get outdated() {
    return (this.resynced && this.wantsSnapshot) || [...this.watches].some((watch) => watch._unfit);
  }
  get live() {
    return this.subscribed && !this.gap && !this.replayEnd && !this.outdated;
  }
  get status() {
    if (!this.used) return "closed";
    if (!this.confirmed) return "connecting";
    return !this.hub._connection.current ? "stale" : this.live ? "live" : "recovering";
  }
}
