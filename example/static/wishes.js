// Wishes: what this page has asked the server for and has not heard of yet. They
// are shown at once; but the server's word counts, whatever it is.
const wishes = new Set(); // in the order they were made
let changed = () => {};

// onWish has fn called whenever there is something else to wish for.
export function onWish(fn) {
  changed = fn;
}

// wish notes that a change is asked for: of the type "create", "update" or
// "delete", of the card with that id, to these fields.
export function wish(type, id, fields) {
  const made = { type, id, fields, granted: false, overruled: false };
  wishes.add(made);
  changed();
  return made;
}

// grant notes the answer of the server, which may differ from what was asked.
// The change itself is still to come, or has come already.
export function grant(wish, card) {
  for (const field of Object.keys(wish.fields)) wish.fields[field] = card[field];
  wish.id = card.id;
  wish.granted = true;
  changed();
}

export function drop(wish) {
  wishes.delete(wish);
  changed();
}

// heard takes a change from the server, and tells whether it is one that this
// page has wished for. If it is another's, wishes that it contradicts are not
// shown any more.
export function heard({ type, object, updated_fields = [] }) {
  for (const wish of wishes) {
    if (wish.type === type && (wish.id ?? object.id) === object.id && agree(wish.fields, object)) return wishes.delete(wish);
  }
  overrule((wish) => wish.id === object.id && (type !== "update" || updated_fields.some((field) => field in wish.fields)));
  return false;
}

// overrule hides wishes. They stay, so that their change is known when it comes;
// one that was granted is forgotten the second time.
export function overrule(which = () => true) {
  for (const wish of wishes) {
    if (!which(wish)) continue;
    if (wish.granted && wish.overruled) wishes.delete(wish);
    wish.overruled = true;
  }
}

// wished returns the cards as they are if all wishes come true. placed tells those
// that are wished to a place, and in which order.
export function wished(cards) {
  const changes = new Map();
  let placed = 0;
  for (const { type, id, fields, overruled } of wishes) {
    if (type !== "update" || overruled) continue;
    const place = "position" in fields && { placed: ++placed };
    changes.set(id, { ...changes.get(id), ...fields, ...place });
  }
  return changes.size === 0 ? cards : cards.map((card) => (changes.has(card.id) ? { ...card, ...changes.get(card.id) } : card));
}

function agree(fields, card) {
  return Object.entries(fields).every(([field, value]) => card[field] === value);
}
