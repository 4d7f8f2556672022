// Tests of live collections.
import assert from "node:assert/strict";
import { test } from "node:test";
import { board, connected, settled, setup } from "./support.js";

test("a watch applies changes to the snapshot in order", async (t) => {
  const { watch, requests, change } = await board(t);
  assert.deepEqual(requests()[0].data, { group: "board", snapshot: true });
  assert.equal(watch.status, "live");
  change("create", { id: 3, title: "three", by: "ann" });
  change("update", { id: 1, title: "ONE", updated_fields: ["title"] });
  change("delete", { id: 2 });
  change("update", { id: 3, title: "THREE" });
  change("update", { id: 4, title: "moved here" });
  change("hint", { id: 5 });
  assert.deepEqual(watch.items, [
    { id: 1, title: "ONE" },
    { id: 3, title: "THREE", by: "ann" },
    { id: 4, title: "moved here" },
  ]);
  assert.equal(watch.get(1).title, "ONE");
  assert.equal(watch.get(2), undefined);
});

test("with replace an update replaces the item", async (t) => {
  const { watch, change } = await board(t, { replace: true });
  change("update", { id: 1, done: true });
  assert.deepEqual(watch.get(1), { id: 1, done: true });
});

test("the key may be a field, a function or several columns", async (t) => {
  const snapshot = [{ id: [1, "a"], slug: "x" }, { id: [1, "b"], slug: "y" }];
  for (const [options, key] of [[{}, [1, "b"]], [{ key: "slug" }, "y"], [{ key: (item) => item.slug + "!" }, "y!"]]) {
    const { client, watch, change } = await board(t, options, snapshot);
    change("update", { id: [1, "b"], slug: "y", n: 1 });
    assert.deepEqual(watch.get(key), { id: [1, "b"], slug: "y", n: 1 });
    assert.equal(watch.items.length, 2);
    client.close();
  }
});

test("items is immutable and stays the same array until the next change", async (t) => {
  const { watch, change } = await board(t);
  const before = watch.items;
  const first = before[0];
  assert.equal(watch.items, before);
  change("update", { id: 1, title: "new" });
  assert.notEqual(watch.items, before);
  assert.equal(watch.items, watch.items);
  assert.equal(before[0], first);
  assert.equal(first.title, "one");
  assert.equal(watch.items[1], before[1], "an unchanged item is the same object");
  assert.throws(() => watch.items.push({}), TypeError);
});

test("500 changes in separate tasks are one notification", async (t) => {
  const { clock, watch, change } = await board(t);
  await clock.run(100);
  const calls = [];
  const end = watch.subscribe((items, changes) => calls.push([items.length, changes.length]));
  assert.deepEqual(calls, [[2, 0]], "immediately, as a Svelte store does");
  for (let n = 0; n < 500; n++) {
    change("create", { id: 100 + n, title: "new" });
    await settled();
  }
  await clock.run(100);
  assert.deepEqual(calls.slice(1), [[502, 500]]);
  end();
  change("delete", { id: 100 });
  await clock.run(100);
  assert.equal(calls.length, 2);
});

test("a notification for a snapshot and changes has no changes", async (t) => {
  const { client, clock, watch, change, reply } = await board(t);
  const calls = [];
  watch.subscribe((items, changes) => calls.push([items.length, changes.length]));
  client.watch("board"); // loads its snapshot for both
  reply({ offset: 10, snapshot: [{ id: 1, title: "one" }] });
  change("create", { id: 3, title: "three" });
  await clock.run(100);
  assert.deepEqual(calls, [[2, 0], [2, 0]], "an empty list of changes means that a snapshot was loaded");
});

test("subscribers get the items before anybody learns that they are live", async (t) => {
  const { clock, network, client } = setup(t, { random: () => 0 });
  const watch = client.watch("board");
  await settled();
  network.last.open();
  const requests = () => network.last.requests();
  const reply = (data) => network.last.reply(requests().at(-1), { group: "board", epoch: "e", ...data });
  const change = (type, object, offset) => network.last.deliver({ type: "subscription-update", data: { type, group: "board", object, offset } });
  const seen = [];
  watch.subscribe((items) => seen.push(items.length));
  watch.on("status", (status) => seen.push(`watch ${status}`));
  client.group("board").on("status", (status) => seen.push(`group ${status}`));
  client.on("status", (status) => seen.push(`hub ${status}`));
  reply({ offset: 10, snapshot: [{ id: 1 }, { id: 2 }] });
  assert.deepEqual(seen.splice(0), [0, 2, "watch live", "group live", "hub live"]);
  network.last.drop();
  await clock.run(500);
  network.last.open();
  assert.equal(requests().length, 1);
  seen.splice(0);
  reply({ offset: 12, recovered: true, missed: 2 });
  change("create", { id: 3, title: "three" }, 11);
  assert.deepEqual(seen, []);
  change("create", { id: 4, title: "four" }, 12);
  assert.deepEqual(seen, [4, "watch live", "group live", "hub live"], "a replay, too");
  await clock.run(100);
  assert.equal(seen.length, 4);
});

