// Shared by the tests: the example as a separate process, a proxy to it that can
// break its connections, and pages in Chromium.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { chromium } from "playwright-core";

export { sleep };

// Program runs a server. start resolves when the server has printed its address;
// a restart uses the same address.
export class Program {
  constructor(file, ...args) {
    Object.assign(this, { file, args, address: "127.0.0.1:0" });
  }

  start() {
    this.process = spawn(this.file, ["-addr", this.address, ...this.args], { stdio: ["ignore", "pipe", "inherit"] });
    return new Promise((resolve, reject) => {
      this.process.once("error", reject);
      this.process.once("exit", (code) => reject(new Error(`the server exited with ${code}`)));
      this.process.stdout.on("data", (text) => {
        this.address = /http:\/\/([^/]+)\//.exec(text)?.[1] ?? this.address;
        this.secure = /https:\/\/[^/]+\//.exec(text)?.[0]; // the test server only
        resolve();
      });
    });
  }

  async stop(signal) {
    this.process.removeAllListeners("exit");
    const ended = new Promise((resolve) => this.process.once("exit", resolve));
    this.process.kill(signal);
    await ended;
  }

  signal(name) {
    this.process.kill(name);
  }
}

// Proxy forwards connections to a server until it is disconnected: then it resets
// them and refuses new ones.
export class Proxy {
  #sockets = new Set();
  #disconnected = false;

  async start(server) {
    this.listener = createServer((near) => {
      if (this.#disconnected) return near.destroy();
      const [host, port] = server.address.split(":");
      const far = connect(port, host);
      for (const [from, to] of [[near, far], [far, near]]) {
        this.#sockets.add(from);
        from.pipe(to).on("error", () => {});
        from.on("error", () => to.destroy()).on("close", () => this.#sockets.delete(from) && to.destroy());
      }
    });
    await new Promise((resolve) => this.listener.listen(0, "127.0.0.1", resolve));
    this.address = `127.0.0.1:${this.listener.address().port}`;
  }

  // disconnect returns the number of connections that it reset.
  disconnect() {
    this.#disconnected = true;
    const connections = this.#sockets.size / 2;
    for (const socket of this.#sockets) socket.resetAndDestroy();
    return connections;
  }

  reconnect() {
    this.#disconnected = false;
  }

  stop() {
    this.disconnect();
    this.listener.close();
  }
}

export function launch() {
  return chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
}

// Fixture runs the example with a database file, and a browser with pages of it. The
// board is empty unless samples is set.
export class Fixture {
  failures = [];
  #folder = mkdtempSync(join(tmpdir(), "board-"));

  async start({ samples = false } = {}) {
    this.server = new Program(process.env.BOARD, "-db", join(this.#folder, "board.db"), `-empty=${!samples}`);
    [this.browser] = await Promise.all([launch(), this.server.start()]);
  }

  async stop() {
    await this.browser?.close();
    this.server?.signal("SIGKILL"); // a SIGSTOP may have stopped it
    rmSync(this.#folder, { recursive: true, force: true });
  }

  // open opens the board in a new browser context and records the errors of the
  // page. The function prepare runs in the page before its scripts.
  async open(name, { address = this.server.address, prepare = () => {}, ...options } = {}) {
    const page = await (await this.browser.newContext(options)).newPage();
    page.setDefaultTimeout(15_000);
    page.on("pageerror", (error) => this.failures.push(`${name}: ${error}`));
    page.on("console", (message) => {
      const expected = /WebSocket connection|Failed to load resource|ERR_/.test(message.text()); // the server is down or refuses
      if (message.type() === "error" && !expected) this.failures.push(`${name}: ${message.text()}`);
    });
    await page.addInitScript(prepare);
    await page.goto(`http://${address}/`);
    await live(page);
    await page.evaluate(countMessages);
    return page;
  }

  // api sends a request to the API of the example.
  async api(method, path = "", body) {
    const response = await fetch(`http://${this.server.address}/api/cards${path}`, {
      method, body: JSON.stringify(body), headers: { "Content-Type": "application/json" },
    });
    assert.ok(response.ok, `${method} ${path}: ${response.status}`);
    return response.status === 204 ? undefined : response.json();
  }

  add(title, column = "todo") {
    return this.api("POST", "", { title, column });
  }

  async clear() {
    const cards = await this.api("GET");
    while (cards.length) await Promise.all(cards.splice(0, 10).map(({ id }) => this.api("DELETE", `/${id}`)));
  }

  // expectSame waits until the pages show the cards of the database and fails after
  // a while. It also fails if a page was reloaded or received a message twice.
  async expectSame(...pages) {
    for (const page of pages) {
      const until = Date.now() + 15_000;
      let shown, saved;
      do {
        [shown, saved] = [await board(page), columns(await this.api("GET"))];
      } while (JSON.stringify(shown) !== JSON.stringify(saved) && Date.now() < until && (await sleep(50, true)));
      assert.deepEqual(shown, saved);
      const { repeated, reloaded } = await page.evaluate(() => ({ repeated: window.counts?.repeated, reloaded: !window.counts }));
      assert.equal(reloaded, false, "the page was reloaded");
      assert.deepEqual(repeated, []);
    }
  }
}

// countMessages runs in a page and counts the messages of the server.
async function countMessages() {
  const { hub, watch } = await import("/connection.js");
  const seen = new Set(), counts = (window.counts = { messages: 0, changes: 0, notifications: 0, repeated: [] });
  let epoch = "the first";
  hub.on("message", ({ type, data }) => {
    epoch = data?.epoch ?? epoch;
    if (type !== "subscription-update") return;
    const position = `${epoch} ${data.offset}`;
    counts.messages++;
    if (seen.has(position)) counts.repeated.push(position);
    seen.add(position);
  });
  watch.subscribe((_, changes) => {
    counts.changes += changes.length;
    counts.notifications++;
  });
}

export const counts = (page) => page.evaluate(() => ({ ...window.counts }));

export const status = (page, name) => page.locator(`#status[data-status="${name}"]`).waitFor();
export const live = (page) => status(page, "live");
export const notLive = (page) => page.locator('#status:not([data-status="live"])').waitFor();
export const notice = (page) => page.locator("#notice").textContent();
export const card = (page, title, column = "") =>
  page.locator(`${column && `[data-column="${column}"]`} .card`, { has: page.getByText(title, { exact: true }) });

export async function add(page, title) {
  await page.getByLabel("New task").fill(title);
  await page.keyboard.press("Enter");
  await card(page, title).waitFor();
}

// board returns the titles in each column of a page.
function board(page) {
  return page.$$eval("section", (all) => all.map((section) => [...section.querySelectorAll("p")].map((p) => p.textContent)));
}

function columns(cards) {
  return ["todo", "doing", "done"].map((name) => cards.filter(({ column }) => column === name).map(({ title }) => title));
}
