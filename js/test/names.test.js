// Tests of the names of groups.
import assert from "node:assert/strict";
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
