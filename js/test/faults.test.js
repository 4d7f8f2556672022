// Seeded schedules of faults against a model of the server. Once all is well
// again: what is watched equals the server's table; every handler has seen each
// message at most once and in order; what was missed was signalled after it
// had happened; no call was carried out twice. FAULTS=n plays n schedules,
// SEED=n only that one.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import * as module from "../rohrpost.js";
import { Clock, settled } from "./support.js";
import { World, chance } from "./world.js";

const schedules = Number(process.env.FAULTS ?? 3000);

// Script plays one schedule with a page of the given class.
class Script {
  resyncs = []; // {group, at}
  heard = []; // {group, stamp}
  calls = [];
  watches = [];
  from = {}; // group -> how many messages there were when the page began to listen
  figures = { resyncs: 0, messages: 0, connections: 0 };

  constructor(seed, { Rohrpost }) {
    this.random = chance(seed);
    this.calm = seed % 5 === 0; // no fault that loses messages for good
    this.swaps = seed % 2 === 0; // after a resync without an offset nobody could tell which comes first
    this.clock = new Clock().install(this.random);
    const world = (this.world = new World(this.random, { history: this.calm || this.random() < 0.85 }));
    const token = async () => (await settled(), `t${world.token}`);
    this.page = new Rohrpost("ws://hub.test/", { WebSocket: world.network.WebSocket, token });
    this.page.on("error", (error) => (this.error = error));
    this.page.on("resync", ({ group }) => this.resyncs.push({ group, at: ++world.clock }));
    for (const group of world.groups.keys()) {
      this.page.on(group, (_, data) => this.hear(group, data));
      // Both are held all the time, asked for in different ways.
      const subscribed = this.page.subscribe(group === "item-1" ? { type: "item", id: 1 } : group);
      subscribed.then(
        () => (this.from[group] = world.told.filter((m) => m.group === group).length),
        () => {},
      );
    }
    this.watches.push(this.page.watch("item-1"));
  }

  hear(group, { stamp, type }) {
    if (stamp) this.heard.push({ group, stamp });
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
    this.figures = { resyncs: this.resyncs.length, messages: this.heard.length, connections: this.world.network.sockets.length };
    this.page.close();
  }

  async step() {
    const { world } = this;
    const conn = world.pick(world.conns);
    const steps = [
      [50, () => world.publish(world.group())],
      [50, () => conn?.deliver(1 + world.below(6))],
      [60, () => conn?.deaf || (conn?.serve() && this.random() < 0.7 && conn.finish())],
      [30, () => conn?.finish()],
      [40, () => this.clock.run(world.below(1000))],
      [30, () => world.accept()],
      [2, () => world.refuse()],
      [3, () => conn?.cut(world.pick([1006, 1001, 1012, 4001, 4008, 4000]), world.pick(["", "", "retry_after=2"]))],
      [1, () => conn && (conn.deaf = true)],
      [4, () => world.history && conn?.repeat()],
      [4, () => world.history && this.swaps && conn?.out.length > 1 && conn.swap()],
      [6, () => this.zombie()],
      [4, () => this.call()],
      [3, () => this.watch()],
      [2, () => world.conns.every((c) => !c.in.length && !c.out.some((f) => f.error)) && world.token++], // one renewal is granted
      ...(this.calm
        ? []
        : [
            [1, () => world.restart()],
            [2, () => world.trim(world.group())],
            [2, () => world.rows(world.group())],
            [2, () => this.swaps || world.leaveOut(world.group())],
            [1, () => world.newEpoch(world.group())],
          ]),
    ];
    let at = this.random() * steps.reduce((sum, [weight]) => sum + weight, 0);
    await steps.find(([weight]) => (at -= weight) < 0)[1]();
  }

  // A frame of a connection that the page has given up.
  zombie() {
    const late = this.world.zombies.shift();
    late?.socket.deliver(late.frame);
  }

  call() {
    const call = { n: this.calls.length };
    this.calls.push(call);
    this.page.call("do", call.n).then(
      () => (call.done = true),
      (error) => (call.error = error),
    );
  }

  watch() {
    if (this.watches.length > 1 && this.random() < 0.5) this.watches.splice(this.world.below(this.watches.length), 1)[0].close();
    else this.watches.push(this.page.watch(this.world.pick(["item-1", "item-2", { type: "item", id: 2 }])));
  }

  async heal() {
    const well = () => this.page.status === "live" && this.watches.every((w) => w.status === "live");
    for (let n = 0; n < 200 && !(n > 30 && well()); n++) {
      this.world.pump();
      await settled();
      await this.clock.run(500);
    }
    // What comes now finds its place, too.
    for (const group of this.world.groups.values()) for (let n = 0; n < 12; n++) this.world.publish(group);
    this.world.pump();
    await settled();
    await this.clock.run(100);
  }

