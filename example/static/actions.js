// What the user can do. Each is asked of the server; what it refuses is undone
// here, and the user reads why.
import { columns, inColumn } from "./cards.js";
import { tell } from "./notices.js";
import { drop, grant, wish } from "./wishes.js";

export const add = (title) => ask("POST", "", wish("create", undefined, { title: title.trim(), column: "todo" }));
export const rename = (card, title) => change(card, { title: title.trim() });
export const remove = (card) => ask("DELETE", `/${card.id}`, wish("delete", card.id, {}));

// move puts a card on top of the column beside its own.
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

const change = (card, fields) => ask("PATCH", `/${card.id}`, wish("update", card.id, fields));

// ask resolves with whether the server has agreed.
async function ask(method, path, wish) {
  try {
    const card = await request(method, path, wish.fields);
    if (card) grant(wish, card);
    return true;
  } catch (error) {
    drop(wish);
    tell(error.message, "refused");
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
    throw new Error("The server does not answer. Try again.");
  });
  if (response.status === 204) return null;
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}
