// Random watches, subscriptions, closes, kills and restarts, with mixed spellings of
// the groups: at the end nothing is left on the server. SOAK=n plays n seeds.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Rohrpost } from "../rohrpost.js";
import { Clock, settled } from "./support.js";
import { World, seededRandom } from "./world.js";

const seeds = Number(process.env.SOAK ?? 200);
const spellings = (id) => [`item-${id}`, { group: `item-${id}` }, { type: "item", id }, { id, type: "item" }];

async function play(seed) {
  const random = seededRandom(seed);
  const clock = new Clock().install(random);
  const world = new World(random, { modern: seed % 4 > 0, once: seed % 4 > 1, sparse: seed % 4 > 2 });
  const client = new Rohrpost("ws://hub.test/", { WebSocket: world.network.WebSocket, token: () => `t${world.token}` });
  const watches = new Set();
  const subscribed = { 1: 0, 2: 0 };
  client.on("error", () => {
    for (const watch of watches) if (watch.error?.code === "unsubscribed") watches.delete(watch);
  });
  const group = () => 1 + world.below(2);
  const unsubscribe = (id) => {
    if (!subscribed[id]) return;
    subscribed[id]--;
    client.unsubscribe(world.pick(spellings(id))).catch(() => {});
  };
  const close = (watch) => watch && watches.delete(watch) && watch.close();
  const steps = [
    () => watches.add(client.watch(world.pick(spellings(group())))),
    () => close(world.pick([...watches])),
    () => {
      const id = group();
      subscribed[id]++;
      client.subscribe(world.pick(spellings(id))).catch(() => {});
    },
    () => unsubscribe(group()),
    () => world.pick(world.conns)?.abort(world.pick([1001, 1006, 4008]), ""),
    () => world.restart(),
    () => world.modern && world.pick(world.conns)?.leave(`item-${group()}`),
    () => world.pick(world.conns)?.tell(world.pick(["stale", "live"])),
    () => client.disconnect(),
    () => client.connect(),
    ...Array(4).fill(() => world.pump()),
    ...Array(4).fill(() => clock.run(world.below(1000))),
    ...Array(3).fill(() => world.publish(world.group())),
  ];
  const heal = async () => {
    for (let n = 0; n < 150; n++) {
      world.pump();
      await settled();
      await clock.run(500);
    }
  };
  try {
    for (let n = 0; n < 150; n++) {
      await world.pick(steps)();
      if (random() < 0.5) await settled();
    }
    client.connect();
    for (const conn of world.conns) conn.tell("live");
    await heal();
    for (const watch of watches) assert.equal(watch.status, "live", `${watch.error}`);
    assert.equal(client.status, "live");
    for (const watch of watches) close(watch);
    for (const id of [1, 2]) while (subscribed[id]) unsubscribe(id);
    await heal();
    assert.equal(world.conns.length, 1);
    assert.deepEqual([...world.conns[0].members.keys()], []);
  } finally {
    client.close();
    clock.uninstall();
  }
}

test("nothing is left on the server", async (t) => {
  for (let seed = 1; seed <= seeds; seed++) {
    if (process.env.SEED && seed !== Number(process.env.SEED)) continue;
    await play(seed).catch((error) => assert.fail(`SEED=${seed}: ${error.stack}`));
  }
  t.diagnostic(`${seeds} seeds`);
});
