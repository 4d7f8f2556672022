// Draws the board. However many changes there are, it is drawn once a frame, and
// only what has changed is touched. An element is reused as long as its card
// lives, so that focus and a rename in progress stay.
import { build, fill } from "./card.js";
import { all, columns, inColumn, names } from "./cards.js";
import { tell } from "./notices.js";

const lists = Object.fromEntries(columns.map((column) => [column, document.querySelector(`[data-column="${column}"] ol`)]));
const drawn = new Map(); // id -> { card, item }
const reports = new Map(); // id -> the newest change by others that is not drawn yet
let frame;

// report has a change by others shown to the user, with the next draw. That a
// card has made room for another is no news.
export function report(change) {
  if (change.updated_fields?.join() !== "position") reports.set(change.object.id, change);
}

export function draw() {
  frame ??= requestAnimationFrame(() => {
    frame = undefined;
    const news = [...reports.values()].map(told);
    keepingFocus(update);
    for (const id of reports.keys()) drawn.get(id)?.item.classList.add("changed");
    if (news.length) tell(news.length === 1 ? news[0] : `${news.length} cards were changed.`);
    reports.clear();
  });
}

function told({ type, object }) {
  const moved = drawn.has(object.id) && drawn.get(object.id).card.column !== object.column;
  const what = { create: "added", delete: "deleted", update: moved ? `moved to ${names[object.column]}` : "changed" };
  return `“${object.title}” was ${what[type]}.`;
}

function update() {
  const cards = all(), gone = new Set(drawn.keys()), mixed = new Set(); // columns that have to be put in order
  for (const card of cards) {
    gone.delete(card.id);
    const before = drawn.get(card.id);
    if (before?.card === card) continue;
    const item = before?.item ?? build(card.id);
    if (before?.card.title !== card.title || before.card.column !== card.column) fill(item, card);
    if (before?.card.column !== card.column || before.card.position !== card.position || before.card.placed !== card.placed) {
      mixed.add(card.column);
    }
    drawn.set(card.id, { card, item });
  }
  for (const id of gone) {
    drawn.get(id).item.remove();
    drawn.delete(id);
  }
  for (const column of mixed) order(lists[column], inColumn(column, cards).map(({ id }) => drawn.get(id).item));
}

// order puts the items into the list, in their order, with few moves where little
// has changed.
function order(list, items) {
  let next = list.firstElementChild;
  for (const item of items) {
    if (next && next !== item && next.nextElementSibling === item) {
      const aside = next; // it has moved down: its turn is still to come
      next = item;
      place(list, aside, null);
    }
    if (next === item) next = item.nextElementSibling;
    else place(list, item, next);
  }
}

// Where the browser can move an element, it keeps the focus and what is typed.
function place(list, item, before) {
  if (item.isConnected && list.moveBefore) list.moveBefore(item, before);
  else list.insertBefore(item, before);
}

// keepingFocus calls change, and puts the focus back if it was lost; that of a
// deleted card goes to its neighbour.
function keepingFocus(change) {
  const focused = document.activeElement;
  const card = focused.closest(".card");
  const neighbour = card && (card.nextElementSibling ?? card.previousElementSibling);
  change();
  const usable = focused.isConnected && !focused.disabled;
  const next = !card || usable ? focused : [card, neighbour].find((item) => item?.isConnected);
  if (next !== document.activeElement) (next ?? document.getElementById("title")).focus();
}
