// Draws the board at most once per animation frame and updates only the elements
// of changed cards. A card keeps its element, so that the focus and a rename in
// progress survive.
import { build, fill } from "./card.js";
import { all, columns, inColumn, names } from "./cards.js";
import { showNotice } from "./notices.js";

const lists = Object.fromEntries(columns.map((column) => [column, document.querySelector(`[data-column="${column}"] ol`)]));
const drawn = new Map(); // id -> { card, item }
const highlights = new Map(); // id -> newest change by another page, until the next draw
let frame;

// highlight shows a change by another page with the next draw. It ignores cards
// that only make room for another card.
export function highlight(change) {
  if (change.updated_fields?.join() !== "position") highlights.set(change.object.id, change);
}

export function draw() {
  frame ??= requestAnimationFrame(() => {
    frame = undefined;
    const notices = [...highlights.values()].map(describe);
    keepFocus(update);
    for (const id of highlights.keys()) drawn.get(id)?.item.classList.add("changed");
    if (notices.length) showNotice(notices.length === 1 ? notices[0] : `${notices.length} cards were changed.`);
    highlights.clear();
  });
}

function describe({ type, object }) {
  const moved = drawn.has(object.id) && drawn.get(object.id).card.column !== object.column;
  const what = { create: "added", delete: "deleted", update: moved ? `moved to ${names[object.column]}` : "changed" };
  return `“${object.title}” was ${what[type]}.`;
}

function update() {
  const cards = all(), removed = new Set(drawn.keys()), unsorted = new Set(); // columns
  for (const card of cards) {
    removed.delete(card.id);
    const before = drawn.get(card.id);
    if (before?.card === card) continue;
    const item = before?.item ?? build(card.id);
    if (before?.card.title !== card.title || before.card.column !== card.column) fill(item, card);
    if (before?.card.column !== card.column || before.card.position !== card.position || before.card.placed !== card.placed) {
      unsorted.add(card.column);
    }
    drawn.set(card.id, { card, item });
  }
  for (const id of removed) {
    drawn.get(id).item.remove();
    drawn.delete(id);
  }
  for (const column of unsorted) sort(lists[column], inColumn(column, cards).map(({ id }) => drawn.get(id).item));
}

// sort puts the items into the list in order. It moves few elements if few
// positions have changed.
function sort(list, items) {
  let next = list.firstElementChild;
  for (const item of items) {
    if (next && next !== item && next.nextElementSibling === item) {
      const moved = next; // it belongs further down
      next = item;
      place(list, moved, null);
    }
    if (next === item) next = item.nextElementSibling;
    else place(list, item, next);
  }
}

// moveBefore keeps the focus and the text of an input; not every browser has it.
function place(list, item, before) {
  if (item.isConnected && list.moveBefore) list.moveBefore(item, before);
  else list.insertBefore(item, before);
}

// keepFocus calls change and restores the focus if change loses it. The focus of
// a deleted card moves to its neighbour.
function keepFocus(change) {
  const focused = document.activeElement;
  const card = focused.closest(".card");
  const neighbour = card && (card.nextElementSibling ?? card.previousElementSibling);
  change();
  const usable = focused.isConnected && !focused.disabled;
  const next = !card || usable ? focused : [card, neighbour].find((item) => item?.isConnected);
  if (next !== document.activeElement) (next ?? document.getElementById("title")).focus();
}
