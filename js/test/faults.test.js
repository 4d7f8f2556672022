// Seeded random schedules of faults against a model of the server. At the end of
// each schedule: the watched items equal the server's table; every handler has
// received each message at most once and in order; a resync followed every missed
// message; no call was executed twice. FAULTS=n plays n schedules, SEED=n plays
// only schedule n.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import * as client from "../rohrpost.js";
import { Clock, settled } from "./support.js";
import { World, seededRandom } from "./world.js";

const schedules = Number(process.env.FAULTS ?? 3000);

// Script plays one schedule with the given client module.
class Script {
  resyncs = []; // {group, at}
  received = []; // {group, stamp}
  calls = [];
  watches = [];
  before = {}; // group -> number of messages before the subscription
  figures = { resyncs: 0, messages: 0, connections: 0 };

  constructor(seed, { Rohrpost }) {
    this.random = seededRandom(seed);
    this.calm = seed % 5 === 0; // without faults that lose messages for good
    this.swaps = seed % 2 === 0; // not together with resyncs without an offset, which hide the order
    this.clock = new Clock().install(this.random);
    const world = (this.world = new World(this.random, { history: this.calm || this.random() < 0.85, modern: seed % 3 > 0, once: seed % 3 > 1, sparse: seed % 4 > 1 }));
    const token = async () => (await settled(), `t${world.token}`);
    this.client = new Rohrpost("ws://hub.test/", { WebSocket: world.network.WebSocket, token });
    this.client.on("error", (error) => (this.error = error));
    this.client.on("resync", ({ group }) => this.resyncs.push({ group, at: ++world.clock }));
    for (const group of world.groups.keys()) {
      this.client.on(group, (_, data) => this.receive(group, data));
      // Both stay subscribed, through different requests.
      const subscribed = this.client.subscribe(group === "item-1" ? { type: "item", id: 1 } : group);
      subscribed.then(
        () => (this.before[group] = world.published.filter((m) => m.group === group).length),
        () => {},
      );
    }
    this.watches.push(this.client.watch("item-1"));
  }

  receive(group, { stamp, type }) {
    if (stamp) this.received.push({ group, stamp });
    else assert.equal(type, "resync");
  }

  async play() {
    if (this.random() < 0.8) {
      this.world.pump();
      await settled();
      this.world.pump();
    }
    for (let n = 80 + this.world.below(160); n > 0; n--) {
      await this.step();
      await settled();
    }
    await this.heal();
    this.check();
    this.figures = { resyncs: this.resyncs.length, messages: this.received.length, connections: this.world.network.sockets.length };
    this.client.close();
  }

  async step() {
    const { world } = this;
    const conn = world.pick(world.conns);
    const steps = [
      [50, () => world.publish(world.group())],
      [50, () => conn?.deliver(1 + world.below(6))],
      [60, () => conn?.hung || (conn?.serve() && this.random() < 0.7 && conn.finish())],
      [30, () => conn?.finish()],
      [40, () => this.clock.run(world.below(1000))],
      [30, () => world.accept()],
      [2, () => world.refuse()],
      [3, () => conn?.abort(world.pick([1006, 1001, 1012, 4001, 4008, 4000]), world.pick(["", "", "retry_after=2"]))],
      [1, () => conn && (conn.hung = true)],
      [4, () => world.history && conn?.repeat()],
      [4, () => world.history && this.swaps && conn?.out.length > 1 && conn.swap()],
      [6, () => this.lateFrame()],
      [4, () => this.call()],
      [3, () => this.watch()],
      [2, () => world.conns.every((c) => !c.in.length && !c.out.some((f) => f.error)) && world.token++], // the client renews a refused token once
      ...(this.calm
        ? []
        : [
            [1, () => world.restart()],
            [2, () => world.trim(world.group())],
            [2, () => world.tooManyRows(world.group())],
            [2, () => this.swaps || world.skipMember(world.group())],
            [1, () => world.newEpoch(world.group())],
          ]),
    ];
    let at = this.random() * steps.reduce((sum, [weight]) => sum + weight, 0);
    await steps.find(([weight]) => (at -= weight) < 0)[1]();
  }

  // Delivers a frame of a connection that the client has abandoned.
  lateFrame() {
    const late = this.world.lateFrames.shift();
    late?.socket.deliver(late.frame);
  }

  call() {
    const call = { n: this.calls.length };
    this.calls.push(call);
    this.client.call("do", call.n).then(
      () => (call.done = true),
      (error) => (call.error = error),
    );
  }

  watch() {
    if (this.watches.length > 1 && this.random() < 0.5) this.watches.splice(this.world.below(this.watches.length), 1)[0].close();
    else this.watches.push(this.client.watch(this.world.pick(["item-1", "item-2", { type: "item", id: 2 }])));
  }

  async heal() {
    const recovered = () => this.client.status === "live" && this.watches.every((w) => w.status === "live");
    for (let n = 0; n < 300 && !(n > 130 && recovered()); n++) { // a lost connection is noticed within a minute
      this.world.pump();
      await settled();
      await this.clock.run(500);
    }
    assert.ok(recovered(), `status ${this.client.status}, ${this.error}`);
    // Later messages are delivered, too.
    for (const group of this.world.groups.values()) for (let n = 0; n < 12; n++) this.world.publish(group);
    this.world.pump();
    await settled();
    await this.clock.run(100);
  }

