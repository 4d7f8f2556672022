// A server for the fault script: groups with a table and a log each, and
// connections that may be cut, go deaf, be slow, repeat and swap frames.
import { Network } from "./support.js";

// chance returns random numbers that a seed decides (mulberry32).
export function chance(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const kept = 8; // messages of a group
const tooFar = 6;

export class World {
  network = new Network();
  groups = new Map();
  conns = [];
  waiting = []; // sockets that are not open yet
  zombies = []; // frames that come after their connection was given up
  told = []; // all messages ever published, and what nobody was told: {group, stamp, at}
  executed = []; // calls
  epochs = 0;
  token = 1;
  clock = 0; // counts what happens
  lossy = false; // something has happened that a page may have to be told by a resync

  constructor(random, { history = true } = {}) {
    this.random = random;
    this.history = history;
    this.lossy = !history;
    this.network.onsocket = (socket) => this.waiting.push(socket);
    for (const name of ["item-1", "item-2"]) this.groups.set(name, { name, epoch: this.epoch(), top: 0, log: [], table: new Map(), ids: 0 });
  }

  epoch() {
    return `e${++this.epochs}`;
  }

  below(n) {
    return Math.floor(this.random() * n);
  }

  pick(list) {
    return list[this.below(list.length)];
  }

  group() {
    return this.pick([...this.groups.values()]);
  }

  // ---- what happens in the server

  // write changes a row and returns what a message says about it: an update
  // only what it has set, so that a lost one is seen in the end.
  write(group) {
    const ids = [...group.table.keys()];
    const kind = this.below(10);
    if (kind < 3 || !ids.length) {
      const row = { id: ++group.ids, a: ++this.clock, b: 0 };
      group.table.set(row.id, row);
      return { type: "create", object: row };
    }
    const id = this.pick(ids);
    if (kind < 5) {
      group.table.delete(id);
      return { type: "delete", object: { id } };
    }
    const field = this.pick(["a", "b"]);
    const value = ++this.clock;
    group.table.set(id, { ...group.table.get(id), [field]: value });
    return { type: "update", object: { id, [field]: value, updated_fields: [field] }, updated_fields: [field] };
  }

  publish(group, change = this.write(group), leaveOut) {
    const { type, object, updated_fields } = change;
    const offset = ++group.top;
    const stamp = `${group.epoch}/${offset}`;
    const data = { type, group: group.name, object, updated_fields, stamp, ...(this.history && { offset }) };
    this.told.push({ group: group.name, stamp, at: ++this.clock });
    group.log.push({ offset, data });
    if (group.log.length > kept) group.log.shift();
    for (const conn of this.conns) if (conn !== leaveOut) conn.tell(data);
  }

  // Rows change that no message tells of.
  silently(group) {
    this.write(group);
    this.told.push({ group: group.name, stamp: "silent", at: ++this.clock });
    this.lossy = true;
  }

  rows(group) {
    this.silently(group);
    this.silently(group);
    this.publish(group, { type: "resync", object: { reason: "rows" } });
  }

  leaveOut(group) {
    const conn = this.pick(this.conns);
    if (!conn?.members.has(group.name)) return;
    for (let n = 1 + this.below(4); n > 0; n--) this.publish(group, undefined, conn);
    conn.tell({ type: "resync", group: group.name, object: { reason: "slow" } });
    this.lossy = true;
  }

  // The history of a group is gone, its connections are not.
  newEpoch(group) {
    if (!this.history) return;
    this.silently(group);
    Object.assign(group, { epoch: this.epoch(), top: this.below(20), log: [] });
    for (const conn of this.conns) {
      conn.tell({ type: "resync", group: group.name, object: { reason: "epoch" }, epoch: group.epoch, offset: group.top });
    }
  }

  restart() {
    for (const group of this.groups.values()) {
      if (this.random() < 0.5) this.silently(group);
      Object.assign(group, { epoch: this.epoch(), top: 0, log: [] });
    }
    this.lossy = true;
    for (const conn of [...this.conns]) conn.cut(this.pick([1012, 1006]), this.pick(["", "service restart; retry_after=3"]));
  }

  trim(group) {
    group.log.splice(0, this.below(group.log.length + 1));
  }

  // ---- connections

  accept() {
    const socket = this.waiting.shift();
    if (!socket || socket.closed) return;
    this.conns.push(new Conn(this, socket));
    socket.open();
  }

  refuse() {
    const socket = this.waiting.shift();
    if (socket && !socket.closed) socket.drop(1006);
  }

  // Everything that is under way arrives.
  pump() {
    for (let busy = true; busy; ) {
      busy = this.waiting.length > 0;
      while (this.waiting.length) this.accept();
      for (const conn of [...this.conns]) if (!conn.deaf) busy = conn.serve() || conn.finish() || conn.deliver() || busy;
    }
  }
}

class Conn {
  in = [];
  out = [];
  members = new Map(); // group -> what waits until its reply is out, or null
  busy; // a request that takes its time
  deaf = false; // half-open: nothing arrives, on either side

  constructor(world, socket) {
    this.world = world;
    this.socket = socket;
    socket.onsent = (message) => this.in.push(message);
    socket.onclose = () => this.gone();
  }

  gone() {
    this.world.conns = this.world.conns.filter((c) => c !== this);
    this.world.zombies.push(...this.out.map((frame) => ({ socket: this.socket, frame })));
  }

  cut(code, reason) {
    this.gone();
    if (this.socket.closed) return;
    if (this.deaf) return; // the page does not learn of it
    this.socket.drop(code, reason);
  }

  tell(data) {
    const waits = this.members.get(data.group);
    if (waits === undefined) return;
    const frame = { id: 2 ** 52 + this.world.below(2 ** 30), type: "subscription-update", data };
    if (waits) waits.push(frame);
    else this.out.push(frame);
  }

  // serve answers the next request: requests are answered in order.
  serve() {
    if (this.busy || !this.in.length) return false;
    const request = this.in.shift();
    const { id, type, data } = request;
    const answer = (error, value) => this.out.push({ id, type, error, data: value });
    if (type === "ping") this.out.push({ id, type: "pong" });
    else if (request.auth_jwt !== `t${this.world.token}`) answer("ACCESS_DENIED");
    else if (type === "do") {
      this.world.executed.push(data);
      this.busy = () => answer(undefined, data);
    } else if (type === "unsubscribe") {
      this.members.delete(nameOf(data));
      answer(undefined, { group: nameOf(data) });
    } else this.subscribe(data, answer);
    return true;
  }

  // The position is taken first, then the state is read, then the reply goes
  // out, and then what follows the position.
  subscribe(data, answer) {
    const { world } = this;
    if (world.random() < 0.03) return answer("UNAVAILABLE");
    const group = world.groups.get(nameOf(data));
    this.members.set(group.name, []);
    const position = world.history ? { epoch: group.epoch, offset: group.top } : {};
    const { result, replay = [] } = data.since ? this.since(group, data.since) : {};
    const reply = { group: group.name, ...position, ...result };
    if (data.snapshot && !result?.recovered) {
      for (let n = world.below(3); n > 0; n--) world.publish(group);
      reply.snapshot = [...group.table.values()];
    }
    this.busy = () => {
      answer(undefined, reply);
      for (const data of replay) this.out.push({ id: 2 ** 52, type: "subscription-update", data });
      this.out.push(...(this.members.get(group.name) ?? []));
      this.members.set(group.name, null);
    };
  }

  since(group, { epoch, offset }) {
    const missed = group.top - offset;
    const lost = (reason) => {
      this.world.lossy = true;
      return { result: { recovered: false, reason } };
    };
    if (!this.world.history) return lost("off");
    if (epoch !== group.epoch) return lost("epoch");
    if (missed > group.log.length) return lost("trimmed");
    if (missed > tooFar) return lost("too_far");
    return { result: { recovered: true, missed }, replay: group.log.filter((m) => m.offset > offset).map((m) => m.data) };
  }

  finish() {
    if (!this.busy) return false;
    this.busy();
    this.busy = undefined;
    return true;
  }

  deliver(frames = 1) {
    let some = false;
    for (; frames > 0 && !this.deaf && !this.socket.closed && this.out.length; frames--) {
      this.socket.deliver(this.out.shift());
      some = true;
    }
    return some;
  }

  // A broker that repeats or swaps messages: of one group, with offsets.
  repeat() {
    const numbered = this.out.filter((f) => f.data?.offset && f.type === "subscription-update" && !f.data.epoch);
    if (!numbered.length) return;
    const frame = this.world.pick(numbered);
    this.out.splice(this.out.indexOf(frame) + 1, 0, frame);
  }

  swap() {
    const at = this.world.below(this.out.length - 1);
    const [a, b] = [this.out[at], this.out[at + 1]];
    const plain = (f) => f?.type === "subscription-update" && f.data.offset && !f.data.epoch;
    if (plain(a) && plain(b)) this.out.splice(at, 2, b, a);
  }
}

function nameOf({ group, type, id }) {
  return group ?? `${type}-${id}`;
}
