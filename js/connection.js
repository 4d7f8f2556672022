import { RohrpostError, closed } from "./errors.js";

const timeout = 10_000; // ms
const hanging = 1000; // ms, the age of an attempt that an event abandons
const trusted = 5000; // ms, after which a connection without heartbeats has proved to work
const heldBack = 2000; // ms, after which the path of the hub is given up for another

// One socket at a time: opens it, checks that it is alive, and reconnects.
export class Connection {
  open = false;
  active = false; // connected, or trying
  behind; // the hub may lack changes of other hubs
  modern; // the hub has answered hello
  subtree; // the hub answers under every path below its own
  #reachable; // paths below that of the hub have led to it
  #hub;
  #url;
  #WebSocket;
  #pingInterval;
  #socket;
  #generation = 0; // events of earlier sockets are ignored
  #timer; // timeout, heartbeat or reconnection
  #alive; // since the last heartbeat
  #patience = 30_000; // ms of silence while a reply is due
  #attempts = 0; // since a connection has proved to work
  #unopened = 0; // attempts in a row
  #denied; // the last connection ended with 4401
  #eventsFrom; // from then on an event starts an attempt at once
  #listeners;

  constructor(url, hub) {
    const { pingInterval = 5000, WebSocket = globalThis.WebSocket } = hub._options;
    this.#hub = hub;
    this.#pingInterval = pingInterval;
    this.#WebSocket = WebSocket;
    this.subtree = this.#reachable = hub._options.subtree;
    const { document, location } = globalThis;
    const base = [document?.baseURI, location?.origin, location?.href].find((base) => /:/.test(base));
    try {
      this.#url = new URL(url, base).href.replace(/^http/, "ws");
    } catch (error) {
      if (/^[a-z][a-z\d+.-]*:/i.test(url)) throw error;
      this.#url = url; // relative, without a page
    }
  }

  get current() {
    return this.open && !this.behind;
  }

