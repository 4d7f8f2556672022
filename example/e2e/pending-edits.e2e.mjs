// Tests that a page shows its edits at once and that the server has the last word.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Fixture, card, notice } from "./support.mjs";

const board = new Fixture();
let ann, bob;

before(async () => {
  await board.start();
  [ann, bob] = await Promise.all([board.open("ann"), board.open("bob")]);
});
after(() => board.stop());

// delayRequests delays the requests of ann until the returned function is called.
async function delayRequests() {
  let release;
  const released = new Promise((resolve) => (release = resolve));
  await ann.route("**/api/cards/*", async (route) => {
    await released;
    await route.continue();
  });
  return async () => {
    release();
    await ann.unroute("**/api/cards/*", { behavior: "wait" });
  };
}

async function rename(page, from, to) {
  await card(page, from).dblclick();
  await page.getByLabel("Title").evaluate((input) => input.removeAttribute("maxlength"));
  await page.getByLabel("Title").fill(to);
  await page.keyboard.press("Enter");
}

// recordHighlights records the cards that are highlighted from now on.
async function recordHighlights(page) {
  await page.evaluate(() => {
    window.highlighted = [];
    new MutationObserver((records) => {
      for (const { target } of records) {
        if (target.classList.contains("changed")) window.highlighted.push(target.querySelector("p").textContent);
      }
    }).observe(document.querySelector("main"), { subtree: true, attributes: true, attributeFilter: ["class"] });
  });
  return () => page.evaluate(() => [...new Set(window.highlighted)].sort());
}

test("a new title appears before the server responds", async () => {
  await board.add("Ask");
  const release = await delayRequests();
  await rename(ann, "Ask", "Ask nicely");
  await card(ann, "Ask nicely").waitFor();
  await card(bob, "Ask").waitFor();
  await release();
  await card(bob, "Ask nicely").waitFor();
  await board.expectSame(ann, bob);
});

for (const [what, title, why] of [
  ["an empty", " ", "The title is missing."],
  ["a long", "x".repeat(121), "The title has 121 characters, at most 120 fit."],
]) {
  test(`a page undoes ${what} title that the server refuses and shows the error`, async () => {
    const release = await delayRequests();
    await rename(ann, "Ask nicely", title);
    await card(ann, title.trim()).first().waitFor({ state: "attached" });
    assert.equal(await card(ann, "Ask nicely").count(), 0);
    await release();
    await card(ann, "Ask nicely").waitFor();
    assert.equal(await notice(ann), why);
    await board.expectSame(ann, bob);
  });
}

test("a concurrent change by another page overrides a pending edit", async () => {
  const release = await delayRequests();
  await rename(ann, "Ask nicely", "Ask ann");
  await card(ann, "Ask ann").waitFor();
  await rename(bob, "Ask nicely", "Ask bob");
  await card(ann, "Ask bob").waitFor();
  await release();
  await card(bob, "Ask ann").waitFor(); // her request reached the server later
  await board.expectSame(ann, bob);
});

test("a card that another page deletes disappears despite a pending edit", async () => {
  await board.add("Never mind");
  const release = await delayRequests();
  await rename(ann, "Never mind", "Mind");
  await card(ann, "Mind").waitFor();
  await card(bob, "Never mind").press("Delete");
  await card(ann, "Mind").waitFor({ state: "detached" });
  await release();
  await ann.getByText("This card does not exist.").waitFor();
  await board.expectSame(ann, bob);
});

test("a moved card appears at its new position before the server responds", async () => {
  for (const title of ["one", "two", "three"]) await board.add(title, "doing");
  await card(ann, "three").waitFor();
  const doing = () => ann.locator('[data-column="doing"] p').allTextContents();
  const release = await delayRequests();
  await card(ann, "one").press("ArrowDown");
  await ann.locator('[data-column="doing"] .card:nth-child(2)', { hasText: "one" }).waitFor();
  assert.deepEqual(await doing(), ["two", "one", "three"]);
  await card(ann, "Ask ann").press("ArrowRight");
  await card(ann, "Ask ann", "doing").waitFor();
  assert.deepEqual(await doing(), ["Ask ann", "two", "one", "three"]);
  await release();
  await board.expectSame(ann, bob);
});

test("a page highlights the changes of other pages and not its own", async () => {
  await board.clear();
  for (const title of ["hers", "his"]) await board.add(title);
  await Promise.all([card(ann, "his"), card(bob, "his")].map((it) => it.waitFor()));
  const [byAnn, byBob] = await Promise.all([recordHighlights(ann), recordHighlights(bob)]);
  await rename(ann, "hers", "hers, renamed");
  await card(bob, "hers, renamed").waitFor();
  await rename(bob, "his", "his, renamed");
  await card(ann, "his, renamed").waitFor();
  await card(ann, "hers, renamed").press("ArrowDown");
  await bob.locator(".card:last-child", { hasText: "hers, renamed" }).waitFor();
  await board.expectSame(ann, bob);
  assert.deepEqual(await byAnn(), ["his, renamed"]);
  assert.deepEqual(await byBob(), ["hers, renamed"]);
});

test("no page has errors", () => assert.deepEqual(board.failures, []));