test("a partial update is merged, with replace too, and loads the row that the page lacks", async (t) => {
  for (const replace of [false, true]) {
    const { clock, client, network, watch, requests } = await board(t, { replace });
    let offset = 10;
    const update = (object, more) => network.last.deliver({ type: "subscription-update", data: { type: "update", group: "board", object, ...more, partial: true, offset: ++offset } });
    update({ id: 1, updated_at: "now" }, { updated_fields: [] });
    update({ id: 2, title: "TWO", updated_at: "now" }, { updated_fields: ["title"] });
    assert.deepEqual(watch.items, [{ id: 1, title: "one", updated_at: "now" }, { id: 2, title: "TWO", updated_at: "now" }]);
    assert.equal(watch.status, "live");
    for (const more of [{}, { updated_fields: [] }, { updated_fields: ["title"] }]) {
      update({ id: 9, title: "unknown", at: 1 }, more);
      assert.deepEqual([watch.get(9), watch.status], [undefined, "recovering"]);
      await clock.run(2000);
      network.last.reply(requests().at(-1), { group: "board", epoch: "e", offset, snapshot: [{ id: 1 }] });
      assert.equal(watch.status, "live");
    }
    client.close();
  }
});

test("a subscriber that throws stops no other subscriber", async (t) => {
  const { clock, watch, change, of } = await board(t);
  const calls = [];
  watch.subscribe(() => {
    throw new Error("oops");
  });
  watch.subscribe((items) => calls.push(items.length));
  change("create", { id: 3, title: "three" });
  await clock.run(100);
  assert.equal(calls.at(-1), 3);
  assert.ok(of("error").every((e) => e.message === "oops"));
});

test("iteration yields the newest items and ends when the watch closes", async (t) => {
  const { clock, watch, change } = await board(t);
  const seen = [];
  const done = (async () => {
    for await (const items of watch) seen.push(items.length);
  })();
  await clock.run(100);
  change("create", { id: 3, title: "three" });
  change("create", { id: 4, title: "four" });
  await clock.run(100);
  change("delete", { id: 1 });
  await clock.run(100);
  watch.close();
  await done;
  assert.deepEqual(seen, [2, 4, 3]);
});

test("a message without an offset keeps the order of the changes", async (t) => {
  const { watch, change } = await board(t);
  change("update", { id: 1, title: "11" });
  change("hint", {}, null);
  change("update", { id: 1, title: "12" });
  change("update", { id: 1, title: "11" }, 11);
  assert.equal(watch.get(1).title, "12");
});

test("a change that the snapshot contains is not applied again", async (t) => {
  const { watch, change, reply } = await board(t, {}, null);
  reply({ offset: 20, snapshot: [{ id: 1, title: "newest" }] });
  change("update", { id: 1, title: "older" }, 20);
  assert.equal(watch.get(1).title, "newest");
});

test("a resync loads a new snapshot", async (t) => {
  const { clock, watch, requests, reply, change, of } = await board(t);
  await clock.run(100);
  const calls = [];
  watch.subscribe((items, changes) => calls.push([items.length, changes.length]));
  change("resync", { reason: "rows" });
  assert.deepEqual(requests()[1].data, { group: "board", snapshot: true });
  change("update", { id: 1, title: "meanwhile" });
  assert.equal(watch.get(1).title, "meanwhile");
  reply({ offset: 12, snapshot: [{ id: 9 }] });
  await clock.run(100);
  assert.deepEqual(calls, [[2, 0], [1, 0]]);
  assert.deepEqual(of("resync"), [{ group: "board", reason: "rows", snapshot: [{ id: 9 }] }]);
});

test("after reconnecting a watch applies the replay or loads a snapshot", async (t) => {
  const { clock, network, watch, requests, reply, change, of } = await board(t);
  const reconnect = async () => {
    network.last.drop();
    assert.equal(watch.status, "stale");
    await clock.run(500);
    network.last.open();
    assert.equal(watch.status, "recovering");
    assert.equal(requests()[0].data.snapshot, true);
  };
  await reconnect();
  assert.deepEqual(requests()[0].data.since, { epoch: "e", offset: 10 });
  reply({ offset: 11, recovered: true, missed: 1 });
  change("delete", { id: 1 });
  assert.deepEqual(watch.items, [{ id: 2, title: "two" }]);
  await reconnect();
  reply({ epoch: "f", offset: 0, recovered: false, reason: "epoch", snapshot: [{ id: 3 }] });
  assert.deepEqual(watch.items, [{ id: 3 }]);
  assert.equal(of("resync").length, 1);
});

test("the connection is lost while the snapshot is being loaded", async (t) => {
  const { clock, network, watch, requests, reply, change } = await board(t);
  change("resync", { reason: "rows" });
  network.last.drop();
  await clock.run(500);
  network.last.open();
  assert.deepEqual(requests()[0].data, { group: "board", snapshot: true }, "still without a position");
  reply({ offset: 30, snapshot: [] });
  assert.deepEqual(watch.items, []);
});

