// Pending edits: changes that this page has requested and whose messages have
// not arrived yet. The page shows them at once; the server has the last word.
const edits = new Set(); // in the order in which they were made
let notify = () => {};

// onEdit sets the function that runs when the pending edits change.
export function onEdit(fn) {
  notify = fn;
}

// addEdit adds an edit of the type "create", "update" or "delete" to the fields
// of the card with this id.
export function addEdit(type, id, fields) {
  const edit = { type, id, fields, confirmed: false, overridden: false };
  edits.add(edit);
  notify();
  return edit;
}

// confirmEdit stores the card that the server replied, which may differ from the
// request. The message about the change may arrive before or after the reply.
export function confirmEdit(edit, card) {
  for (const field of Object.keys(edit.fields)) edit.fields[field] = card[field];
  edit.id = card.id;
  edit.confirmed = true;
  notify();
}

export function removeEdit(edit) {
  edits.delete(edit);
  notify();
}

// settleEdit removes the edit that caused this change of the server and returns
// true. If another page caused the change, it overrides the edits that conflict
// with it and returns false.
export function settleEdit({ type, object, updated_fields = [] }) {
  for (const edit of edits) {
    if (edit.type === type && (edit.id ?? object.id) === object.id && matches(edit.fields, object)) return edits.delete(edit);
  }
  overrideEdits((edit) => edit.id === object.id && (type !== "update" || updated_fields.some((field) => field in edit.fields)));
  return false;
}

// overrideEdits hides edits. The page keeps them to recognize their messages, but
// removes a confirmed edit when it is overridden again.
export function overrideEdits(which = () => true) {
  for (const edit of edits) {
    if (!which(edit)) continue;
    if (edit.confirmed && edit.overridden) edits.delete(edit);
    edit.overridden = true;
  }
}

// withEdits returns the cards with the pending edits applied. A card that an edit
// moves gets the field placed: the rank of that edit.
export function withEdits(cards) {
  const changes = new Map();
  let placed = 0;
  for (const { type, id, fields, overridden } of edits) {
    if (type !== "update" || overridden) continue;
    const place = "position" in fields && { placed: ++placed };
    changes.set(id, { ...changes.get(id), ...fields, ...place });
  }
  return changes.size === 0 ? cards : cards.map((card) => (changes.has(card.id) ? { ...card, ...changes.get(card.id) } : card));
}

function matches(fields, card) {
  return Object.entries(fields).every(([field, value]) => card[field] === value);
}
