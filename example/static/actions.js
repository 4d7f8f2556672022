// The actions of the user. Each sends a request to the server. If the server
// refuses it, the page undoes the action and shows the error.
import { columns, inColumn } from "./cards.js";
import { showNotice } from "./notices.js";
import { addEdit, confirmEdit, removeEdit } from "./pending-edits.js";

export const add = (title) => submit("POST", "", addEdit("create", undefined, { title: title.trim(), column: "todo" }));
export const rename = (card, title) => change(card, { title: title.trim() });
export const remove = (card) => submit("DELETE", `/${card.id}`, addEdit("delete", card.id, {}));

// move moves a card to the top of a neighbouring column.
export function move(card, by) {
  const column = columns[columns.indexOf(card.column) + by];
  if (column) change(card, { column, position: 0 });
}

// shift moves a card within its column.
export function shift(card, by) {
  const cards = inColumn(card.column);
  const position = cards.findIndex(({ id }) => id === card.id) + by;
  if (cards[position]) change(card, { column: card.column, position });
}

const change = (card, fields) => submit("PATCH", `/${card.id}`, addEdit("update", card.id, fields));

// submit resolves with true if the server accepted the edit.
async function submit(method, path, edit) {
  try {
    const card = await request(method, path, edit.fields);
    if (card) confirmEdit(edit, card);
    return true;
  } catch (error) {
    removeEdit(edit);
    showNotice(error.message, "error");
    return false;
  }
}

async function request(method, path, body) {
  const response = await fetch(`/api/cards${path}`, {
    method,
    headers: { "Content-Type": "application/json" },
    body: method === "DELETE" ? undefined : JSON.stringify(body),
    signal: AbortSignal.timeout(10_000),
  }).catch(() => {
    throw new Error("The server does not respond. Try again.");
  });
  if (response.status === 204) return null;
  const result = await response.json();
  if (!response.ok) throw new Error(result.error);
  return result;
}
