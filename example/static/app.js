// The board: what the server says is shown, and what the user does is asked of
// the server. The page changes no card by itself; its own changes come back to
// it like everybody else's.
import { live } from "./live.js";

const columns = ["todo", "doing", "done"];
const names = { todo: "To do", doing: "Doing", done: "Done" };
const cards = new Map(); // id -> card
const mine = new Set(); // "update 7" for what this page has just asked for: no news to its user
let early = null; // changes that arrive while the state is loaded
let loading = 0; // the newest load counts

live("/ws/rohrpost/", "board", {
  subscribed: load,
  changed: (change) => {
    if (change.type === "resync") load();
    else if (early) early.push(change);
    else apply(change);
  },
  state: (name) => {
    const element = document.getElementById("state");
    element.dataset.state = element.textContent = name;
  },
});

// load reads all cards. Changes are kept from the subscription on, so none is
// missed; those that the answer contains already change nothing.
async function load() {
  const turn = ++loading;
  early = [];
  const answer = await api("GET").catch(() => null);
  if (turn !== loading) return;
  if (!answer) {
    setTimeout(() => turn === loading && load(), 1_000);
    return;
  }
  cards.clear();
  for (const card of answer) cards.set(card.id, card);
  const waiting = early;
  early = null;
  for (const change of waiting) note(change);
  render();
}

function note({ type, object }) {
  if (type === "delete") cards.delete(object.id);
  else cards.set(object.id, object);
}

function apply(change) {
  const before = cards.get(change.object.id);
  note(change);
  render();
  if (mine.has(`${change.type} ${change.object.id}`)) return;
  element(change.object.id)?.classList.add("changed");
  const what = { create: "added", delete: "deleted", update: before?.column === change.object.column ? "changed" : `moved to ${names[change.object.column]}` };
  document.getElementById("news").textContent = `“${change.object.title}” was ${what[change.type]}.`;
}

async function api(method, path = "", body) {
  const response = await fetch(`/api/cards${path}`, {
    method,
    headers: body && { "Content-Type": "application/json" },
    body: body && JSON.stringify(body),
  });
  if (response.status === 204) return null;
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

// ask asks the server for a change and tells the user when it refuses.
async function ask(method, card, body) {
  claim(method === "DELETE" ? "delete" : "update", card);
  try {
    await api(method, `/${card.id}`, body);
  } catch (error) {
    document.getElementById("news").textContent = error.message;
  }
}

function claim(type, { id }) {
  mine.add(`${type} ${id}`);
  setTimeout(() => mine.delete(`${type} ${id}`), 2_000);
}

function inColumn(column) {
  return [...cards.values()].filter((card) => card.column === column).sort((a, b) => a.position - b.position || a.id - b.id);
}

function element(id) {
  return document.querySelector(`.card[data-id="${id}"]`);
}

// render brings the page in line with the cards. An element is reused as long as
// its card lives, so that focus and a rename in progress stay; the focus of a
// deleted card goes to its neighbour.
function render() {
  const focused = document.activeElement;
  const place = focused.closest(".card");
  const neighbour = place && (place.nextElementSibling ?? place.previousElementSibling);
  for (const old of document.querySelectorAll(".card")) {
    if (!cards.has(Number(old.dataset.id))) old.remove();
  }
  for (const column of columns) {
    const list = document.querySelector(`[data-column="${column}"] ol`);
    inColumn(column).forEach((card, index) => {
      const item = element(card.id) ?? build(card.id);
      item.querySelector("p").textContent = card.title;
      item.setAttribute("aria-label", `${card.title}, ${names[column]}`);
      item.querySelector("[data-by='-1']").disabled = column === columns[0];
      item.querySelector("[data-by='1']").disabled = column === columns.at(-1);
      if (list.children[index] !== item) list.insertBefore(item, list.children[index] ?? null);
    });
  }
  const next = !place || (focused.isConnected && !focused.disabled) ? focused : place.isConnected ? place : neighbour;
  if (next !== document.activeElement) (next ?? document.getElementById("title")).focus();
}

function build(id) {
  const item = document.createElement("li");
  item.className = "card";
  item.dataset.id = id;
  item.tabIndex = 0;
  const menu = document.createElement("menu");
  menu.append(
    button("←", "Move left", () => move(id, -1), -1),
    button("→", "Move right", () => move(id, 1), 1),
    button("Rename", "Rename", () => rename(id)),
    button("✕", "Delete", () => ask("DELETE", cards.get(id))),
  );
  item.append(document.createElement("p"), menu);
  item.ondblclick = () => rename(id);
  item.onanimationend = () => item.classList.remove("changed");
  item.onkeydown = (event) => {
    if (event.target === item) key(event, id);
  };
  return item;
}

function button(text, label, onclick, by = 0) {
  const element = Object.assign(document.createElement("button"), { type: "button", textContent: text, onclick });
  element.setAttribute("aria-label", label);
  element.dataset.by = by;
  return element;
}

function key(event, id) {
  const actions = {
    Enter: () => rename(id),
    Delete: () => ask("DELETE", cards.get(id)),
    ArrowLeft: () => move(id, -1),
    ArrowRight: () => move(id, 1),
    ArrowUp: () => shift(id, -1),
    ArrowDown: () => shift(id, 1),
  };
  if (!actions[event.key]) return;
  event.preventDefault();
  actions[event.key]();
}

function move(id, by) {
  const card = cards.get(id);
  const column = columns[columns.indexOf(card.column) + by];
  if (column) ask("PATCH", card, { column });
}

function shift(id, by) {
  const card = cards.get(id);
  const position = inColumn(card.column).indexOf(card) + by;
  if (position >= 0) ask("PATCH", card, { column: card.column, position });
}

function rename(id) {
  const card = cards.get(id), item = element(id), title = item.querySelector("p");
  if (item.querySelector("input")) return;
  const input = Object.assign(document.createElement("input"), { value: card.title, maxLength: 120 });
  input.setAttribute("aria-label", "Title");
  title.hidden = true;
  title.after(input);
  input.focus();
  input.select();
  let done = false;
  const finish = (keep) => {
    if (done) return;
    done = true;
    const back = document.activeElement === input;
    input.remove();
    title.hidden = false;
    if (back) item.focus();
    if (keep && cards.has(id) && input.value.trim() && input.value !== card.title) ask("PATCH", card, { title: input.value });
  };
  input.onblur = () => finish(true);
  input.onkeydown = (event) => {
    if (event.key === "Enter") finish(true);
    if (event.key === "Escape") finish(false);
  };
}

document.getElementById("new").onsubmit = async (event) => {
  event.preventDefault();
  const input = document.getElementById("title");
  try {
    claim("create", await api("POST", "", { title: input.value, column: "todo" }));
    input.value = "";
  } catch (error) {
    document.getElementById("news").textContent = error.message;
  }
  input.focus();
};
