// What the tests share: the example as a program of its own, a wire to it that
// can be cut, and pages in Chromium.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { chromium } from "playwright-core";

export { sleep };

// Program runs a server until it has printed its address, and keeps that one for
// the next start.
export class Program {
  constructor(file, ...args) {
    Object.assign(this, { file, args, address: "127.0.0.1:0" });
  }

  start() {
    this.process = spawn(this.file, ["-addr", this.address, ...this.args], { stdio: ["ignore", "pipe", "inherit"] });
    return new Promise((resolve, reject) => {
      this.process.once("error", reject);
      this.process.once("exit", (code) => reject(new Error(`the server ended with ${code}`)));
      this.process.stdout.on("data", (text) => {
        this.address = /http:\/\/([^/]+)\//.exec(text)?.[1] ?? this.address;
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

// Wire is a way to a server that can be cut: connections end, and new ones fail.
export class Wire {
  #sockets = new Set();
  #cut = false;

  async lay(server) {
    this.listener = createServer((near) => {
      if (this.#cut) return near.destroy();
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

  // cut returns how many connections it has ended.
  cut() {
    this.#cut = true;
    const ended = this.#sockets.size / 2;
    for (const socket of this.#sockets) socket.resetAndDestroy();
    return ended;
  }

  mend() {
    this.#cut = false;
  }

  end() {
    this.cut();
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

// Stage is an example with a file as its database, and a browser with pages of it.
export class Stage {
  failures = [];
  #folder = mkdtempSync(join(tmpdir(), "board-"));

  async set() {
    this.server = new Program(process.env.BOARD, "-db", join(this.#folder, "board.db"));
    [this.browser] = await Promise.all([launch(), this.server.start()]);
  }

  async strike() {
    await this.browser?.close();
    this.server?.signal("SIGKILL"); // it may be stopped
    rmSync(this.#folder, { recursive: true, force: true });
  }

  // open shows the board to somebody, and notes whatever goes wrong there. What
  // is prepared runs in the page before its scripts.
  async open(name, { address = this.server.address, prepare = () => {}, ...options } = {}) {
    const page = await (await this.browser.newContext(options)).newPage();
    page.setDefaultTimeout(15_000);
    page.on("pageerror", (error) => this.failures.push(`${name}: ${error}`));
    page.on("console", (message) => {
      const expected = /WebSocket connection|Failed to load resource|ERR_/.test(message.text()); // while the server is away, or refuses
      if (message.type() === "error" && !expected) this.failures.push(`${name}: ${message.text()}`);
    });
    await page.addInitScript(prepare);
    await page.goto(`http://${address}/`);
    await live(page);
    await page.evaluate(follow);
    return page;
  }

  // api asks the example what its pages ask it.
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

  // same waits until the pages show what the database has, and fails if they do
  // not come to it. Each page is the one that was opened, and has got no message twice.
  async same(...pages) {
    for (const page of pages) {
      const until = Date.now() + 15_000;
      let shown, saved;
      do {
        [shown, saved] = [await board(page), columns(await this.api("GET"))];
      } while (JSON.stringify(shown) !== JSON.stringify(saved) && Date.now() < until && (await sleep(50, true)));
      assert.deepEqual(shown, saved);
      const { twice, reloaded } = await page.evaluate(() => ({ twice: window.followed?.twice, reloaded: !window.followed }));
      assert.equal(reloaded, false, "the page was loaded again");
      assert.deepEqual(twice, []);
    }
  }
}

// follow runs in a page, and counts there what the server sends.
async function follow() {
  const { hub, watch } = await import("/connection.js");
  const seen = new Set(), followed = (window.followed = { messages: 0, changes: 0, calls: 0, twice: [] });
  let epoch = "the first";
  hub.on("message", ({ type, data }) => {
    epoch = data?.epoch ?? epoch;
    if (type !== "subscription-update") return;
    const position = `${epoch} ${data.offset}`;
    followed.messages++;
    if (seen.has(position)) followed.twice.push(position);
    seen.add(position);
  });
  watch.subscribe((_, changes) => {
    followed.changes += changes.length;
    followed.calls++;
  });
}

export const followed = (page) => page.evaluate(() => ({ ...window.followed }));

export const state = (page, name) => page.locator(`#state[data-state="${name}"]`).waitFor();
export const live = (page) => state(page, "live");
export const away = (page) => page.locator('#state:not([data-state="live"])').waitFor();
export const news = (page) => page.locator("#news").textContent();
export const card = (page, title, column = "") =>
  page.locator(`${column && `[data-column="${column}"]`} .card`, { has: page.getByText(title, { exact: true }) });

export async function add(page, title) {
  await page.getByLabel("New task").fill(title);
  await page.keyboard.press("Enter");
  await card(page, title).waitFor();
}

// board is what a page shows: the titles of each column.
function board(page) {
  return page.$$eval("section", (all) => all.map((section) => [...section.querySelectorAll("p")].map((p) => p.textContent)));
}

function columns(cards) {
  return ["todo", "doing", "done"].map((name) => cards.filter(({ column }) => column === name).map(({ title }) => title));
}
