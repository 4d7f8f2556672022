// Chromium, by playwright-core.
import { chromium } from "playwright-core";

export async function launch() {
  const browser = await chromium.launch({
    executablePath: "/usr/bin/chromium",
    ignoreDefaultArgs: ["--disable-back-forward-cache"],
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  return { open: async () => new Tab(await context.newPage()), close: () => browser.close() };
}

class Tab {
  #page;

  constructor(page) {
    this.#page = page;
  }

  goto(url) {
    return this.#page.goto(url);
  }

  evaluate(fn, ...values) {
    return this.#page.evaluate(`(${fn})(...${JSON.stringify(values)})`);
  }

  reload() {
    return this.#page.reload();
  }

  // Playwright waits in vain for a page that comes from the back/forward cache.
  async back() {
    await this.#page.goBack({ waitUntil: "commit" });
  }

  async setOffline(offline) {
    await this.#page.context().setOffline(offline);
  }

  // Headless Chromium shows all its pages.
  hide(hidden = true) {
    return this.evaluate((hidden) => {
      Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
      document.dispatchEvent(new Event("visibilitychange"));
    }, hidden);
  }

  show() {
    return this.hide(false);
  }

  close() {
    return this.#page.close();
  }
}
