import { RohrpostError, closed, isLoss, lost, refusal } from "./errors.js";

// Names this page to the hub, which returns it as the origin of changes. A page may load
// this module twice.
export const pageId = (globalThis[Symbol.for("rohrpost.page")] ??= Math.random().toString(36).slice(2));

const early = 16_384; // characters that may be sent before the hub has answered hello
const silence = 5000; // ms, after which the hub will not answer it

// The requests of the page and their replies.
export class Calls {
  #hub;
  #limits; // known after hello
  #id = 0;
  #pending = new Map(); // request id -> (error, data) => …
  #waiting = new Set(); // ids of requests whose reply is due
  #queue = new Set(); // unsent requests
  #timer; // until another hello, or until there is no reply to it
  #early; // characters that were sent
  #once; // the hub wants the token once per connection

  constructor(hub) {
    this.#hub = hub;
  }

  get isWaiting() {
    return this.#waiting.size > 0;
  }

  hello() {
    const { _connection: connection, _token: token } = this.#hub;
    clearTimeout(this.#timer);
    this.#early = 0;
    const { value } = token;
    this.#pending.set(0, (error, reply) => {
      if (isLoss(error)) return;
      clearTimeout(this.#timer);
      if (error?.temporary) this.#timer = setTimeout(() => this.hello(), 1000 * ((error.retryAfter ?? 1) + Math.random()));
      if (reply) this.#limits = reply.limits;
      this.#once = reply?.token;
      if (reply) {
        connection.modern = true;
        connection.subtree ??= reply.subtree;
        if (reply.expires_in) token.expires(reply.expires_in, (error) => this.#hub._report(error));
      }
      if (value !== token.value) this.onToken();
      this.#goOn();
    });
    const wants = ["unsubscribed", "parts", "expiring", "status"];
    this.#timer = setTimeout(() => this.#goOn(), silence);
    connection.send({ type: "rohrpost:hello", id: 0, data: { version: 1, token: value || undefined, page: pageId, wants } });
  }

  // Sends what has waited for the reply to hello.
  #goOn() {
    this.#limits ??= {};
    this.flush();
  }

  // Another hello renews the identity of the connection.
  onToken() {
    if (this.#once && this.#hub._connection.open) this.hello();
  }

  call(name, data, { timeout = this.#hub._options.timeout ?? 2000 } = {}) {
    return new Promise((resolve, reject) => {
      const call = { name, sent: false };
      call.send = () => {
        if (this.#hub._ended) call.done(closed());
        else if (!this.#hub._connection.open) this.#queue.add(call);
        else this.request(name, data, call.done, call);
      };
      let timer;
      call.done = (error, value) => {
        clearTimeout(timer);
        this.#queue.delete(call);
        this.#waiting.delete(call.id);
        if (error) reject(Object.assign(error, { sent: call.sent }));
        else resolve(value);
      };
      // A longer delay would end at once.
      if (timeout < 2 ** 31) timer = setTimeout(() => call.done(new RohrpostError("timeout", `no reply to ${name}`, { temporary: true })), timeout);
      call.send();
    });
  }

  request(type, data, reply, call = {}) {
    const { _connection: connection, _token: token } = this.#hub;
    const old = token.value;
    const once = this.#once;
    const id = ++this.#id;
    try {
      const text = JSON.stringify({ type, id, auth_jwt: once ? undefined : old, data });
      if (!this.#limits && (this.#queue.size || (this.#early += text.length) > early)) {
        call.send ??= () => this.request(type, data, reply, call);
        call.done ??= reply;
        return this.#queue.add(call);
      }
      const limit = this.#limits?.max_message_bytes;
      if (new TextEncoder().encode(text).length > limit) throw new RohrpostError("too_large", `${type}: the server accepts at most ${limit} bytes`);
      connection.send(text);
    } catch (error) {
      return reply(error);
    }
    call.sent = true;
    call.id = id;
    this.#waiting.add(id);
    this.#pending.set(id, async (error, value) => {
      // The server has not executed a refused request.
      const denied = error?.code === "access_denied" || error?.message === "ACCESS_DENIED";
      try {
        const unknown = once && !this.#once; // the hub has not taken the token of hello
        if (!denied || !(unknown || (!call.renewed && (call.renewed = await token.renew(old))))) return reply(error, value);
      } catch (cause) {
        this.#hub._report(cause);
        return reply(new RohrpostError("token", `no token: ${cause?.message}`, { cause, temporary: true }));
      }
      if (connection.open) this.request(type, data, reply, call);
      else reply(lost());
    });
  }

  flush() {
    const queue = [...this.#queue];
    this.#queue.clear();
    for (const call of queue) call.send();
  }

  onFrame(text) {
    const hub = this.#hub;
    let message;
    try {
      message = JSON.parse(text);
    } catch {}
    if (Object(message) !== message) return hub._report(new RohrpostError("protocol", `invalid message: ${text}`));
    hub._emit("message", message);
    const { id, type, error, data, group } = message;
    const reply = this.#pending.get(id);
    if (reply) this.#onReply(reply, message);
    else if (error !== undefined) hub._report(refusal(message));
    else if (type === "rohrpost:status") hub._onStatus(data?.status);
    else if (type === "rohrpost:expiring") hub._token.expires(0, (error) => hub._report(error));
    else if (type === "subscription-update" && data?.group) hub._groups.onChange(data, id);
    else if (group) hub._groups.onPlain(message);
  }

  #onReply(reply, message) {
    const { id, error } = message;
    const { part, last, ...data } = Object(message.type === "subscribe" && message.data);
    if (part) {
      if (part === 1) reply.parts = data;
      else for (const item of data.snapshot) reply.parts?.snapshot.push(item);
      if (!last) return;
    }
    this.#pending.delete(id);
    this.#waiting.delete(id);
    reply(error !== undefined && refusal(message), part ? reply.parts : message.data);
  }

  onLost(failure) {
    clearTimeout(this.#timer);
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    this.#waiting.clear();
    for (const reply of pending) reply(failure());
    for (const call of this.#queue) {
      if (!call.name && this.#queue.delete(call)) call.done(failure());
    }
  }

  end() {
    for (const call of this.#queue) if (call.name) call.done(closed());
  }
}
