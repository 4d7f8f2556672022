// Firefox, by WebDriver BiDi.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import WebSocket from "ws";
import { atExit } from "../cleanup.mjs";

const preferences = {
  "app.normandy.enabled": false,
  "app.update.enabled": false,
  "browser.newtabpage.enabled": false,
  "browser.shell.checkDefaultBrowser": false,
  "browser.startup.page": 0,
  "datareporting.policy.dataSubmissionEnabled": false,
  "dom.ipc.processCount": 1,
  "dom.ipc.processPrelaunch.enabled": false,
  "extensions.update.enabled": false,
  "fission.autostart": false,
  "network.captive-portal-service.enabled": false,
  "network.connectivity-service.enabled": false,
  "services.settings.server": "data:,#",
  "toolkit.telemetry.enabled": false,
};

export async function launch() {
  const profile = mkdtempSync(join(tmpdir(), "firefox-"));
  const lines = Object.entries(preferences).map(([name, value]) => `user_pref("${name}", ${JSON.stringify(value)});\n`);
  writeFileSync(join(profile, "user.js"), lines.join(""));
  const firefox = spawn("firefox-esr", ["--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0"], {
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, HOME: profile },
  });
  const ended = new Promise((resolve) => firefox.once("exit", resolve));
  const ending = atExit(() => firefox.kill("SIGKILL") && rmSync(profile, { recursive: true, force: true }));
  const session = new Session();
  await session.connect(await address(firefox));
  await session.send("session.new", { capabilities: { alwaysMatch: { acceptInsecureCerts: true } } });
  const [{ context: empty }] = (await session.send("browsingContext.getTree", {})).contexts;
  return {
    open: async () => new Tab(session, (await session.send("browsingContext.create", { type: "tab" })).context, empty),
    close: async () => {
      firefox.kill("SIGKILL");
      await ended;
      ending();
      rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
    },
  };
}

function address(firefox) {
  return new Promise((resolve, reject) => {
    let text = "";
    firefox.once("error", reject);
    firefox.once("exit", (code) => reject(new Error(`Firefox ended with ${code}: ${text}`)));
    firefox.stderr.on("data", (chunk) => {
      text = (text + chunk).slice(-10_000);
      const url = /listening on (ws:\S+)/.exec(text);
      if (url) resolve(url[1]);
    });
  });
}

// A session of WebDriver BiDi.
class Session {
  #socket;
  #id = 0;
  #pending = new Map(); // command id -> { resolve, reject }

  async connect(url) {
    this.#socket = new WebSocket(`${url}/session`);
    this.#socket.on("message", (text) => this.#onMessage(JSON.parse(text)));
    await new Promise((resolve, reject) => this.#socket.once("open", resolve).once("error", reject));
    this.#socket.on("close", () => {
      for (const { reject } of this.#pending.values()) reject(new Error("Firefox has ended"));
    });
  }

  send(method, params) {
    const id = ++this.#id;
    this.#socket.send(JSON.stringify({ id, method, params }));
    return new Promise((resolve, reject) => this.#pending.set(id, { resolve, reject }));
  }

  #onMessage({ id, result, error, message }) {
    const { resolve, reject } = this.#pending.get(id) ?? {};
    this.#pending.delete(id);
    if (error) reject?.(new Error(`${error}: ${message}`));
    else resolve?.(result);
  }
}

class Tab {
  #session;
  #context;
  #empty; // another tab

  constructor(session, context, empty) {
    this.#session = session;
    this.#context = context;
    this.#empty = empty;
  }

  #send(method, params) {
    return this.#session.send(`browsingContext.${method}`, { context: this.#context, ...params });
  }

  goto(url) {
    return this.#send("navigate", { url, wait: "complete" });
  }

  async evaluate(fn, ...values) {
    const { result, exceptionDetails } = await this.#session.send("script.evaluate", {
      expression: `(async () => JSON.stringify(await (${fn})(...${JSON.stringify(values)})))()`,
      target: { context: this.#context },
      awaitPromise: true,
    });
    if (exceptionDetails) throw new Error(exceptionDetails.text);
    return result.value === undefined ? undefined : JSON.parse(result.value);
  }

  reload() {
    return this.#send("reload", { wait: "complete" });
  }

  back() {
    return this.#send("traverseHistory", { delta: -1 });
  }

  setOffline(offline) {
    const networkConditions = offline ? { type: "offline" } : null;
    return this.#session.send("emulation.setNetworkConditions", { networkConditions, contexts: [this.#context] });
  }

  hide() {
    return this.#send("activate", { context: this.#empty });
  }

  show() {
    return this.#send("activate", {});
  }

  close() {
    return this.#send("close", {});
  }
}
