import { Calls, pageId } from "./calls.js";
import { Connection } from "./connection.js";
import { RohrpostError, closed, isFault, lost } from "./errors.js";
import { Emitter } from "./events.js";
import { Groups } from "./groups.js";
import { Token } from "./token.js";

export { RohrpostError, pageId };

// The modules share the members that begin with "_".
export class Rohrpost extends Emitter {
  _ended; // the error that ended the connection
  #wasLive;

  constructor(url, options = {}) {
    super();
    this._options = options;
    this._token = new Token(options.token, () => this._calls.onToken());
    this._calls = new Calls(this);
    this._groups = new Groups(this);
    this._connection = new Connection(url, this);
    if (options.debug) for (const type of ["send", "message", "status"]) this.on(type, (...values) => console.debug("rohrpost", type, ...values));
    if (options.autoConnect ?? true) this._connection.start();
    this._status = this.status;
  }

  get status() {
    const { open, current, active } = this._connection;
    if (!active) return "closed";
    if (open && !current) return "stale";
    if (open && !this._groups.isBehind(this.#wasLive)) return "live";
    if (!this.#wasLive) return "connecting";
    return open ? "recovering" : "stale";
  }

  connect() {
    this._ended = undefined;
    this._connection.start();
    this._update();
  }

  disconnect() {
    this._onLost(this._connection.stop());
  }

  close() {
    if (!this._ended) this._end(closed());
  }

  call(name, data, options) {
    return this._calls.call(name, data, options);
  }

  group(target) {
    return this._groups.group(target);
  }

  subscribe(target) {
    return this._groups.subscribe(target);
  }

  unsubscribe(target) {
    return this._groups.unsubscribe(target);
  }

  watch(target, options) {
    return this._groups.watch(target, options);
  }

  _onOpen() {
    this._calls.hello();
    this._groups.onOpen();
    this._calls.flush();
    this._emit("open");
    this._update();
  }

  _onStatus(status) {
    this._connection.behind = status === "stale";
    this._update();
  }

  _onLost(opened, failure = lost) {
    this._groups.onLost();
    this._calls.onLost(failure);
    this._update();
    if (opened) this._emit("closed");
  }

  _end(error) {
    this._ended = error;
    const opened = this._connection.stop();
    this._calls.end();
    this._groups.end(error);
    this._onLost(opened, isFault(error) ? lost : closed);
    if (isFault(error)) this._report(error);
  }

  _update() {
    this.#wasLive ||= this.status === "live";
    this._groups.updateStatus();
    this._updateStatus();
  }
}

export default Rohrpost;
