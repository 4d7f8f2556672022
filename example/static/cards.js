// The cards that the page shows: those of the server with the pending edits.
import { watch } from "./connection.js";
import { withEdits } from "./pending-edits.js";

export const columns = ["todo", "doing", "done"];
export const names = { todo: "To do", doing: "Doing", done: "Done" };

export const all = () => withEdits(watch.items);

export function get(id) {
  const card = watch.get(id);
  return card && withEdits([card])[0];
}

// inColumn returns the cards of a column from top to bottom. It inserts a card with
// a pending move at its new position, since the other cards have not made room yet.
export function inColumn(column, cards = all()) {
  const here = cards.filter((card) => card.column === column);
  const list = here.filter((card) => !card.placed).sort((a, b) => a.position - b.position || a.id - b.id);
  const placed = here.filter((card) => card.placed).sort((a, b) => a.placed - b.placed);
  for (const card of placed) list.splice(card.position, 0, card);
  return list;
}
