// Two people share the board: what one does, the other sees. The example is
// built and started here, on a free port and with a file as its database.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";

const folder = mkdtempSync(join(tmpdir(), "board-"));
const program = join(folder, "board");
let server, address = "127.0.0.1:0", browser, ann, bob;
const failures = [];

before(async () => {
  execFileSync("go", ["build", "-o", program, "."], { cwd: join(import.meta.dirname, ".."), stdio: "inherit" });
  await start();
  browser = await chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
  [ann, bob] = await Promise.all([open("ann"), open("bob")]);
});

after(async () => {
  await browser?.close();
  server?.kill("SIGKILL"); // it may be stopped
  rmSync(folder, { recursive: true, force: true });
});

// start runs the example until it has printed its address, and keeps that one
// for the next start.
function start() {
  server = spawn(program, ["-addr", address, "-db", join(folder, "board.db")], { stdio: ["ignore", "pipe", "inherit"] });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.once("exit", (code) => reject(new Error(`the example ended with ${code}`)));
    server.stdout.on("data", (text) => {
      address = /http:\/\/([^/]+)\//.exec(text)?.[1] ?? address;
      resolve();
    });
  });
}

async function stop(signal) {
  server.removeAllListeners("exit");
  const ended = new Promise((resolve) => server.once("exit", resolve));
  server.kill(signal);
  await ended;
}

async function open(name) {
  const page = await (await browser.newContext()).newPage();
  page.setDefaultTimeout(15_000);
  page.on("pageerror", (error) => failures.push(`${name}: ${error}`));
  page.on("console", (message) => {
    const lost = /WebSocket connection|Failed to load resource|ERR_CONNECTION/.test(message.text()); // while the server is away
    if (message.type() === "error" && !lost) failures.push(`${name}: ${message.text()}`);
  });
  await page.goto(`http://${address}/`);
  await live(page);
  return page;
}

const live = (page) => page.locator('#state[data-state="live"]').waitFor();
const card = (page, title, column = "") =>
  page.locator(`${column && `[data-column="${column}"]`} .card`, { has: page.getByText(title, { exact: true }) });

async function add(page, title) {
  await page.getByLabel("New task").fill(title);
  await page.keyboard.press("Enter");
  await card(page, title).waitFor();
}

test("a card made by one is seen by the other", async () => {
  await add(ann, "Write the letter");
  await card(bob, "Write the letter", "todo").waitFor();
});

test("so are renaming, moving and deleting, with the mouse", async () => {
  await card(bob, "Write the letter").getByRole("button", { name: "Rename" }).click();
  await bob.getByLabel("Title").fill("Write <b>two</b> letters");
  await bob.keyboard.press("Enter");
  await card(ann, "Write <b>two</b> letters").waitFor();
  await card(ann, "Write <b>two</b> letters").getByRole("button", { name: "Move right" }).click();
  await card(bob, "Write <b>two</b> letters", "doing").waitFor();
  await card(bob, "Write <b>two</b> letters").getByRole("button", { name: "Delete" }).click();
  await card(ann, "Write <b>two</b> letters").waitFor({ state: "detached" });
  assert.match(await ann.locator("#news").textContent(), /was deleted/);
});

test("the keyboard is enough, and keeps its place", async () => {
  await add(ann, "Seal it");
  await add(ann, "Send it");
  await card(ann, "Send it").focus();
  await ann.keyboard.press("ArrowUp");
  await bob.locator(".card:first-child", { has: bob.getByText("Send it", { exact: true }) }).waitFor();
  await ann.keyboard.press("ArrowRight");
  await card(bob, "Send it", "doing").waitFor();
  await card(ann, "Send it", "doing").waitFor();
  assert.equal(await ann.evaluate(() => document.activeElement.querySelector("p")?.textContent), "Send it");
  await ann.keyboard.press("Enter");
  await ann.keyboard.type("Send it off");
  await ann.keyboard.press("Enter");
  await card(bob, "Send it off", "doing").waitFor();
  await card(ann, "Send it off").waitFor();
  await ann.keyboard.press("Delete");
  await card(bob, "Send it off").waitFor({ state: "detached" });
});

test("the focus stays near when its place goes", async () => {
  const focused = () => ann.evaluate(() => document.activeElement.closest(".card")?.querySelector("p").textContent);
  for (const title of ["one", "two"]) await add(ann, title);
  await card(ann, "one").getByRole("button", { name: "Move right" }).focus();
  await ann.keyboard.press("Enter");
  await card(ann, "one", "doing").waitFor();
  await ann.keyboard.press("Enter");
  await card(ann, "one", "done").waitFor(); // where its button is disabled
  assert.equal(await focused(), "one");
  await card(ann, "two").focus();
  await ann.keyboard.press("Delete");
  await card(ann, "two").waitFor({ state: "detached" });
  assert.equal(await focused(), "Seal it");
  await card(ann, "one").press("Delete"); // the last one in its column
  await card(ann, "one").waitFor({ state: "detached" });
  assert.equal(await ann.evaluate(() => document.activeElement.id), "title");
});

test("a card that goes while it is renamed asks for nothing", async () => {
  await add(ann, "Short-lived");
  await card(ann, "Short-lived").dblclick();
  await ann.keyboard.type("half");
  await card(bob, "Short-lived").press("Delete");
  await card(ann, "Short-lived").waitFor({ state: "detached" });
  await ann.waitForLoadState("networkidle");
  assert.match(await ann.locator("#news").textContent(), /was deleted/);
});

for (const signal of ["SIGKILL", "SIGTERM"]) {
  test(`after a restart (${signal}) both are live again and have missed nothing`, async () => {
    await stop(signal);
    await Promise.all([ann, bob].map((page) => page.locator('#state:not([data-state="live"])').waitFor()));
    await start();
    await Promise.all([live(ann), live(bob)]);
    await add(ann, `After ${signal}`);
    await card(bob, `After ${signal}`).waitFor();
    await card(bob, "Seal it").waitFor();
  });
}

test("a server that says nothing any more counts as lost", async () => {
  server.kill("SIGSTOP");
  await Promise.all([ann, bob].map((page) => page.locator('#state:not([data-state="live"])').waitFor()));
  server.kill("SIGCONT");
  await Promise.all([live(ann), live(bob)]);
  await add(ann, "Awake again");
  await card(bob, "Awake again").waitFor();
});

test("both see the same, and nothing went wrong", async () => {
  const board = (page) => page.$$eval("section", (all) => all.map((s) => [...s.querySelectorAll("p")].map((p) => p.textContent)));
  assert.deepEqual(await board(ann), await board(bob));
  assert.deepEqual(failures, []);
});
