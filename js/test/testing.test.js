// Tests of the fake hub for the tests of components.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fakeHub } from "../testing.js";

const until = async (done) => {
  for (let n = 0; n < 200 && !done(); n++) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.ok(done(), done.toString());
};

async function board(t, rows = [{ id: 1, title: "one" }]) {
  const fake = fakeHub({ board: rows });
  t.after(() => fake.hub.close());
  const errors = [];
  fake.hub.on("error", (error) => errors.push(error.code));
  const watch = fake.hub.watch("board");
  await watch.ready;
  return { ...fake, fake, errors, watch };
}

test("snapshots and changes", async (t) => {
  const { fake, watch } = await board(t);
  fake.create("board", { id: 2, title: "two" });
  fake.update("board", { id: 1, title: "ONE" });
  assert.deepEqual(watch.items, [{ id: 1, title: "ONE" }, { id: 2, title: "two" }]);
  fake.delete("board", 1);
  assert.equal(watch.items.length, 1);
  assert.throws(() => fake.update("board", { id: 9 }), /no row 9/);
  fake.snapshot("board", [{ id: 7 }]);
  await until(() => watch.get(7));
  fake.resync("board");
  assert.equal(watch.status, "recovering");
  await until(() => watch.status === "live");
});

test("changes of the page itself", async (t) => {
  const { fake } = await board(t);
  const seen = [];
  fake.hub.on("board", (_, { type, self }) => seen.push([type, self]));
  fake.create("board", { id: 2 }, { self: true });
  fake.update("board", { id: 2, title: "two" }, { self: true });
  fake.update("board", { id: 2, title: "TWO" });
  fake.delete("board", 2, { self: true });
  assert.deepEqual(seen, [["create", true], ["update", true], ["update", undefined], ["delete", true]]);
});

test("offline and online", async (t) => {
  const { fake, errors, watch } = await board(t);
  fake.offline();
  assert.deepEqual([fake.hub.status, watch.status], ["stale", "stale"]);
  fake.create("board", { id: 2, title: "two" });
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(fake.hub.status, "stale");
  fake.online();
  await until(() => watch.status === "live" && watch.get(2));
  assert.deepEqual(errors, []);
});

test("offline from the beginning", async (t) => {
  const fake = fakeHub({ board: [] });
  t.after(() => fake.hub.close());
  fake.offline();
  const watch = fake.hub.watch("board");
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(watch.status, "connecting");
  fake.online();
  await watch.ready;
});

test("refusals", async (t) => {
  const { fake, errors, watch } = await board(t);
  fake.refuse("board");
  assert.deepEqual([watch.error.code, watch.items, errors], ["unsubscribed", [], ["unsubscribed"]]);
  const refused = fake.hub.watch("board");
  await assert.rejects(refused.ready, { code: "access_denied" });
  fake.refuse("other", "unavailable");
  const waiting = fake.hub.watch("other");
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(waiting.status, "connecting");
  fake.allow("board");
  await fake.hub.watch("board").ready;
});

test("calls and plain messages", async (t) => {
  const { fake } = await board(t);
  fake.handle("add", ([a, b]) => a + b);
  fake.handle("fail", async () => {
    throw new Error("No.");
  });
  assert.equal(await fake.hub.call("add", [1, 2]), 3);
  await assert.rejects(fake.hub.call("fail"), { code: "application", message: "No." });
  await assert.rejects(fake.hub.call("nope"), { code: "unknown_handler" });
  assert.deepEqual(fake.calls.map((call) => call.name), ["add", "fail", "nope"]);
  const hints = [];
  fake.hub.group("board").on("hint", (data) => hints.push(data));
  fake.send("board", "hint", 1);
  assert.deepEqual(hints, [1]);
  fake.close(4403, "forbidden");
  assert.equal(fake.hub.status, "closed");
});
