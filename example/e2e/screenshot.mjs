// Takes the screenshot of the README: node screenshot.mjs FILE. Two pages show the
// sample cards; the screenshot shows a change that the other page has just made.
import assert from "node:assert/strict";
import { Fixture, card } from "./support.mjs";

const board = new Fixture();
try {
  await board.start({ samples: true });
  const look = { viewport: { width: 1200, height: 700 }, colorScheme: "light", bypassCSP: true };
  const [ann, bob] = [await board.open("ann", look), await board.open("bob", look)];
  await ann.addStyleTag({ content: "*, ::before, ::after { animation-play-state: paused !important; caret-color: transparent }" });
  await card(bob, "Answer the letter from Prague").press("ArrowRight");
  await card(ann, "Answer the letter from Prague", "doing").waitFor();
  await board.expectSame(ann, bob);
  await ann.locator(".changed").waitFor();
  await ann.screenshot({ path: process.argv[2] });
  assert.deepEqual(board.failures, []);
} finally {
  await board.stop();
}
