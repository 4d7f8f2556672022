// The token of the page.
export class Token {
  value; // undefined: not fetched
  #source;
  #renewal;

  constructor(source) {
    this.#source = source;
  }

  async fetch() {
    this.value = (typeof this.#source === "function" ? await this.#source() : this.#source) ?? "";
  }

  // Fetches a new token, once for all requests that the server refused with the old one.
  async renew(refused) {
    if (this.value === refused) await (this.#renewal ??= this.fetch().finally(() => (this.#renewal = undefined)));
    return this.value !== refused;
  }
}
