// Pending edits: updates that this page has requested and whose messages have not
// arrived yet. The page shows them at once; the server has the last word.
const edits = new Set(); // in the order in which they were made
let notify = () => {};

// onEdit sets the function that runs when the pending edits change.
export function onEdit(fn) {
  notify = fn;
}

// addEdit adds an edit to the fields of the card with this id.
export function addEdit(id, fields) {
  const edit = { id, fields };
  edits.add(edit);
  notify();
  return edit;
}

export function removeEdit(edit) {
  edits.delete(edit);
  notify();
}

export function removeEdits() {
  edits.clear();
  notify();
}

// settleEdits removes the edit that has caused this change of the server. If another
// page has caused the change, it removes the edits that conflict with it.
export function settleEdits({ type, object, updated_fields: fields = [], self }) {
  for (const edit of edits) {
    if (edit.id !== object.id) continue;
    const own = Object.keys(edit.fields);
    if (type !== "update" || (!self && own.some((field) => fields.includes(field)))) edits.delete(edit);
    else if (self && own.every((field) => fields.includes(field))) return edits.delete(edit);
  }
}

// withEdits returns the cards with the pending edits applied. A card that an edit
// moves gets the field placed: the rank of that edit.
export function withEdits(cards) {
  const changes = new Map();
  let placed = 0;
  for (const { id, fields } of edits) {
    const place = "position" in fields && { placed: ++placed };
    changes.set(id, { ...changes.get(id), ...fields, ...place });
  }
  return changes.size === 0 ? cards : cards.map((card) => (changes.has(card.id) ? { ...card, ...changes.get(card.id) } : card));
}
