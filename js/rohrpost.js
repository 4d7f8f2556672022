import { Calls } from "./calls.js";
import { Connection } from "./connection.js";
import { RohrpostError, closed, lost } from "./errors.js";
import { Emitter } from "./events.js";
import { Groups } from "./groups.js";
import { Token } from "./token.js";

export { RohrpostError };

export class Rohrpost extends Emitter {
  #connection;
  #calls;
  #groups;
  #closed;
  #status = "connecting";
  #wasLive;

  constructor(url, { token: source, pingInterval = 5000, timeout = 2000, WebSocket = globalThis.WebSocket } = {}) {
    super();
    const token = new Token(source);
    const hub = {
      isOpen: () => this.#connection.open,
      isClosed: () => this.#closed,
      send: (message) => this.#connection.send(message),
      request: (...request) => this.#calls.request(...request),
      call: (...call) => this.#calls.call(...call),
      emit: (...event) => this._emit(...event),
      report: (error) => this._report(error),
      update: () => this.#updateStatus(),
    };
    this.#calls = new Calls(hub, token, timeout);
    this.#groups = new Groups(hub);
    this.#connection = new Connection(url, { pingInterval, WebSocket }, token, {
      report: hub.report,
      reconnecting: () => this._emit("reconnecting"),
      onOpen: () => this.#onOpen(),
      onFrame: (text) => this.#onFrame(text),
      onLost: () => this.#onLost(lost),
      onClosed: (opened) => this.#onClosed(opened),
      onEnd: (error, opened) => {
        this.#end(error, opened);
        this._report(error);
      },
    });
  }

  get status() {
    return this.#status;
  }

  call(name, data, options) {
    return this.#calls.call(name, data, options);
  }

  subscribe(target) {
    return this.#groups.subscribe(target);
  }

  unsubscribe(target) {
    return this.#groups.unsubscribe(target);
  }

  watch(target, options) {
    return this.#groups.watch(target, options);
  }

  close() {
    if (!this.#closed) this.#end(closed());
  }

  #onOpen() {
    this.#groups.onOpen();
    this.#calls.onOpen();
    this.#updateStatus();
    this._emit("open");
  }

  #onFrame(text) {
    let message;
    try {
      message = JSON.parse(text);
    } catch {}
    if (!message || typeof message !== "object") return this._report(new RohrpostError("protocol", `invalid message: ${text}`));
    this._emit("message", message);
    const { type, data } = message;
    if (!this.#calls.onMessage(message) && type === "subscription-update" && data?.group) this.#groups.onChange(data);
  }

  #onLost(failure) {
    this.#groups.onLost();
    this.#calls.onLost(failure);
  }

  #onClosed(opened) {
    this.#updateStatus();
    if (opened) this._emit("closed");
  }

  #end(error, opened = this.#connection.open) {
    this.#closed = true;
    this.#connection.end();
    this.#onLost(closed);
    this.#calls.end();
    this.#groups.end(error);
    this.#onClosed(opened);
  }

  #updateStatus() {
    let status = this.#connection.open ? "recovering" : "stale";
    if (!this.#wasLive) status = "connecting";
    if (this.#connection.open && !this.#groups.isBehind(this.#wasLive)) status = "live";
    if (this.#closed) status = "closed";
    this.#wasLive ||= status === "live";
    if (status === this.#status) return;
    this.#status = status;
    this._emit("status", status);
  }
}

export default Rohrpost;
