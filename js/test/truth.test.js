// Tests of the data that a page shows: a page with old data is not "live", a passing
// error ends no watch, and each end of a watch has an error.
import assert from "node:assert/strict";
import { test } from "node:test";
import { board, connected, failure, settled } from "./support.js";

const info = { code: "unavailable", temporary: true };

// ---- "live" while the page shows old data

for (const [text, more] of [["UNAVAILABLE"], ["internal error"], ["The request timed out."], ["busy", info]]) {
  test(`a reload that fails every time is not live, and an error after three tries: ${text}`, async (t) => {
    const { client, clock, watch, reply, change, of, requests } = await board(t);
    change("resync", { reason: "rows" });
    for (let n = 1; n <= 5; n++) {
      reply(undefined, text, more);
      await settled();
      assert.deepEqual([client.status, watch.status], ["recovering", "recovering"]);
      assert.equal(of("error").length, n < 3 ? 0 : 1);
      await clock.run(500);
    }
    assert.equal(of("error")[0].group, "board");
    assert.equal(client.group("board").error, of("error")[0]);
    assert.deepEqual(requests().at(-1).data, { group: "board", snapshot: true });
    reply({ offset: 11, snapshot: [] });
    assert.deepEqual([client.status, watch.status, client.group("board").error], ["live", "live", undefined]);
  });
}

const rows = [{ id: 1, title: "one" }, { id: 2, title: "two" }];
const composite = [{ a: 1, b: 1, title: "one" }];
for (const [name, options, snapshot, type, object, fields] of [
  ["a payload with another key", { key: "ID" }, [{ ID: 1, Title: "one" }], "update", { id: 1, updated_fields: ["Title"] }, ["Title"]],
  ["a payload without the columns of the key", { key: (row) => [row.a, row.b] }, composite, "update", { id: [1, 1], title: "ONE" }],
  ["an update with nothing but the key", {}, rows, "update", { id: 1 }],
  ["the default payload of an update", {}, rows, "update", { id: 1, updated_fields: ["title"] }, ["title"]],
  ["the default payload of a create", {}, rows, "create", { id: 3 }],
  ["the default payload of a create in an empty list", {}, [], "create", { id: 3 }],
  ["an update that lacks a field which it names", {}, rows, "update", { id: 1, by: "ann", updated_fields: ["by", "title"] }, ["by", "title"]],
  ["a partial row that the page does not have", {}, rows, "update", { id: 3, title: "new", updated_fields: ["title"] }, ["title"]],
  ["a key that changes", { key: "title" }, rows, "update", { id: 1, title: "new" }, ["title"]],
  ["an id that changes", {}, rows, "update", { id: 9, title: "one", by: "x" }, ["id"]],
  ["a composite id that changes", {}, [{ id: [1, "a"], n: 1 }], "update", { id: [1, "b"], n: 1 }],
  ["a key of another type", {}, [{ id: "1", title: "one" }], "update", { id: 1, title: "ONE" }],
  ["a delete with a key of another type", {}, [{ id: "1", title: "one" }], "delete", { id: 1 }],
  ["a composite key with a part of another type", {}, [{ id: [1, "a"], title: "one" }], "create", { id: ["1", "a"], title: "ONE" }],
  ["a composite key with more parts", {}, [{ id: [1, "a"], title: "one" }], "create", { id: [1, "a", 1], title: "ONE" }],
  ["a delete without the key", { key: "title" }, rows, "delete", { id: 1 }],
  ["a change without an object", {}, rows, "update", null],
]) {
  test(`a change that the watch cannot apply reloads it: ${name}`, async (t) => {
    const { client, watch, change, reply, requests, network } = await board(t, options, snapshot);
    const before = watch.items;
    const updates = fields && { updated_fields: fields };
    network.last.deliver({ type: "subscription-update", data: { type, group: "board", object, ...updates, offset: 11 } });
    assert.deepEqual([client.status, watch.status], ["recovering", "recovering"]);
    assert.deepEqual(watch.items, before);
    assert.deepEqual(requests().at(-1).data, { group: "board", snapshot: true });
    reply({ offset: 11, snapshot: [{ ...snapshot[0], id: 5, ID: 5, a: 5, b: 5, title: "right" }] });
    assert.deepEqual([client.status, watch.status, watch.items[0].title], ["live", "live", "right"]);
  });
}

