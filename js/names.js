// Builds the name of a group from a pattern of the server and values: the same name as
// rohrpost.FormatGroup in Go.
export function formatGroup(pattern, params = {}) {
  const values = new Map(Object.entries(params));
  const parts = pattern.split(/(\{[^{}]*\})/); // literals, and placeholders between them
  const seen = new Set();
  let name = "";
  for (const [i, part] of parts.entries()) {
    if (i % 2 === 0) {
      const isBetween = i > 0 && i < parts.length - 1;
      check(/^[\w.:~-]*$/.test(part) && pattern && (part || !isBetween), `malformed pattern ${pattern}`);
      name += part;
      continue;
    }
    const [, key, kind] = /^\{(\w+)(?::(int|uuid))?\}$/.exec(part) ?? [];
    const next = parts[i + 1][0];
    check(key && !seen.has(key) && next !== "~" && !(kind === "int" && /\d/.test(next)), `malformed pattern ${pattern}`);
    seen.add(key);
    check(values.has(key), `no value for ${part} in ${pattern}`);
    name += format(textOf(values.get(key), part), kind, next, part);
  }
  for (const key of values.keys()) check(seen.has(key), `${pattern} has no {${key}}`);
  check(name.length <= 200, `the name is longer than 200 bytes: ${name}`);
  return name;
}

function textOf(value, part) {
  const isInteger = typeof value === "bigint" || Number.isSafeInteger(value);
  const isText = typeof value === "string" && value && !/\p{Surrogate}/u.test(value);
  check(isInteger || isText, `${part} needs a text that is not empty, or an integer: ${typeof value} ${String(value)}`);
  return String(value);
}

function format(text, kind, next, part) {
  if (kind === "int") check(/^(0|-?[1-9]\d*)$/.test(text) && text >= -(2n ** 63n) && text < 2n ** 64n, `${part} needs an integer of 64 bits: ${text}`);
  else if (kind) check(/^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/.test(text), `${part} needs a UUID in lower case: ${text}`);
  else return Array.from(new TextEncoder().encode(text), (byte) => escape(byte, next)).join("");
  return text;
}

// Escapes what is outside of the grammar, and what could be taken for the literal that follows.
function escape(byte, next) {
  const char = String.fromCharCode(byte);
  return /[\w.:-]/.test(char) && char !== next ? char : `~${byte.toString(16).toUpperCase().padStart(2, "0")}`;
}

function check(holds, text) {
  if (!holds) throw new TypeError(text);
}
