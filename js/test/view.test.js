// Tests of views: the order and the filter of a watch.
import assert from "node:assert/strict";
import { test } from "node:test";
import { view } from "../view.js";
import { board, connected } from "./support.js";

const rows = [{ id: 1, title: "b", done: false }, { id: 2, title: "a", done: true }, { id: 3, title: "c", done: false }];
const byTitle = (a, b) => (a.title < b.title ? -1 : 1);
const titles = ({ items }) => items.map((item) => item.title).join("");

test("sort keeps the items in order through creates and updates", async (t) => {
  const { watch, change } = await board(t, {}, rows);
  const sorted = view(watch, { sort: byTitle });
  assert.equal(titles(sorted), "abc");
  change("create", { id: 4, title: "aa", done: false });
  change("update", { id: 3, title: "0" });
  assert.equal(titles(sorted), "0aaab");
  assert.equal(titles(watch), "ba0aa", "the watch keeps its own order");
  assert.throws(() => sorted.items.push({}), TypeError);
  assert.equal(sorted.items, sorted.items);
});

test("one call watches a group and sorts it", async (t) => {
  const { network, client } = await connected(t);
  const sorted = view(client, "board", { sort: byTitle, filter: (item) => !item.done, key: "title", replace: true });
  network.last.reply(network.last.requests()[0], { group: "board", epoch: "e", offset: 1, snapshot: rows });
  assert.equal(titles(sorted), "bc");
  network.last.deliver({ type: "subscription-update", data: { type: "update", group: "board", object: { id: 3, title: "c", n: 1 }, offset: 2 } });
  assert.deepEqual([sorted.get("c"), sorted.status], [{ id: 3, title: "c", n: 1 }, "live"], "with the options of the watch");
  sorted.close();
  assert.equal(client.group("board").status, "closed");
});

test("sort and filter are refused where they would do nothing", async (t) => {
  const { client } = await connected(t);
  for (const options of [{ sort: byTitle }, { filter: () => true }]) assert.throws(() => client.watch("board", options), /options of view\(\)/);
});

test("a partial update of an item that the view hides is kept", async (t) => {
  const { network, watch } = await board(t, { replace: true }, rows);
  const open = view(watch, { filter: (item) => !item.done });
  let offset = 10;
  const update = (object) => network.last.deliver({ type: "subscription-update", data: { type: "update", group: "board", object, partial: true, offset: ++offset } });
  update({ id: 2, title: "changed" });
  assert.equal(titles(open), "bc");
  update({ id: 2, done: false });
  assert.equal(titles(open), "bchangedc");
  assert.equal(watch.status, "live");
});

test("an update that stops matching removes the item, and one that matches adds it", async (t) => {
  const { watch, change } = await board(t, {}, rows);
  const open = view(watch, { filter: (item) => !item.done });
  assert.equal(titles(open), "bc");
  change("update", { id: 1, done: true });
  change("update", { id: 2, done: false });
  assert.equal(titles(open), "ac");
  assert.deepEqual([open.get(1), open.get(2).title, open.get(9)], [undefined, "a", undefined]);
});

test("subscribers of a view see its items, and set changes them", async (t) => {
  const { clock, watch, change } = await board(t, {}, rows);
  await clock.run(100);
  const shown = view(watch, { sort: byTitle });
  const seen = [];
  const ends = [1, 2].map((n) => shown.subscribe((items, changes) => n === 1 && seen.push([titles({ items }), changes.length])));
  change("delete", { id: 3 });
  await clock.run(100);
  shown.set({ filter: (item) => item.done });
  assert.deepEqual(seen.at(0), ["abc", 0]);
  assert.deepEqual(seen.slice(-2), [["ab", 1], ["a", 0]]);
  const before = seen.length;
  ends.forEach((end) => end());
  change("delete", { id: 2 });
  await clock.run(100);
  assert.equal(seen.length, before);
});

test("a subscriber of a view that throws stops no other, and can be ended", async (t) => {
  const { clock, watch, change, of } = await board(t, {}, rows);
  await clock.run(100);
  for (const shown of [view(watch, { sort: byTitle }), view(view(watch, { sort: byTitle }), {})]) {
    const [before, seen] = [of("error").length, []];
    const end = shown.subscribe(() => {
      throw new Error("oops");
    });
    const ends = [end, shown.subscribe((items) => seen.push(titles({ items })))];
    shown.set({ filter: (item) => item.id !== 2 });
    change("update", { id: 3, title: "d" });
    await clock.run(100);
    assert.deepEqual(seen, ["abc", "bc", "bd"]);
    assert.deepEqual(of("error").slice(before).map((e) => e.message), ["oops", "oops", "oops"]);
    ends.forEach((end) => end());
    change("update", { id: 3, title: "c" });
    await clock.run(100);
    assert.deepEqual([seen.length, of("error").length], [3, before + 3]);
  }
});

test("a filter that throws is an error, and the next one is obeyed", async (t) => {
  const { clock, watch, of } = await board(t, {}, rows);
  await clock.run(100);
  const seen = [];
  const shown = view(watch, { filter: (item) => item.no.such });
  shown.subscribe((items) => seen.push(titles({ items })));
  shown.set({ filter: () => true });
  assert.deepEqual([seen, of("error").length], [["bac"], 1]);
});

test("a view has the status, the error and the end of its watch", async (t) => {
  const { clock, watch, network } = await board(t, {}, rows);
  const shown = view(watch, { sort: byTitle });
  const statuses = [];
  shown.on("status", (status) => statuses.push(status)).once("status", () => statuses.push("once"));
  await clock.run(100);
  assert.equal(await shown.ready, shown);
  for await (const items of shown) {
    assert.equal(titles({ items }), "abc");
    break;
  }
  network.last.drop(4403);
  assert.deepEqual([shown.status, shown.error.close, shown.items], ["closed", 4403, []]);
  assert.deepEqual(statuses, ["closed", "once"].concat([]));
  shown.close();
});