for (const [name, options, snapshot, type, object, fields] of [
  ["a list of keys", {}, [{ id: 1 }], "create", { id: 2 }],
  ["a full row that moves into the group", {}, rows, "update", { id: 3, title: "new", by: "x", updated_fields: ["by"] }, ["by"]],
  ["an update of a field that the page does not have", {}, rows, "update", { id: 1, by: "x", updated_fields: ["by", "secret"] }, ["by", "secret"]],
  ["a whole row that replaces the item", { replace: true }, rows, "update", { id: 1, by: "x", updated_fields: ["title"] }, ["title"]],
  ["a delete of a row that the page does not have", {}, rows, "delete", { id: 9 }],
]) {
  test(`a change that says enough is applied: ${name}`, async (t) => {
    const { watch, requests, network } = await board(t, options, snapshot);
    network.last.deliver({ type: "subscription-update", data: { type, group: "board", object, updated_fields: fields, offset: 11 } });
    assert.equal(requests().length, 1);
    assert.equal(watch.status, "live");
    if (type !== "delete") for (const name of Object.keys(object).filter((n) => n !== "updated_fields")) assert.deepEqual(watch.get(object.id)[name], object[name]);
  });
}

// The snapshot comes up to two seconds after the change that does not say enough.
const full = { id: 1, title: "one", body: "one" };
for (const [name, unfit, later] of [
  ["an update that fits", { object: { id: 1, title: "new" }, updated_fields: ["title", "body"] }, { object: { id: 1, title: "newer" }, updated_fields: ["title"] }],
  ["a partial update", { object: { id: 1 }, updated_fields: ["title"] }, { object: { id: 1, body: "new" }, updated_fields: ["body"], partial: true }],
  ["an update of the row whose key has changed", { object: { ...full, id: 9, by: "x" }, updated_fields: ["id"] }, { object: { ...full, id: 9, by: "y" }, updated_fields: ["by"] }],
  ["a delete of the row whose key has changed", { object: { ...full, id: 9 }, updated_fields: ["id"] }, { type: "delete", object: { id: 9 } }],
  ["a delete of a row that the page does not have", { object: { id: 9, title: "x" }, updated_fields: ["title"] }, { type: "delete", object: { id: 9 } }],
]) {
  test(`no later change makes up for one that does not say enough: ${name}`, async (t) => {
    const { client, clock, watch, reply, requests, network } = await board(t, {}, [full, { ...full, id: 2 }], { random: () => 0.5 });
    const deliver = (data) => network.last.deliver({ type: "subscription-update", data: { type: "update", group: "board", ...data } });
    deliver({ ...unfit, offset: 11 });
    deliver({ ...later, offset: 12 });
    assert.deepEqual([client.status, watch.status, requests().length], ["recovering", "recovering", 1]);
    await clock.run(1000);
    assert.deepEqual(requests()[1].data, { group: "board", snapshot: true });
    reply({ offset: 12, snapshot: [{ id: 3 }] });
    assert.deepEqual([client.status, watch.status, watch.items], ["live", "live", [{ id: 3 }]]);
  });
}

// ---- passing errors

for (const [text, more] of [["The request timed out."], ["UNAVAILABLE"], ["internal error"], ["x", { code: "timeout", temporary: true }]]) {
  test(`a passing error does not end a watch: ${text}`, async (t) => {
    const { client, clock, watch, reply, requests } = await board(t, {}, null);
    reply(undefined, text, more);
    await settled();
    assert.equal(watch.status, "connecting");
    await clock.run(500);
    assert.equal(requests().length, 2);
    reply({ offset: 1, snapshot: rows });
    assert.deepEqual([watch.items, watch.status, client.status], [rows, "live", "live"]);
  });
}

test("retry_after of an error delays the next try", async (t) => {
  const { clock, reply, requests } = await board(t, {}, null);
  reply(undefined, "UNAVAILABLE", { ...info, retry_after: 7 });
  await clock.run(6999);
  assert.equal(requests().length, 1);
  await clock.run(1);
  assert.equal(requests().length, 2);
});

