/**
 * Returns the name that the pattern makes of the values, as rohrpost.FormatGroup does:
 * formatGroup("wiki-{team}-{page}", { team: "acme-west", page: "plans" }) is
 * "wiki-acme~2Dwest-plans". Throws a TypeError if the pattern is malformed, a value is
 * missing, empty or not of the type of its placeholder, a param has no placeholder, or
 * the name is longer than 200 bytes.
 */
export function formatGroup(pattern: string, params?: Record<string, string | number | bigint>): string;