  check() {
    assert.equal(this.page.status, "live", `status ${this.page.status}, ${this.error}`);
    for (const watch of this.watches) {
      const table = this.world.groups.get(watch.group.name).table;
      const items = [...watch.items].sort((a, b) => a.id - b.id);
      assert.deepEqual(items, [...table.values()].sort((a, b) => a.id - b.id), `items of ${watch.group.name}`);
      for (const item of items) assert.equal(watch.get(item.id), item);
      assert.equal(watch.status, "live");
    }
    for (const group of this.world.groups.keys()) this.checkGroup(group);
    for (const { n, done, error } of this.calls) {
      const times = this.world.executed.filter((x) => x === n).length;
      assert.ok(done || error, "every call has an end");
      assert.ok(times <= 1 && (!done || times === 1) && (error?.sent !== false || times === 0), `call ${n} carried out ${times} times`);
    }
    if (!this.world.lossy) assert.equal(this.resyncs.length, 0, "a false alarm");
  }

  checkGroup(group) {
    const all = this.world.told.filter((m) => m.group === group);
    const place = new Map(all.map((m, i) => [m.stamp, i]));
    const heard = this.heard.filter((h) => h.group === group).map((h) => place.get(h.stamp));
    for (let i = 1; i < heard.length; i++) assert.ok(heard[i] > heard[i - 1], `${group}: ${all[heard[i]].stamp} after ${all[heard[i - 1]].stamp}`);
    const missed = all.filter((m, i) => i >= this.from[group] && !heard.includes(i));
    const last = Math.max(0, ...this.resyncs.filter((r) => r.group === group).map((r) => r.at));
    for (const m of missed) assert.ok(last > m.at, `${group}: ${m.stamp} was missed in silence`);
  }
}

async function play(seed, variant) {
  const script = new Script(seed, variant);
  try {
    await script.play();
    return script.figures;
  } finally {
    script.page.close();
    script.clock.uninstall();
  }
}

test("whatever happens, all is well in the end", async (t) => {
  const sum = { resyncs: 0, messages: 0, connections: 0 };
  const seeds = process.env.SEED ? [Number(process.env.SEED)] : Array.from({ length: schedules }, (_, i) => i + 1);
  for (const seed of seeds) {
    const figures = await play(seed, module).catch((error) => assert.fail(`SEED=${seed}: ${error.stack}`));
    for (const key of Object.keys(sum)) sum[key] += figures[key];
  }
  t.diagnostic(`${seeds.length} schedules: ${JSON.stringify(sum)}`);
});

// Wrong variants of the module: each must be noticed.
const variants = {
  "hears what it has heard": ["const seen = epoch === before?.epoch && offset <= before?.offset;", "const seen = false;"],
  "sees no gap": ["if (offset > before?.offset + 1 && !data.epoch && !group.anyOffset) {", "if (false) {"],
  "keeps an old position": ["if (missed || !before ||", "if (!before ||"],
  "believes in every recovery": ["const missed = reply.recovered === false || broken;", "const missed = broken;"],
  "forgets that it must load": ["group.reload ||= request.reload;", ""],
  "asks for no hole": ["group.gap = skipped && !group.resync;", "group.gap = false;"],
  "hears dead connections": ["generation === this.#generation && handler(event)", "handler(event)"],
  "loads nothing on a resync": ["if (group.wantsSnapshot && snapshot === undefined) return (group.reload = true);", ""],
  "repeats lost calls": ["if (error) reject(", 'if (error?.code === "lost") this.#sendCall(call);\n        else if (error) reject('],
  "is quiet about resyncs": ['this.#emit("resync", { ...resync, snapshot });', ""],
  "always resyncs": ["if (missed) group.resync =", "if (missed || before) group.resync ="],
  "tells two of one name apart": ["const known = this.#names.get(name) ?? group;", "const known = group;"],
  "believes the connection": ["if (!this.#alive) return this.#abort();", ""],
};

for (const [name, [from, to]] of Object.entries(variants)) {
  test(`a page that ${name} is noticed`, async (t) => {
    const source = readFileSync(new URL("../rohrpost.js", import.meta.url), "utf8");
    assert.equal(source.split(from).length, 2, "the variant changes one place");
    const variant = await import(`data:text/javascript,${encodeURIComponent(source.replace(from, to))}`);
    for (let seed = 1; seed <= 3000; seed++) {
      const error = await play(seed, variant).then(
        () => undefined,
        (error) => error,
      );
      if (error) return t.diagnostic(`seed ${seed}: ${error.message.split("\n")[0]}`);
    }
    assert.fail("3000 schedules did not notice it");
  });
}