test("a token function that fails once ends no watch", async (t) => {
  let asked = 0;
  const token = async () => {
    if (++asked === 2) throw new Error("offline");
    return `t${asked}`;
  };
  const { clock, watch, reply, requests, of } = await board(t, {}, null, { token });
  reply(undefined, "ACCESS_DENIED");
  await settled();
  assert.equal(watch.status, "connecting");
  assert.deepEqual(of("error").map((e) => e.message), ["offline"]);
  await clock.run(500);
  reply(undefined, "ACCESS_DENIED");
  await settled();
  assert.equal(requests().at(-1).auth_jwt, "t3");
  reply({ offset: 1, snapshot: rows });
  assert.equal(watch.status, "live");
});

test("a token function that hangs does not hold its requests for ever", async (t) => {
  let asked = 0;
  const token = () => (asked++ ? new Promise(() => {}) : "t1");
  const { clock, network, client } = await connected(t, { token });
  const call = failure(client.call("a", 1, { timeout: 60_000 }));
  network.last.reply(network.last.requests()[0], undefined, "ACCESS_DENIED");
  await clock.run(5000);
  network.last.deliver({ id: 5e15, type: "hint" });
  await clock.run(5000);
  assert.deepEqual([(await call).code, (await call).temporary], ["token", true]);
});

test("a refused watch clears its items, and its subscribers see it", async (t) => {
  for (const [text, more] of [["ACCESS_DENIED"], ["no", { code: "access_denied", temporary: false }], ["bad", { code: "malformed", temporary: false }]]) {
    const { client, clock, network, watch, reply } = await board(t);
    await clock.run(100);
    const shown = [];
    const statuses = [];
    watch.subscribe((items) => shown.push(items.length));
    watch.on("status", (status) => statuses.push(status));
    network.last.drop();
    await clock.run(500);
    network.last.open();
    reply(undefined, text, more);
    await settled();
    assert.deepEqual([watch.items, watch.get(1), watch.status, shown], [[], undefined, "closed", [2, 0]]);
    assert.equal(statuses.at(-1), "closed");
    client.close();
  }
});

// ---- the herd

for (const [name, spread, random, delay] of [
  ["the server says how much", { spread: 500 }, 0.5, 250],
  ["up to two seconds otherwise", {}, 0.5, 1000],
  ["at once for one member", { spread: 0 }, 0.99, 0],
]) {
  test(`reloads after a resync are spread: ${name}`, async (t) => {
    const { clock, client, watch, change, requests } = await board(t, {}, rows, { random: () => random });
    change("resync", { reason: "rows", ...spread });
    assert.deepEqual([client.status, watch.status], ["recovering", "recovering"]);
    if (delay) {
      await clock.run(delay - 1);
      assert.equal(requests().length, 1);
      await clock.run(1);
    }
    assert.equal(requests().length, 2);
  });
}

// ---- snapshots in parts

const part = (n, snapshot, more) => ({ group: "board", part: n, snapshot, ...more });

test("a snapshot in parts is loaded with its last part", async (t) => {
  const { watch, network, requests, change } = await board(t, {}, null);
  const { id } = requests()[0];
  const deliver = (data) => network.last.deliver({ id, type: "subscribe", data });
  deliver(part(1, [{ id: 1, title: "one" }], { epoch: "e", offset: 10 }));
  assert.equal(watch.status, "connecting");
  deliver(part(2, [{ id: 2, title: "two" }]));
  deliver(part(3, [{ id: 3, title: "three" }], { last: true }));
  change("delete", { id: 2 }, 11);
  assert.deepEqual(watch.items.map((item) => item.id), [1, 3]);
  assert.equal(watch.status, "live");
});

test("a snapshot that begins again replaces the parts before", async (t) => {
  const { watch, network, requests } = await board(t, {}, null);
  const deliver = (data) => network.last.deliver({ id: requests()[0].id, type: "subscribe", data });
  deliver(part(1, [{ id: 1 }], { epoch: "e", offset: 1 }));
  deliver(part(1, [{ id: 2 }], { epoch: "e", offset: 2 }));
  deliver(part(2, [{ id: 3 }], { last: true }));
  assert.deepEqual(watch.items.map((item) => item.id), [2, 3]);
});

test("a snapshot that the history does not reach is an error", async (t) => {
  const { watch, network, requests, reply } = await board(t, {}, null);
  network.last.deliver({ id: requests()[0].id, type: "subscribe", data: part(1, [{ id: 1 }], { epoch: "e", offset: 1 }) });
  reply(undefined, "The history does not reach.", { code: "snapshot_outrun", temporary: false });
  await settled();
  assert.deepEqual([watch.status, watch.error.code, watch.items], ["closed", "snapshot_outrun", []]);
});

