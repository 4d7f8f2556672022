// The actions of the user. Each sends a request to the server. If the server
// refuses it, the page undoes the action and shows the error.
import { fetch } from "/rohrpost/fetch.js"; // names this page to the server, see "self" in app.js
import { columns, inColumn } from "./cards.js";
import { showNotice } from "./notices.js";
import { addEdit, removeEdit } from "./pending-edits.js";

export const add = (title) => submit("POST", "", { title: title.trim(), column: "todo" });
export const rename = (card, title) => change(card, { title: title.trim() });
export const remove = (card) => submit("DELETE", `/${card.id}`);

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

// change shows the new values until the message of the server arrives.
async function change(card, fields) {
  const edit = addEdit(card.id, fields);
  if (!(await submit("PATCH", `/${card.id}`, fields))) removeEdit(edit);
}

// submit resolves with true if the server accepted the request.
async function submit(method, path, body) {
  try {
    await request(method, path, body);
    return true;
  } catch (error) {
    showNotice(error.message, "error");
    return false;
  }
}

async function request(method, path, body) {
  const response = await fetch(`/api/cards${path}`, {
    method,
    headers: { "Content-Type": "application/json" },
    body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(10_000),
  }).catch(() => {
    throw new Error("The server does not respond. Try again.");
  });
  const result = response.status === 204 ? {} : await response.json();
  if (!response.ok) throw new Error(result.error);
}
