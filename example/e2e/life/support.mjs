// Shared by the scenarios: an engine, the test server, a proxy to it, and what a page shows.
import assert from "node:assert/strict";
import { after, before } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Program } from "../support.mjs";
import { atExit } from "./cleanup.mjs";
import { Proxy } from "./proxy.mjs";

export { Proxy, sleep };

export const engine = process.env.ENGINE ?? "chromium";
let browser;

// Call it once in each file.
export function useEngine() {
  before(async () => {
    const { launch } = await import(`./engines/${engine}.mjs`);
    browser = await launch();
  });
  after(() => browser?.close());
}

// startServer starts a server of the test's own: Firefox remembers which addresses failed.
export async function startServer(t) {
  const server = new Program(process.env.LIFE);
  await server.start();
  const kill = () => server.signal("SIGKILL");
  const ending = atExit(kill);
  t.after(() => ending() && kill());
  return server;
}

export async function startProxy(t, server, options) {
  const proxy = new Proxy(options);
  await proxy.start(server);
  t.after(() => proxy.stop());
  return proxy;
}

export async function post({ address }, path) {
  const response = await fetch(`http://${address}${path}`, { method: "POST" });
  assert.ok(response.ok, `${path}: ${response.status}`);
}

export const add = (server, title) => post(server, `/list?title=${encodeURIComponent(title)}`);

// openPage opens the page that the server, or a proxy to it, serves.
export async function openPage(t, { address }, query = {}, base = `http://${address}/`) {
  const page = new Page(await browser.open());
  t.after(() => page.tab.close().catch(() => {}));
  await page.tab.goto(`${base}?${new URLSearchParams(query)}`);
  return page;
}

// openLive opens the page with one item and waits until it shows it.
export async function openLive(t, server, proxy = server, query = {}) {
  const page = await openPage(t, proxy, query);
  await page.shows("status", "live");
  await add(server, "First");
  await page.shows("newest", "First");
  return page;
}

// Page is a tab with the page of the test server.
export class Page {
  constructor(tab) {
    this.tab = tab;
  }

  // text returns what the user reads in an element.
  text(id) {
    return this.tab.evaluate((id) => {
      const element = document.getElementById(id);
      return element.hidden ? "" : element.innerText;
    }, id);
  }

  // shows waits until the user reads this text in an element.
  async shows(id, text, within = 15_000) {
    const until = Date.now() + within;
    let shown;
    do {
      shown = await this.text(id);
      if (text instanceof RegExp ? text.test(shown) : shown === text) return shown;
    } while (Date.now() < until && (await sleep(50, true)));
    assert.fail(`#${id} shows ${JSON.stringify(shown)} in place of ${text}: ${JSON.stringify(await this.log())}`);
  }

  log() {
    return this.tab.evaluate(() => window.log);
  }

  // waitFor waits for a record since a time and returns it.
  async waitFor(what, since, within = 15_000) {
    for (const until = Date.now() + within; Date.now() < until; await sleep(50)) {
      const found = (await this.log()).find((entry) => entry.what === what && entry.at >= since);
      if (found) return found;
    }
    assert.fail(`no ${what}: ${JSON.stringify(await this.log())}`);
  }

  // took returns the ms from the last record of what to the next status "live".
  async took(what) {
    const log = await this.log();
    const from = log.findLast((entry) => entry.what === what);
    const live = log.find(({ at, what, text }) => what === "status" && text === "live" && at >= from?.at);
    assert.ok(live, JSON.stringify(log));
    return live.at - from.at;
  }
}

// within asserts a time and prints it.
export function within(t, what, ms, limit) {
  t.diagnostic(`${what}: ${ms} ms`);
  assert.ok(ms <= limit, `${what}: ${ms} ms, at most ${limit}`);
}

export const banner = "You are offline. The page may show old data.";
