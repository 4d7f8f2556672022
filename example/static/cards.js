// The cards as they are shown: those of the server, with the wishes of this page.
import { watch } from "./connection.js";
import { wished } from "./wishes.js";

export const columns = ["todo", "doing", "done"];
export const names = { todo: "To do", doing: "Doing", done: "Done" };

export const all = () => wished(watch.items);

export function get(id) {
  const card = watch.get(id);
  return card && wished([card])[0];
}

// inColumn returns those of a column from top to bottom. A card that is wished to
// a place is put there, since the others have not made room yet.
export function inColumn(column, cards = all()) {
  const here = cards.filter((card) => card.column === column);
  const list = here.filter((card) => !card.placed).sort((a, b) => a.position - b.position || a.id - b.id);
  const placed = here.filter((card) => card.placed).sort((a, b) => a.placed - b.placed);
  for (const card of placed) list.splice(card.position, 0, card);
  return list;
}
