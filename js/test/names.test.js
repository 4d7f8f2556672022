// Tests of the names of groups.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { formatGroup } from "../names.js";

test("formatGroup escapes what would have another reading", () => {
  assert.equal(formatGroup("wiki-{team}-{wiki}", { team: "acme-west", wiki: "plans" }), "wiki-acme~2Dwest-plans");
  assert.equal(formatGroup("file-{path}", { path: "a/b" }), "file-a~2Fb");
  assert.equal(formatGroup("{word}", { word: "Grüße" }), "Gr~C3~BC~C3~9Fe");
});

test("values may be integers, and nothing else than texts beside them", () => {
  assert.equal(formatGroup("article-{id}", { id: 7 }), "article-7");
  assert.equal(formatGroup("article-{id:int}", { id: 2n ** 63n }), "article-9223372036854775808");
  for (const id of [1.5, NaN, 2 ** 53, true, null, undefined, {}, [7], Symbol("x"), "\ud800", "a\udc00"]) {
    assert.throws(() => formatGroup("article-{id}", { id }), TypeError);
  }
  assert.throws(() => formatGroup("article-{constructor}"), /no value for \{constructor\}/);
});

const table = JSON.parse(readFileSync(new URL("../../testdata/group_names.json", import.meta.url)));

test("formatGroup makes the same names as Go", () => {
  assert.ok(table.formatted.length > 20);
  for (const { pattern, params, name } of table.formatted) assert.equal(formatGroup(pattern, params), name);
});

test("formatGroup refuses what Go refuses", () => {
  assert.ok(table.refused.length > 5 && table.malformedPatterns.length > 5);
  for (const { pattern, params, why } of table.refused) assert.throws(() => formatGroup(pattern, params), TypeError, why);
  for (const pattern of table.malformedPatterns) assert.throws(() => formatGroup(pattern, { a: 1, b: 2, id: 3 }), /malformed pattern/, pattern);
});
