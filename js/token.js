import { RohrpostError } from "./errors.js";

const timeout = 10_000; // ms

// The token of the page.
export class Token {
  value; // undefined: not fetched
  renewed; // since the connection opened
  #asked = 0; // the number of the last fetch
  #answered = 0; // that of the fetch that returned the value
  #source;
  #changed;
  #renewal;
  #timer;

  constructor(source, changed) {
    this.#source = source;
    this.#changed = changed;
    this.renewable = typeof source === "function";
  }

  async fetch() {
    const number = ++this.#asked;
    const value = (this.renewable ? await this.#source() : this.#source) ?? "";
    if (number < this.#answered) return; // a later fetch was faster
    this.#answered = number;
    const before = this.value;
    this.value = value;
    if (value !== before) this.#changed();
  }

  // Fetches a new token, once for all requests with the old one.
  async renew(old) {
    if (this.renewable && this.value === old) await (this.#renewal ??= this.#fetchInTime().finally(() => (this.#renewal = undefined)));
    return this.value !== old;
  }

  #fetchInTime() {
    const late = (_, reject) => setTimeout(() => reject(new RohrpostError("timeout", "no token in time")), timeout);
    return Promise.race([this.fetch(), new Promise(late)]);
  }

  // Renews the token shortly before it expires.
  expires(seconds, report) {
    clearTimeout(this.#timer);
    const ms = 1000 * Math.max(seconds - 30, seconds * 0.8);
    const renew = () => this.renew(this.value).then((renewed) => (this.renewed = renewed), report);
    if (this.renewable && ms < 2 ** 31) this.#timer = setTimeout(renew, ms);
  }
}
