// Two people share the board: what one does, the other sees.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Stage, add, card, news } from "./support.mjs";

const stage = new Stage();
let ann, bob;

before(async () => {
  await stage.set();
  [ann, bob] = await Promise.all([stage.open("ann"), stage.open("bob")]);
});
after(() => stage.strike());

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
  assert.match(await news(ann), /was deleted/);
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
  assert.match(await news(ann), /was deleted/);
});

test("a card that is moved while it is renamed keeps what is typed", async () => {
  await add(ann, "On the move");
  await card(ann, "On the move").dblclick();
  await ann.keyboard.type("half");
  await card(bob, "On the move").press("ArrowRight");
  await ann.locator('[data-column="doing"] .card input').waitFor();
  await ann.keyboard.type(" and half");
  await ann.keyboard.press("Enter");
  await card(bob, "half and half", "doing").waitFor();
});

test("both see the same, and nothing went wrong", async () => {
  await stage.same(ann, bob);
  assert.deepEqual(stage.failures, []);
});
