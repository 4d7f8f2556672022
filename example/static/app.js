// The board: what the server says is shown, and what the user does is asked of
// the server. Read connection.js first, then wishes.js, actions.js and board.js.
import { add } from "./actions.js";
import { draw, report } from "./board.js";
import { hub, watch } from "./connection.js";
import { showStatus } from "./notices.js";
import { heard, onWish, overrule } from "./wishes.js";

hub.on("status", showStatus);
hub.on("resync", () => overrule()); // the state was read anew: there is no telling what is in it
watch.subscribe((_, changes) => {
  for (const change of changes) if (!heard(change)) report(change);
  draw();
});
onWish(draw);

document.getElementById("new").onsubmit = async (event) => {
  event.preventDefault();
  const input = document.getElementById("title");
  if (await add(input.value)) input.value = "";
  input.focus();
};