  check() {
    assert.equal(this.client.status, "live", `status ${this.client.status}, ${this.error}`);
    for (const watch of this.watches) {
      const table = this.world.groups.get(watch.subscription.name).table;
      const items = [...watch.items].sort((a, b) => a.id - b.id);
      assert.deepEqual(items, [...table.values()].sort((a, b) => a.id - b.id), `items of ${watch.subscription.name}`);
      for (const item of items) assert.equal(watch.get(item.id), item);
      assert.equal(watch.status, "live");
    }
    for (const group of this.world.groups.keys()) this.checkGroup(group);
    for (const { n, done, error } of this.calls) {
      const times = this.world.executed.filter((x) => x === n).length;
      assert.ok(done || error, "every call settles");
      assert.ok(times <= 1 && (!done || times === 1) && (error?.sent !== false || times === 0), `call ${n} was executed ${times} times`);
    }
    if (!this.world.lossy) assert.equal(this.resyncs.length, 0, "a resync without a lost message");
  }

  checkGroup(group) {
    const all = this.world.published.filter((m) => m.group === group);
    const place = new Map(all.map((m, i) => [m.stamp, i]));
    const received = this.received.filter((h) => h.group === group).map((h) => place.get(h.stamp));
    for (let i = 1; i < received.length; i++) assert.ok(received[i] > received[i - 1], `${group}: ${all[received[i]].stamp} after ${all[received[i - 1]].stamp}`);
    const missed = all.filter((m, i) => i >= this.before[group] && !received.includes(i));
    const last = Math.max(0, ...this.resyncs.filter((r) => r.group === group).map((r) => r.at));
    for (const m of missed) assert.ok(last > m.at, `${group}: no resync after the missed message ${m.stamp}`);
  }
}

async function play(seed, variant) {
  const script = new Script(seed, variant);
  try {
    await script.play();
    return script.figures;
  } finally {
    script.client.close();
    script.clock.uninstall();
  }
}

test("the client recovers from every schedule of faults", async (t) => {
  const sum = { resyncs: 0, messages: 0, connections: 0 };
  const seeds = process.env.SEED ? [Number(process.env.SEED)] : Array.from({ length: schedules }, (_, i) => i + 1);
  for (const seed of seeds) {
    const figures = await play(seed, client).catch((error) => assert.fail(`SEED=${seed}: ${error.stack}`));
    for (const key of Object.keys(sum)) sum[key] += figures[key];
  }
  t.diagnostic(`${seeds.length} schedules: ${JSON.stringify(sum)}`);
});

// Wrong variants of the client: the schedules must detect each.
const variants = {
  "delivers repeated messages": [": epoch === before?.epoch && offset <= before?.offset;", ": false;"],
  "detects no gap": ["if (prev > before?.offset && !data.epoch && !sub.anyOffset) {", "if (false) {"],
  "takes every skipped offset for a gap": ["if (prev > before?.offset &&", "if (offset - 1 > before?.offset &&"],
  "waits for a replay of nothing": ["caughtUp = reply.recovered && reply.missed === 0;", "caughtUp = false;"],
  "keeps its position after a resync": ["if (incomplete || !before ||", "if (!before ||"],
  "trusts every reply to be recovered": ["const incomplete = reply.recovered === false || broken;", "const incomplete = broken;"],
  "forgets to load the snapshot after an error": ["if (error) sub.reload ||= request.reload;", ""],
  "requests no skipped changes": ["sub.gap = skipped && !sub.resync;", "sub.gap = false;"],
  "receives frames of earlier connections": ["generation === this.#generation && handler(event)", "handler(event)"],
  "loads no snapshot on a resync": ["if (sub.wantsSnapshot && (sub.reload || snapshot === undefined)) return (sub.reload = sub.resynced = true);", ""],
  "repeats lost calls": ["if (error) reject(", 'if (error?.code === "lost") call.send();\n        else if (error) reject('],
  "emits no resync": ['this.#hub._emit("resync", resync);', ""],
  "always resyncs": ["if (incomplete) sub.resync =", "if (incomplete || before) sub.resync ="],
  "does not merge two requests for one group": ["const known = this.#names.get(name) ?? sub;", "const known = sub;"],
  "ignores missing pongs": ["if (this.#alive) {", "if (true) {"],
};

// load imports a copy of the modules in which one place is changed.
async function load(t, from, to) {
  const root = fileURLToPath(new URL("..", import.meta.url));
  const folder = mkdtempSync(join(root, "test", "tmp-"));
  t.after(() => rmSync(folder, { recursive: true }));
  let places = 0;
  for (const name of readdirSync(root).filter((name) => name.endsWith(".js"))) {
    const parts = readFileSync(join(root, name), "utf8").split(from);
    places += parts.length - 1;
    writeFileSync(join(folder, name), parts.join(to));
  }
  assert.equal(places, 1, "the variant changes one place");
  return import(pathToFileURL(join(folder, "rohrpost.js")));
}

for (const [name, [from, to]] of Object.entries(variants)) {
  test(`the schedules detect a client that ${name}`, async (t) => {
    const variant = await load(t, from, to);
    for (let seed = 1; seed <= 3000; seed++) {
      const error = await play(seed, variant).then(
        () => undefined,
        (error) => error,
      );
      if (error) return t.diagnostic(`seed ${seed}: ${error.message.split("\n")[0]}`);
    }
    assert.fail("3000 schedules did not detect it");
  });
}
