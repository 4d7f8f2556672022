// The entry point: connects the server's changes, the pending edits and the board.
// Read connection.js first, then pending-edits.js, actions.js and board.js.
import { add } from "./actions.js";
import { draw, highlight } from "./board.js";
import { hub, watch } from "./connection.js";
import { showStatus } from "./notices.js";
import { onEdit, removeEdits, settleEdits } from "./pending-edits.js";

hub.on("status", showStatus);
hub.on("error", (error) => (error.code === "unreachable" ? showStatus("stale") : reportError(error))); // offline at the first load
hub.on("resync", removeEdits); // the snapshot may or may not contain the pending edits
watch.subscribe((_, changes) => {
  for (const change of changes) {
    settleEdits(change);
    if (!change.self) highlight(change);
  }
  draw();
});
onEdit(draw);

document.getElementById("new").onsubmit = async (event) => {
  event.preventDefault();
  const input = document.getElementById("title");
  if (await add(input.value)) input.value = "";
  input.focus();
};
