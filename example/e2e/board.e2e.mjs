// Tests that two pages of the board see each other's changes.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Fixture, add, card, notice } from "./support.mjs";

const board = new Fixture();
let ann, bob;

before(async () => {
  await board.start();
  [ann, bob] = await Promise.all([board.open("ann"), board.open("bob")]);
});
after(() => board.stop());

test("a new card appears on the other page", async () => {
  await add(ann, "Write the letter");
  await card(bob, "Write the letter", "todo").waitFor();
});

test("renaming, moving and deleting with the mouse appear on the other page", async () => {
  await card(bob, "Write the letter").getByRole("button", { name: "Rename" }).click();
  await bob.getByLabel("Title").fill("Write <b>two</b> letters");
  await bob.keyboard.press("Enter");
  await card(ann, "Write <b>two</b> letters").waitFor();
  await card(ann, "Write <b>two</b> letters").getByRole("button", { name: "Move right" }).click();
  await card(bob, "Write <b>two</b> letters", "doing").waitFor();
  await card(bob, "Write <b>two</b> letters").getByRole("button", { name: "Delete" }).click();
  await card(ann, "Write <b>two</b> letters").waitFor({ state: "detached" });
  assert.match(await notice(ann), /was deleted/);
});

test("the keyboard can do everything, and the focus stays on the card", async () => {
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

test("the focus moves to a neighbour when its element disappears", async () => {
  const focused = () => ann.evaluate(() => document.activeElement.closest(".card")?.querySelector("p").textContent);
  for (const title of ["one", "two"]) await add(ann, title);
  await card(ann, "one").getByRole("button", { name: "Move right" }).focus();
  await ann.keyboard.press("Enter");
  await card(ann, "one", "doing").waitFor();
  await ann.keyboard.press("Enter");
  await card(ann, "one", "done").waitFor(); // its button is disabled there
  assert.equal(await focused(), "one");
  await card(ann, "two").focus();
  await ann.keyboard.press("Delete");
  await card(ann, "two").waitFor({ state: "detached" });
  assert.equal(await focused(), "Seal it");
  await card(ann, "one").press("Delete"); // the last one in its column
  await card(ann, "one").waitFor({ state: "detached" });
  assert.equal(await ann.evaluate(() => document.activeElement.id), "title");
});

test("a card that is deleted during its rename sends no request", async () => {
  await add(ann, "Short-lived");
  await card(ann, "Short-lived").dblclick();
  await ann.keyboard.type("half");
  await card(bob, "Short-lived").press("Delete");
  await card(ann, "Short-lived").waitFor({ state: "detached" });
  await ann.waitForLoadState("networkidle");
  assert.match(await notice(ann), /was deleted/);
});

test("a card that is moved during its rename keeps the typed text", async () => {
  await add(ann, "On the move");
  await card(ann, "On the move").dblclick();
  await ann.keyboard.type("half");
  await card(bob, "On the move").press("ArrowRight");
  await ann.locator('[data-column="doing"] .card input').waitFor();
  await ann.keyboard.type(" and half");
  await ann.keyboard.press("Enter");
  await card(bob, "half and half", "doing").waitFor();
});

test("both pages show the same, and no page has errors", async () => {
  await board.expectSame(ann, bob);
  assert.deepEqual(board.failures, []);
});