test("a second watch loads its own snapshot, and no handler receives a change twice", async (t) => {
  const { clock, network, client, watch, requests, reply, change } = await board(t);
  const received = [];
  client.on("board", (_, data) => received.push(data.offset));
  change("create", { id: 3 });
  const second = client.watch("board");
  const third = client.watch({ group: "board" });
  assert.equal(requests().length, 2);
  assert.deepEqual(requests()[1].data, { group: "board", snapshot: true });
  const snapshot = [{ id: 3 }, { id: 4 }];
  reply({ offset: 12, snapshot });
  // The snapshot contains 12, but the handlers have not received it.
  assert.deepEqual(requests()[2].data, { group: "board", since: { epoch: "e", offset: 11 }, snapshot: true });
  reply({ offset: 12, recovered: true, missed: 1 });
  change("create", { id: 4 }, 12);
  assert.deepEqual(received, [11, 12]);
  for (const w of [watch, second, third]) assert.deepEqual(w.items, snapshot);
  watch.close();
  third.close();
  await settled();
  assert.equal(network.last.requests("unsubscribe").length, 0);
  second.close();
  second.close();
  await settled();
  assert.equal(network.last.requests("unsubscribe").length, 1);
  await clock.run(5000);
});

test("closing a watch and subscribing at once sends nothing", async (t) => {
  const { network, client, watch } = await board(t);
  const sent = network.last.sent.length;
  watch.close();
  client.subscribe("board");
  await settled();
  assert.equal(network.last.sent.length, sent);
});

test("items rendered into the page are not loaded again", async (t) => {
  const since = { epoch: "e", offset: 10 };
  const { network, client } = await connected(t);
  const given = client.watch("board", { items: [{ id: 1 }], since });
  assert.deepEqual(given.items, [{ id: 1 }]);
  const [request] = network.last.requests();
  assert.deepEqual(request.data, { group: "board", since, snapshot: true });
  network.last.reply(request, { group: "board", epoch: "e", offset: 11, recovered: true, missed: 1 });
  network.last.deliver({ type: "subscription-update", data: { type: "delete", group: "board", object: { id: 1 }, offset: 11 } });
  assert.deepEqual(given.items, []);
  const late = client.watch("board", { items: [{ id: 1 }], since });
  assert.equal(network.last.requests().at(-1).data.since, undefined, "the items are too old now");
  late.close();
});

test("items rendered into the page whose keys are unsafe close the watch, and nothing is requested", async (t) => {
  const { network, client, of } = await connected(t);
  const given = client.watch("board", { items: [{ id: 2 ** 60 }], since: { epoch: "e", offset: 10 } });
  assert.deepEqual([given.status, given.error.code, of("error")], ["closed", "unsafe_key", [given.error]]);
  await settled();
  assert.deepEqual([network.last.requests(), given.items, client.group("board").status], [[], [], "closed"]);
});

test("ready resolves when the items are loaded and rejects when they are refused", async (t) => {
  const { clock, watch } = await board(t);
  clock.run(100);
  assert.equal(await watch.ready, watch);
  for (const text of ["ACCESS_DENIED", "This group has no snapshot."]) {
    const { client, watch, reply, of } = await board(t, {}, null);
    const ended = (async () => {
      for await (const items of watch) assert.fail(items);
    })().catch((error) => error);
    reply(undefined, text);
    await settled();
    assert.equal(watch.status, "closed");
    assert.equal((await ended).message, text);
    await assert.rejects(watch.ready, { code: "refused", message: text });
    assert.deepEqual(of("error").map((e) => e.message), [text]);
    client.close();
  }
});

test("a group without a snapshot keeps its subscribers", async (t) => {
  const { network, client } = await connected(t);
  const subscribed = client.subscribe("a");
  network.last.reply(network.last.requests()[0], { group: "a", epoch: "e", offset: 1 });
  await subscribed;
  const watch = client.watch("a");
  network.last.reply(network.last.requests()[1], undefined, "This group has no snapshot.");
  await settled();
  assert.equal(watch.status, "closed");
  const renewed = network.last.requests()[2];
  assert.deepEqual(renewed.data, { group: "a", since: { epoch: "e", offset: 1 } });
  network.last.reply(renewed, { group: "a", epoch: "e", offset: 1, recovered: true, missed: 0 });
  assert.equal(client.status, "live");
});

test("invalid snapshots and changes are errors", async (t) => {
  for (const snapshot of [{ id: 1 }, "text", [null], [{ title: "no key" }]]) {
    const { client, watch, of } = await board(t, {}, snapshot);
    assert.equal(watch.status, "closed");
    assert.equal(of("error").length, 1);
    client.close();
  }
  const { watch, change, of } = await board(t);
  for (const object of [null, [1], 5, { title: "no key" }]) change("update", object);
  assert.equal(of("error").length, 4);
  assert.equal(watch.items.length, 2);
  change("delete", { id: 1 });
  assert.equal(watch.items.length, 1);
});

test("closing the client closes its watches", async (t) => {
  const { client, watch } = await board(t, {}, null);
  const seen = [];
  const done = (async () => {
    for await (const items of watch) seen.push(items);
  })();
  client.close();
  await done;
  await assert.rejects(watch.ready, { code: "closed" });
  assert.equal(watch.status, "closed");
  assert.equal(watch.error, undefined);
});
