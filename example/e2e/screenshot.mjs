// Takes the picture of the README: node screenshot.mjs FILE. Two people have the
// board open; what one of them has just done is seen at the other's.
import assert from "node:assert/strict";
import { Stage, card } from "./support.mjs";

const stage = new Stage();
try {
  await stage.set();
  for (const [title, column] of [
    ["Oil the capsules", "todo"], ["Paint the tubes red", "todo"], ["Order felt for the seals", "todo"],
    ["Answer the letter from Prague", "todo"], ["Measure the pressure", "doing"], ["Write the timetable", "doing"],
    ["Dig up the line to the station", "doing"], ["Lay the pipe to the post office", "done"], ["Invite everybody", "done"],
  ]) await stage.add(title, column);

  const look = { viewport: { width: 1200, height: 700 }, colorScheme: "light", bypassCSP: true };
  const [ann, bob] = [await stage.open("ann", look), await stage.open("bob", look)];
  await ann.addStyleTag({ content: "*, ::before, ::after { animation-play-state: paused !important; caret-color: transparent }" });
  await card(bob, "Answer the letter from Prague").press("ArrowRight");
  await card(ann, "Answer the letter from Prague", "doing").waitFor();
  await stage.same(ann, bob);
  await ann.locator(".changed").waitFor();
  await ann.screenshot({ path: process.argv[2] });
  assert.deepEqual(stage.failures, []);
} finally {
  await stage.strike();
}