test("the parts of a lost connection are dropped", async (t) => {
  const { clock, watch, network, requests, reply } = await board(t, {}, null);
  network.last.deliver({ id: requests()[0].id, type: "subscribe", data: part(1, [{ id: 1 }], { epoch: "e", offset: 1 }) });
  network.last.drop();
  await clock.run(500);
  network.last.open();
  reply({ offset: 2, snapshot: [{ id: 2 }] });
  assert.deepEqual(watch.items, [{ id: 2 }]);
});

test("a call may return a part", async (t) => {
  const { network, client } = await connected(t);
  const call = client.call("a");
  network.last.reply(network.last.requests()[0], { part: 1 });
  assert.deepEqual(await call, { part: 1 });
});

// ---- watches of one group

test("a second watch with other data is refused and mixes no rows", async (t) => {
  const { client, watch, of } = await board(t);
  const other = client.watch({ group: "board", archived: true });
  assert.deepEqual([other.status, other.error.code, watch.status], ["closed", "other_data", "live"]);
  assert.match(other.error.message, /board is watched with other data/);
  assert.deepEqual(of("error"), [other.error]);
  const same = client.watch({ group: "board" });
  assert.equal(same.error, undefined);
});

test("two watches whose data name one group are refused when the server says so", async (t) => {
  const { client, network, requests } = await connected(t).then((all) => ({ ...all, requests: () => all.network.last.requests("subscribe") }));
  const [first, second] = [{ slug: "seven" }, { slug: "seven", archived: true }].map((data) => client.watch(data));
  for (const request of requests()) network.last.reply(request, { group: "article-7", epoch: "e", offset: 0, snapshot: [] });
  assert.deepEqual([first.status, second.status, second.error.code], ["live", "closed", "other_data"]);
});

// ---- keys

test("integer keys above 2^53 are an error", async (t) => {
  const unsafe = [738529527931269425n, 738529527931269426n].map((id) => `{"id":${id},"title":"x"}`);
  const { client, network, watch, requests, of } = await board(t, {}, null);
  network.last.deliver(`{"id":${requests()[0].id},"type":"subscribe","data":{"group":"board","epoch":"e","offset":1,"snapshot":[${unsafe}]}}`);
  assert.deepEqual([watch.status, watch.error.code, of("error").length], ["closed", "unsafe_key", 1]);
  client.close();
  const later = await board(t);
  later.change("create", { id: Number.MAX_SAFE_INTEGER + 1, title: "x" });
  assert.equal(later.watch.error.code, "unsafe_key");
  const strings = await board(t, {}, [{ id: "738529527931269425" }, { id: "738529527931269426" }]);
  assert.equal(strings.watch.items.length, 2);
});

test("a snapshot of null is an empty list", async (t) => {
  const { watch, reply } = await board(t, {}, null);
  reply({ offset: 1, snapshot: null });
  assert.deepEqual([watch.status, watch.items], ["live", []]);
});

// ---- memberships

for (const [subscribed, unsubscribed] of [
  [{ type: "article", id: 7 }, "article-7"],
  [{ type: "article", id: 7 }, { id: 7, type: "article" }],
  ["article-7", { type: "article", id: 7 }],
]) {
  for (const early of [true, false]) {
    test(`unsubscribing under another spelling leaves no membership: ${JSON.stringify([subscribed, unsubscribed])}, ${early ? "before" : "after"} the reply`, async (t) => {
      const { clock, network, client } = await connected(t, { random: () => 0 });
      client.subscribe(subscribed).catch(() => {});
      const [request] = network.last.requests();
      const reply = () => network.last.reply(request, { group: "article-7" });
      if (!early) reply();
      const left = client.unsubscribe(unsubscribed);
      await settled();
      if (early) reply();
      await settled();
      const sent = network.last.requests("unsubscribe");
      assert.equal(sent.length, 1);
      network.last.reply(sent[0], { group: "article-7" });
      await left;
      network.last.drop();
      await clock.run(500);
      network.last.open();
      assert.deepEqual(network.last.requests(), [], "the client does not subscribe again");
    });
  }
}
