// WebKitGTK, by WebDriver over HTTP, on a display of its own.
import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { atExit } from "../cleanup.mjs";

export async function launch() {
  const screen = spawn("Xvfb", ["-displayfd", "1", "-screen", "0", "800x600x24", "-nolisten", "tcp"], { stdio: ["ignore", "pipe", "ignore"] });
  const display = await new Promise((resolve, reject) => {
    screen.once("error", reject);
    screen.stdout.once("data", (number) => resolve(`:${String(number).trim()}`));
  });
  const port = await freePort();
  const driver = spawn("WebKitWebDriver", [`--port=${port}`], {
    stdio: "ignore",
    detached: true, // the browser and its processes are of this group
    env: { ...process.env, DISPLAY: display, LIBGL_ALWAYS_SOFTWARE: "1", NO_AT_BRIDGE: "1" },
  });
  const kill = () => {
    process.kill(-driver.pid, "SIGKILL");
    screen.kill();
  };
  const ending = atExit(kill);
  const close = () => ending() && kill();
  try {
    const session = new Session(`http://127.0.0.1:${port}`);
    await session.start();
    return { open: () => session.open(), close };
  } catch (error) {
    close();
    throw error;
  }
}

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

function miniBrowser() {
  const root = "/usr/lib";
  for (const folder of readdirSync(root)) {
    const path = `${root}/${folder}/webkit2gtk-4.1`;
    try {
      if (readdirSync(path).includes("MiniBrowser")) return `${path}/MiniBrowser`;
    } catch {} // no such folder
  }
  throw new Error("MiniBrowser is missing: install webkit2gtk-driver");
}

class Session {
  #url;
  #first; // the window that stays open
  #last = Promise.resolve(); // one command at a time: each is for the current window

  constructor(url) {
    this.#url = url;
  }

  async start() {
    const options = { binary: miniBrowser(), args: ["--automation"] };
    for (let tries = 50; ; tries--) {
      try {
        await fetch(`${this.#url}/status`);
        break;
      } catch (error) {
        if (!tries) throw error;
        await sleep(100); // the driver is starting
      }
    }
    const { sessionId } = await this.#fetch("POST", "/session", { capabilities: { alwaysMatch: { acceptInsecureCerts: true, "webkitgtk:browserOptions": options } } });
    this.#url += `/session/${sessionId}`;
    this.#first = await this.#fetch("GET", "/window");
  }

  async open() {
    const { handle } = await this.#send(this.#first, "POST", "/window/new", { type: "window" });
    return new Tab((method, path, body) => this.#send(handle, method, path, body));
  }

  #send(handle, method, path, body) {
    const sent = this.#last.then(async () => {
      await this.#fetch("POST", "/window", { handle });
      return this.#fetch(method, path, body);
    });
    this.#last = sent.catch(() => {});
    return sent;
  }

  async #fetch(method, path, body) {
    const response = await fetch(this.#url + path, { method, body: body && JSON.stringify(body) });
    const { value } = await response.json();
    if (!response.ok) throw new Error(`${method} ${path}: ${value.error}: ${value.message}`);
    return value;
  }
}

class Tab {
  #send;

  constructor(send) {
    this.#send = send;
  }

  goto(url) {
    return this.#send("POST", "/url", { url });
  }

  async evaluate(fn, ...values) {
    const script = `const done = arguments[0];
      (async () => JSON.stringify(await (${fn})(...${JSON.stringify(values)})))().then((value) => done({ value }), (error) => done({ error: String(error) }));`;
    const { value, error } = await this.#send("POST", "/execute/async", { script, args: [] });
    if (error) throw new Error(error);
    return value === undefined || value === null ? undefined : JSON.parse(value);
  }

  reload() {
    return this.#send("POST", "/refresh", {});
  }

  back() {
    return this.#send("POST", "/back", {});
  }

  // WebDriver cannot do this: the page gets the event, and the test breaks the line.
  setOffline(offline) {
    return this.evaluate((type) => void window.dispatchEvent(new Event(type)), offline ? "offline" : "online");
  }

  hide() {
    return this.#send("POST", "/window/minimize", {});
  }

  show() {
    return this.#send("POST", "/window/rect", { x: 0, y: 0, width: 800, height: 600 });
  }

  close() {
    return this.#send("DELETE", "/window");
  }
}
