import { backoff } from "./backoff.js";
import { closed } from "./errors.js";

const connectTimeout = 10_000; // ms

// One socket at a time: opens it, checks that it is alive, and reconnects.
export class Connection {
  open;
  #url;
  #options;
  #token;
  #hub; // onOpen, onFrame, onLost, onClosed, onEnd, reconnecting, report
  #socket;
  #generation = 0; // events of earlier sockets are ignored
  #timer; // timeout, ping or reconnection
  #alive; // since the last ping
  #attempts = 0; // failed in a row
  #mayRetry; // before the timer fires
  #listeners = new AbortController();

  constructor(url, options, token, hub) {
    this.#url = new URL(url, globalThis.location?.href).href.replace(/^http/, "ws");
    this.#options = options;
    this.#token = token;
    this.#hub = hub;
    const { signal } = this.#listeners;
    const listen = (target, type, handler) => target?.addEventListener?.(type, handler, { signal });
    listen(globalThis, "online", () => this.#probe());
    listen(globalThis, "offline", () => this.open && this.#abort());
    listen(globalThis.document, "visibilitychange", () => document.hidden || this.#probe());
    this.#connect();
  }

  send(message) {
    this.#socket.send(JSON.stringify(message));
  }

  end() {
    this.#drop();
    this.#socket?.close();
    this.#listeners.abort();
  }

  async #connect() {
    clearTimeout(this.#timer);
    this.#mayRetry = false;
    const generation = ++this.#generation;
    const current = (handler) => (event) => generation === this.#generation && handler(event);
    this.#timer = setTimeout(() => this.#abort(), connectTimeout);
    try {
      if (this.#token.value === undefined) await this.#token.fetch();
      if (generation !== this.#generation) return;
      const socket = (this.#socket = new this.#options.WebSocket(this.#url));
      socket.onopen = current(() => this.#onOpen());
      socket.onmessage = current(({ data }) => this.#onMessage(data));
      socket.onclose = current(({ code, reason }) => this.#onClose(code, reason));
    } catch (error) {
      if (generation !== this.#generation) return;
      this.#onClose();
      this.#hub.report(error);
    }
  }

  #onOpen() {
    this.open = true;
    this.#ping(this.#options.pingInterval);
    this.#hub.onOpen();
  }

  #onMessage(text) {
    this.#alive = true;
    this.#hub.onFrame(text);
  }

  #ping(deadline) {
    clearTimeout(this.#timer);
    this.#alive = false;
    this.send({ type: "ping", id: Date.now() });
    this.#timer = setTimeout(() => {
      if (!this.#alive) return this.#abort();
      this.#attempts = 0;
      this.#ping(this.#options.pingInterval);
    }, deadline);
  }

  #probe() {
    if (this.open) this.#ping(Math.min(2000, this.#options.pingInterval));
    else if (this.#mayRetry) this.#reconnect();
  }

  #reconnect() {
    const generation = this.#generation;
    this.#hub.reconnecting();
    if (generation === this.#generation) this.#connect();
  }

  #abort() {
    this.#onClose();
    this.#socket?.close();
  }

  #onClose(code = 1006, reason = "") {
    const opened = this.open;
    this.#drop();
    this.#hub.onLost();
    if (/^(100[23789]|1010|44..)$/.test(code)) return this.#hub.onEnd(closed(`closed by the server: ${code} ${reason}`, { close: code }), opened);
    if (code === 4001) this.#token.value = undefined;
    const retry = /retry_after=(\d+\.?\d*)/.exec(reason);
    const delay = retry ? Math.min(retry[1], 3600) * 1000 : code === 4008 && !this.#attempts ? 0 : backoff(this.#attempts);
    this.#attempts++;
    this.#mayRetry = !retry;
    this.#timer = setTimeout(() => this.#reconnect(), delay);
    this.#hub.onClosed(opened);
  }

  #drop() {
    this.#generation++;
    clearTimeout(this.#timer);
    this.open = false;
  }
}
