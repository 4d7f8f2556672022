// An object with events, whose handlers may throw.
export class Emitter {
  #handlers = new Map();

  on(type, handler) {
    this.#handlers.set(type, [...(this.#handlers.get(type) ?? []), handler]);
    return this;
  }

  once(type, handler) {
    const first = (...values) => this.off(type, first) && handler(...values);
    first.handler = handler;
    return this.on(type, first);
  }

  off(type, handler) {
    this.#handlers.set(type, (this.#handlers.get(type) ?? []).filter((h) => h !== handler && h.handler !== handler));
    return this;
  }

  _emit(type, ...values) {
    for (const handler of this.#handlers.get(type) ?? []) {
      try {
        handler(...values);
      } catch (error) {
        if (type === "error") log(error);
        else this._report(error);
      }
    }
  }

  // Emits "status" if it has changed.
  _updateStatus() {
    const { status } = this;
    if (status !== this._status) this._emit("status", (this._status = status));
  }

  _report(error) {
    if (this.#handlers.get("error")?.length) this._emit("error", error);
    else log(error);
  }
}

function log(error) {
  (globalThis.reportError ?? console.error)(error);
}
