// What one does is shown at once; what the server says counts.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Stage, card, news } from "./support.mjs";

const stage = new Stage();
let ann, bob;

before(async () => {
  await stage.set();
  [ann, bob] = await Promise.all([stage.open("ann"), stage.open("bob")]);
});
after(() => stage.strike());

// held holds back what ann asks of the server until it is released.
async function held() {
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

// highlighted notes which cards are highlighted from now on.
async function highlighted(page) {
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

test("a new title is there before the server has answered", async () => {
  await stage.add("Ask");
  const release = await held();
  await rename(ann, "Ask", "Ask nicely");
  await card(ann, "Ask nicely").waitFor();
  await card(bob, "Ask").waitFor();
  await release();
  await card(bob, "Ask nicely").waitFor();
  await stage.same(ann, bob);
});

for (const [what, title, why] of [
  ["an empty", " ", "The title is missing."],
  ["a long", "x".repeat(121), "The title has 121 characters, at most 120 fit."],
]) {
  test(`${what} title that the server refuses goes back, and the user reads why`, async () => {
    const release = await held();
    await rename(ann, "Ask nicely", title);
    await card(ann, title.trim()).first().waitFor({ state: "attached" });
    assert.equal(await card(ann, "Ask nicely").count(), 0);
    await release();
    await card(ann, "Ask nicely").waitFor();
    assert.equal(await news(ann), why);
    await stage.same(ann, bob);
  });
}

test("what another does meanwhile counts", async () => {
  const release = await held();
  await rename(ann, "Ask nicely", "Ask ann");
  await card(ann, "Ask ann").waitFor();
  await rename(bob, "Ask nicely", "Ask bob");
  await card(ann, "Ask bob").waitFor();
  await release();
  await card(bob, "Ask ann").waitFor(); // hers came to the server later
  await stage.same(ann, bob);
});

test("a card that another deletes meanwhile is gone", async () => {
  await stage.add("Never mind");
  const release = await held();
  await rename(ann, "Never mind", "Mind");
  await card(ann, "Mind").waitFor();
  await card(bob, "Never mind").press("Delete");
  await card(ann, "Mind").waitFor({ state: "detached" });
  await release();
  await ann.getByText("There is no such card.").waitFor();
  await stage.same(ann, bob);
});

test("a card that is moved is there before the server has answered", async () => {
  for (const title of ["one", "two", "three"]) await stage.add(title, "doing");
  await card(ann, "three").waitFor();
  const doing = () => ann.locator('[data-column="doing"] p').allTextContents();
  const release = await held();
  await card(ann, "one").press("ArrowDown");
  await ann.locator('[data-column="doing"] .card:nth-child(2)', { hasText: "one" }).waitFor();
  assert.deepEqual(await doing(), ["two", "one", "three"]);
  await card(ann, "Ask ann").press("ArrowRight");
  await card(ann, "Ask ann", "doing").waitFor();
  assert.deepEqual(await doing(), ["Ask ann", "two", "one", "three"]);
  await release();
  await stage.same(ann, bob);
});

test("what others do is highlighted, what one does oneself is not", async () => {
  await stage.clear();
  for (const title of ["hers", "his"]) await stage.add(title);
  await Promise.all([card(ann, "his"), card(bob, "his")].map((it) => it.waitFor()));
  const [byAnn, byBob] = await Promise.all([highlighted(ann), highlighted(bob)]);
  await rename(ann, "hers", "hers, renamed");
  await card(bob, "hers, renamed").waitFor();
  await rename(bob, "his", "his, renamed");
  await card(ann, "his, renamed").waitFor();
  await card(ann, "hers, renamed").press("ArrowDown");
  await bob.locator(".card:last-child", { hasText: "hers, renamed" }).waitFor();
  await stage.same(ann, bob);
  assert.deepEqual(await byAnn(), ["his, renamed"]);
  assert.deepEqual(await byBob(), ["hers, renamed"]);
});

test("nothing went wrong", () => assert.deepEqual(stage.failures, []));
