// CLIENTS clients, 300 by default, load their snapshots again after a resync, from five
// connections to a database that takes 50 ms.
import assert from "node:assert/strict";
import { test } from "node:test";
import WebSocket from "ws";
import Rohrpost from "../../../js/rohrpost.js";
import { post, startServer, within } from "./support.mjs";

const clients = Number(process.env.CLIENTS ?? 300);

for (const [group, maxReads] of [["shared", 8], ["own", clients]]) {
  test(`${clients} clients are right again after a resync, with ${group === "own" ? "a snapshot each" : "a shared snapshot"}`, async (t) => {
    const server = await startServer(t);
    const errors = [];
    const watches = [];
    const hubs = Array.from({ length: clients }, () => new Rohrpost(`ws://${server.address}/ws/`, { WebSocket }));
    t.after(() => hubs.forEach((hub) => hub.close()));
    for (const hub of hubs) {
      hub.on("error", (error) => errors.push(String(error)));
      watches.push(hub.watch(group));
    }
    await Promise.all(watches.map((watch) => watch.ready));
    await reads(server);

    const began = Date.now();
    const loaded = Promise.all(watches.map(loadedAgain));
    await post(server, `/resync?group=${group}`);
    await loaded;
    within(t, "all are live", Date.now() - began, 5000);
    const read = await reads(server);
    t.diagnostic(`${read} reads of the database`);
    assert.ok(read <= maxReads, `${read} reads`);
    assert.ok(hubs.every(({ status }) => status === "live"));
    assert.deepEqual(errors, []);
  });
}

function loadedAgain(watch) {
  return new Promise((resolve) => {
    let behind = false;
    watch.on("status", (status) => {
      if (status === "recovering") behind = true;
      if (status === "live" && behind) resolve();
    });
  });
}

const reads = async ({ address }) => Number(await (await fetch(`http://${address}/reads`)).text());
