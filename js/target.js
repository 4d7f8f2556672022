// What a page subscribes to: the name of a group, or data that the server maps to one.
export function dataOf(target) {
  if (typeof target === "string") return { group: target };
  const { since, snapshot, ...data } = target;
  return data;
}

export function keyOf(data) {
  return JSON.stringify(Object.entries(data).sort());
}

// Servers name {type, id} like this, unless they are told otherwise. What other data names only the server knows.
export function nameOf({ group, type, id, ...more }) {
  return group ?? (keyOf(more) === "[]" ? `${type}-${id}` : undefined);
}

// Whether both name a group and nothing else, or are equal.
export function isSame(a, b) {
  return keyOf(a) === keyOf(b) || (isName(a) && isName(b));
}

function isName({ group, type, id, ...more }) {
  return keyOf(more) === "[]";
}