  start() {
    if (this.active) return;
    this.active = true;
    this.#attempts = this.#unopened = 0;
    this.#listeners = new AbortController();
    const { signal } = this.#listeners;
    const { document } = globalThis;
    const listen = (target, type, handler) => target?.addEventListener?.(type, handler, { signal });
    listen(globalThis, "online", () => this.#wake());
    listen(globalThis, "offline", () => this.open && this.#abort());
    listen(globalThis, "pageshow", ({ persisted }) => persisted && this.#restart());
    listen(document, "visibilitychange", () => document.hidden || this.#wake());
    listen(document, "securitypolicyviolation", ({ blockedURI, disposition }) => {
      if (disposition === "enforce" && blockedURI.startsWith(new URL(this.#url).origin)) this.#giveUp("Content Security Policy");
    });
    this.#connect();
  }

  // Returns whether the connection was open.
  stop() {
    this.active = false;
    this.#listeners?.abort();
    this.#hub._token.expires(Infinity);
    const open = this.#drop();
    this.#socket?.close();
    return open;
  }

  send(message) {
    this.#socket.send(typeof message === "string" ? message : JSON.stringify(message));
    this.#hub._emit("send", message);
  }

  async #connect() {
    clearTimeout(this.#timer);
    const token = this.#hub._token;
    const generation = ++this.#generation;
    const current = (handler) => (event) => generation === this.#generation && handler(event);
    this.#eventsFrom = performance.now() + hanging;
    const below = this.#isBelow();
    this.#timer = setTimeout(() => this.#abort(), this.#isUnsure && !below ? heldBack : timeout);
    try {
      if (token.value === undefined) await token.fetch();
    } catch (error) {
      if (generation !== this.#generation) return;
      this.#onClose(0);
      return this.#hub._report(error);
    }
    if (generation !== this.#generation) return;
    try {
      if (!this.#WebSocket) throw new Error("no WebSocket");
      const socket = (this.#socket = new this.#WebSocket(this.#nextURL(below)));
      socket.onopen = current(() => this.#onOpen(below));
      socket.onmessage = current(({ data }) => this.#onMessage(data));
      socket.onclose = current(({ code, reason }) => this.#onClose(code, reason));
      // In some engines no "close" follows.
      socket.onerror = current(() => setTimeout(current(() => socket.readyState === 3 && this.#onClose())));
    } catch (error) {
      this.#giveUp(error);
    }
  }

  // Firefox holds back attempts at a path that has failed, for up to a minute.
  get #avoids() {
    return this.subtree && this.#attempts && /Firefox/.test(globalThis.navigator?.userAgent);
  }

  // A proxy may pass only the path of the hub.
  get #isUnsure() {
    return this.#avoids && !this.#reachable;
  }

  // Whether the next attempt has a path of its own.
  #isBelow() {
    return this.#avoids && !(this.#isUnsure && this.#attempts % 4 === 2);
  }

  // The attempt at the path of the hub takes time from the delay between two others.
  #shorten(delay) {
    const place = this.#isUnsure ? this.#attempts % 4 : 0;
    return place === 2 ? 0 : place === 3 ? Math.max(0, delay - heldBack) : delay;
  }

  #nextURL(below) {
    const url = new URL(this.#url);
    if (below) url.pathname += Math.random().toString(36).slice(2);
    return url.href;
  }

  #giveUp(error) {
    this.#hub._end(new RohrpostError("cannot_connect", `cannot connect to ${this.#url}: ${error}`));
  }

  #onOpen(below) {
    this.open = true;
    this.#reachable ||= below;
    this.modern = this.behind = false;
    this.#unopened = 0;
    this.#hub._token.renewed = false;
    this.#hub._onOpen();
    if (this.open) this.#beat();
  }

  #onMessage(text) {
    this.#alive = true;
    this.#hub._calls.onFrame(text);
  }

  #beat(wait = this.#pingInterval) {
    clearTimeout(this.#timer);
    if (!wait) return (this.#timer = setTimeout(() => this.#trust(), trusted));
    this.#alive = false;
    this.send({ type: this.modern ? "rohrpost:heartbeat" : "ping", id: Date.now() });
    this.#expect(wait, wait);
  }

  // The client sees a frame when its last byte has arrived: silence proves nothing while a reply is due.
  #expect(wait, silence) {
    this.#timer = setTimeout(() => {
      const due = this.#hub._calls.isWaiting;
      if (this.#alive) {
        this.#trust();
        this.#beat();
      } else if (due && silence < this.#patience) this.#expect(wait, silence + wait);
      else {
        if (due) this.#patience = 60_000;
        this.#abort();
      }
    }, wait);
  }

  // The connection has proved to work.
  #trust() {
    this.#attempts = 0;
    this.#denied = false;
  }

  #wake() {
    if (this.open) this.#beat(Math.min(this.#pingInterval, 2000));
    else if (performance.now() >= this.#eventsFrom) this.#reconnect();
    else if (this.#eventsFrom < Infinity) {
      clearTimeout(this.#timer);
      this.#attempts = 1; // the delays begin anew
      this.#timer = setTimeout(() => this.#reconnect(), hanging);
    }
  }

  // The socket of a page that returns from the back/forward cache is dead.
  #restart() {
    this.#attempts = 0;
    if (this.open) this.#abort();
    if (this.#eventsFrom < Infinity) this.#reconnect();
  }

  #reconnect() {
    if (!this.open) this.#socket?.close(); // may hang
    const generation = ++this.#generation;
    this.#hub._emit("reconnecting");
    if (generation === this.#generation) this.#connect();
  }

  #abort() {
    this.#onClose();
    this.#socket?.close();
  }

  #onClose(code = 1006, reason = "") {
    const hub = this.#hub;
    const token = hub._token;
    const renew = code === 4401 && token.renewable && !this.#denied;
    this.#denied = code === 4401;
    if (this.#denied) token.value = undefined;
    if (/^(100[23789]|1010|44..)$/.test(code) && !renew) {
      const text = this.#denied ? "identity rejected" : "closed by the server";
      return hub._end(closed(`${text}: ${code} ${reason}`, { close: code }));
    }
    const opened = this.#drop();
    const expired = code === 4001 && !token.renewed;
    if (expired) token.value = undefined;
    const atOnce = renew || (/400[18]/.test(code) && !expired && !this.#attempts);
    const retry = /retry_after"?[=:] *(\d+\.?\d*)/.exec(reason);
    const wait = backoff(this.#attempts++, hub._options.reconnectDelay);
    const delay = retry ? Math.min(retry[1], 3600) * 1000 : atOnce ? 0 : this.#shorten(wait);
    this.#eventsFrom = retry ? Infinity : 0;
    this.#timer = setTimeout(() => this.#reconnect(), delay);
    const failures = code && !opened && ++this.#unopened;
    hub._onLost(opened);
    if (failures === 1) this.#checkBlocked();
    if (failures === 3) hub._report(new RohrpostError("unreachable", `cannot reach ${this.#url}`, { temporary: true }));
  }

  #checkBlocked() {
    const { document, isSecureContext, location } = globalThis;
    const url = new URL(this.#url);
    const check = ({ whyBlocked }) => {
      const why = whyBlocked(url, location?.protocol);
      if (why && this.active) this.#giveUp(why);
    };
    if (document && (url.port || isSecureContext)) import("./blocked.js").then(check, () => {}); // may be offline
  }

  #drop() {
    const { open } = this;
    this.open = false;
    this.#generation++;
    clearTimeout(this.#timer);
    return open;
  }
}

// Returns a random delay in ms: pages must not reconnect together.
export function backoff(attempts, { min = 500, max = 4_000 } = {}) {
  return min + Math.random() * (Math.min(max, min * 2 ** (attempts + 1)) - min);
}
