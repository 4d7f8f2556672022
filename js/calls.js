import { RohrpostError, closed, lost } from "./errors.js";

// The requests of the page and their replies.
export class Calls {
  #hub; // isOpen, isClosed, send, report
  #token;
  #timeout;
  #id = 0;
  #pending = new Map(); // request id -> (error, data) => …
  #queue = new Set(); // unsent calls

  constructor(hub, token, timeout) {
    this.#hub = hub;
    this.#token = token;
    this.#timeout = timeout;
  }

  call(name, data, { timeout = this.#timeout } = {}) {
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
    if (this.#hub.isClosed()) return call.done(closed());
    if (!this.#hub.isOpen()) return this.#queue.add(call);
    call.sent = true;
    try {
      this.request(call.name, call.data, call.done);
    } catch (error) {
      call.done(error);
    }
  }

  request(type, data, reply, renewable = true) {
    const token = this.#token.value;
    this.#pending.set(++this.#id, async (error, value) => {
      // The server has not executed a refused request.
      if (!renewable || error?.message !== "ACCESS_DENIED" || !(await this.#renewToken(token))) reply(error, value);
      else if (this.#hub.isOpen()) this.request(type, data, reply, false);
      else reply(lost());
    });
    this.#hub.send({ type, id: this.#id, auth_jwt: token, data });
  }

  async #renewToken(refused) {
    return this.#token.renew(refused).catch((error) => this.#hub.report(error));
  }

  onOpen() {
    const queue = [...this.#queue];
    this.#queue.clear();
    for (const call of queue) this.#sendCall(call);
  }

  // Returns whether the message belongs to a request, or is an error.
  onMessage({ id, error, data }) {
    const reply = this.#pending.get(id);
    this.#pending.delete(id);
    const refusal = error !== undefined && new RohrpostError("refused", error, { data });
    if (reply) reply(refusal, data);
    else if (refusal) this.#hub.report(refusal);
    return reply || refusal;
  }

  onLost(failure) {
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const reply of pending) reply(failure());
  }

  end() {
    this.onLost(closed);
    for (const call of this.#queue) call.done(closed());
  }
}
