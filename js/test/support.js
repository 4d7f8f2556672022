// What the tests share: a clock that they move, and the other end of a socket.
import { Rohrpost } from "../rohrpost.js";

const real = { setTimeout, clearTimeout, setImmediate, now: Date.now, random: Math.random };

// settled resolves when all promises that can go on have done so.
export const settled = () => new Promise((resolve) => real.setImmediate(resolve));

// A Clock stands in for the timers of the module.
export class Clock {
  now = 1_700_000_000_000;
  #timers = new Map();
  #last = 0;

  install(random = real.random) {
    globalThis.setTimeout = (fn, ms = 0) => {
      this.#timers.set(++this.#last, { at: this.now + ms, fn });
      return this.#last;
    };
    globalThis.clearTimeout = (id) => this.#timers.delete(id);
    Date.now = () => this.now;
    Math.random = random;
    return this;
  }

  uninstall() {
    Object.assign(globalThis, { setTimeout: real.setTimeout, clearTimeout: real.clearTimeout });
    Date.now = real.now;
    Math.random = real.random;
  }

  // The time of the next timer, from now.
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

// A Network makes sockets whose other end the test is.
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

  constructor(url, page) {
    this.url = url;
    this.page = page;
  }

  send(text) {
    if (this.closed) throw new Error("the page sends on a closed socket");
    const message = JSON.parse(text);
    this.sent.push(message);
    this.onsent?.(message);
  }

  // The requests, of a type or all; the pings of the module are none.
  requests(type) {
    return this.sent.filter((m) => "auth_jwt" in m && (!type || m.type === type));
  }

  open() {
    this.page.onopen({});
  }

  deliver(message) {
    this.page.onmessage({ data: typeof message === "string" ? message : JSON.stringify(message) });
  }

  reply(request, data, error) {
    this.deliver({ id: request.id, type: request.type, error, data });
  }

  drop(code = 1006, reason = "") {
    this.closed = true;
    this.page.onclose({ code, reason });
  }
}

// setup returns a page that is not connected yet, and all around it.
export function setup(t, options = {}) {
  const clock = new Clock().install(options.random);
  const network = new Network();
  const page = new Rohrpost("ws://hub.test/", { WebSocket: network.WebSocket, ...options });
  const seen = [];
  const see = (type) => page.on(type, (...values) => seen.push([type, ...values]));
  for (const type of ["open", "closed", "reconnecting", "status", "resync", "error"]) see(type);
  t.after(() => {
    page.close();
    clock.uninstall();
  });
  const names = () => seen.map(([type]) => type);
  const of = (type) => seen.filter((e) => e[0] === type).map((e) => e[1]);
  return { clock, network, page, seen, see, names, of, settled };
}

// connected returns the same, connected.
export async function connected(t, options) {
  const all = setup(t, options);
  await settled();
  all.network.last.open();
  await settled();
  return all;
}
