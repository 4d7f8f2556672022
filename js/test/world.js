// A model of the server for the fault schedules: groups with a table and a
// history each, and connections that may break, hang, be slow, and repeat or swap
// frames.
import { Network } from "./support.js";

// seededRandom returns a random number generator (mulberry32).
export function seededRandom(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const historySize = 8; // messages of a group
const maxReplay = 6; // messages

export class World {
  network = new Network();
  groups = new Map();
  conns = [];
  opening = []; // sockets that are not open yet
  lateFrames = []; // frames of connections that the client has abandoned
  published = []; // all messages, and changes without a message: {group, stamp, at}
  executed = []; // calls
  epochs = 0;
  token = 1;
  clock = 0; // counts events
  lossy = false; // a client may need a resync

  // modern: the hub answers hello, with all that follows from it. once: it takes the token
  // from hello. sparse: offsets of a group skip, and updates may be partial.
  constructor(random, { history = true, modern = false, once = false, sparse = false } = {}) {
    this.random = random;
    this.history = history;
    Object.assign(this, { modern, once, sparse });
    this.lossy = !history;
    this.network.onsocket = (socket) => this.opening.push(socket);
    for (const name of ["item-1", "item-2"]) this.groups.set(name, { name, epoch: this.epoch(), top: 0, last: 0, log: [], table: new Map(), ids: 0 });
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

  // ---- events in the server

  // write changes a row and returns the change. An update contains only the
  // fields that it set, so that a lost update shows in the end.
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
    const partial = this.sparse && this.below(2) ? true : undefined;
    return { type: "update", object: { id, [field]: value, updated_fields: [field] }, updated_fields: [field], partial };
  }

  publish(group, change = this.write(group), skipped) {
    const { type, object, updated_fields, partial } = change;
    if (this.sparse) group.top += this.below(3); // messages of other groups, and empty ones
    const offset = ++group.top;
    const prev = group.last === offset - 1 ? undefined : group.last;
    const stamp = `${group.epoch}/${offset}`;
    const data = { type, group: group.name, object, updated_fields, partial, stamp, ...(this.history && { prev, offset }) };
    group.last = offset;
    this.published.push({ group: group.name, stamp, at: ++this.clock });
    group.log.push({ offset, prev: prev ?? offset - 1, data });
    if (group.log.length > historySize) group.log.shift();
    if (this.sparse && !this.below(4)) group.top++; // an empty message
    for (const conn of this.conns) if (conn !== skipped) conn.publish(data);
  }

  // Changes a row without a message.
  writeSilently(group) {
    this.write(group);
    this.published.push({ group: group.name, stamp: "silent", at: ++this.clock });
    this.lossy = true;
  }

  tooManyRows(group) {
    this.writeSilently(group);
    this.writeSilently(group);
    this.publish(group, { type: "resync", object: { reason: "rows" } });
  }

  skipMember(group) {
    const conn = this.pick(this.conns);
    if (!conn?.members.has(group.name)) return;
    for (let n = 1 + this.below(4); n > 0; n--) this.publish(group, undefined, conn);
    conn.publish({ type: "resync", group: group.name, object: { reason: "slow" } });
    this.lossy = true;
  }

  // The group loses its history, but keeps its members.
  newEpoch(group) {
    if (!this.history) return;
    this.writeSilently(group);
    const top = this.below(20);
    Object.assign(group, { epoch: this.epoch(), top, last: top, log: [] });
    for (const conn of this.conns) {
      conn.publish({ type: "resync", group: group.name, object: { reason: "epoch" }, epoch: group.epoch, offset: group.top });
    }
  }

  restart() {
    for (const group of this.groups.values()) {
      if (this.random() < 0.5) this.writeSilently(group);
      Object.assign(group, { epoch: this.epoch(), top: 0, last: 0, log: [] });
    }
    this.lossy = true;
    for (const conn of [...this.conns]) conn.abort(this.pick([1012, 1006]), this.pick(["", "service restart; retry_after=3"]));
  }

  trim(group) {
    group.log.splice(0, this.below(group.log.length + 1));
  }

  // ---- connections

  accept() {
    const socket = this.opening.shift();
    if (!socket || socket.closed) return;
    this.conns.push(new Conn(this, socket));
    socket.open();
  }

  refuse() {
    const socket = this.opening.shift();
    if (socket && !socket.closed) socket.drop(1006);
  }

  // Delivers everything in flight.
  pump() {
    for (let busy = true; busy; ) {
      busy = this.opening.length > 0;
      while (this.opening.length) this.accept();
      for (const conn of [...this.conns]) if (!conn.hung) busy = conn.serve() || conn.finish() || conn.deliver() || busy;
    }
  }
}

class Conn {
  in = [];
  out = [];
  members = new Map(); // group -> messages buffered until the reply is sent, or null
  busy; // finishes a slow request
  hung = false; // half-open: no frame arrives on either side

  constructor(world, socket) {
    this.world = world;
    this.socket = socket;
    socket.onsent = (message) => {
      if (world.modern && message.type === "rohrpost:heartbeat") this.out.push(message); // ahead of the queue
      else this.in.push(message);
    };
    socket.onclose = () => this.gone();
  }

  gone() {
    this.world.conns = this.world.conns.filter((c) => c !== this);
    this.world.lateFrames.push(...this.out.map((frame) => ({ socket: this.socket, frame })));
  }

  abort(code, reason) {
    this.gone();
    if (this.socket.closed) return;
    if (this.hung) return; // the client does not notice
    this.socket.drop(code, reason);
  }

  publish(data) {
    const buffered = this.members.get(data.group);
    if (buffered === undefined) return;
    const frame = { id: 2 ** 52 + this.world.below(2 ** 30), type: "subscription-update", data };
    if (buffered) buffered.push(frame);
    else this.out.push(frame);
  }

  // The server ends a membership and says so.
  leave(name) {
    if (!this.wants?.includes("unsubscribed") || !this.members.delete(name)) return;
    this.out.push({ id: 2 ** 52, type: "subscription-update", data: { type: "unsubscribed", group: name, object: { reason: "left" } } });
  }

  // The server does not reach its broker, or reaches it again.
  tell(status) {
    if (this.wants?.includes("status")) this.out.push({ id: 2 ** 52, type: "rohrpost:status", data: { status } });
  }

  // serve answers the next request, in order.
  serve() {
    if (this.busy || !this.in.length) return false;
    const request = this.in.shift();
    const { id, type, data } = request;
    const answer = (error, value) => this.out.push({ id, type, error, error_info: this.info(error), data: value });
    if (type === "rohrpost:hello") this.hello(data, answer);
    else if (type === "ping") this.out.push({ id, type: "pong" });
    else if ((request.auth_jwt ?? this.token) !== `t${this.world.token}`) answer("ACCESS_DENIED");
    else if (type === "do") {
      this.world.executed.push(data);
      this.busy = () => answer(undefined, data);
    } else if (type === "unsubscribe") {
      this.members.delete(nameOf(data));
      answer(undefined, { group: nameOf(data) });
    } else this.subscribe(data, answer);
    return true;
  }

  hello({ wants, token }, answer) {
    if (!this.world.modern) return answer("No registered handler called 'rohrpost:hello'.");
    if (this.world.once && this.world.random() < 0.1) return answer("UNAVAILABLE");
    Object.assign(this, { wants, token: this.world.once && token });
    answer(undefined, { version: 1, connection: "c", token: this.world.once || undefined, limits: { max_message_bytes: 65_536 } });
  }

  info(error) {
    if (!this.world.modern || !error) return;
    return error === "ACCESS_DENIED" ? { code: "access_denied", temporary: false } : { code: "unavailable", temporary: true, retry_after: 1 };
  }

  // The server takes the position, reads the snapshot, sends the reply and then
  // the messages after the position.
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
      this.inParts(reply, answer);
      for (const data of replay) this.out.push({ id: 2 ** 52, type: "subscription-update", data });
      if (!this.members.has(group.name)) return; // left meanwhile
      this.out.push(...(this.members.get(group.name) ?? []));
      this.members.set(group.name, null);
    };
  }

  // A large snapshot comes in parts. The server may begin again.
  inParts(reply, answer) {
    const { snapshot = [], group } = reply;
    if (!this.wants?.includes("parts") || snapshot.length < 3) return answer(undefined, reply);
    if (this.world.random() < 0.2) answer(undefined, { ...reply, snapshot: [{ id: -1 }], part: 1 });
    answer(undefined, { ...reply, snapshot: snapshot.slice(0, 2), part: 1 });
    answer(undefined, { group, part: 2, snapshot: snapshot.slice(2, 3) });
    answer(undefined, { group, part: 3, snapshot: snapshot.slice(3), last: true });
  }

  since(group, { epoch, offset }) {
    const replay = group.log.filter((m) => m.offset > offset);
    const missed = replay.length;
    const notRecovered = (reason) => {
      this.world.lossy = true;
      return { result: { recovered: false, reason } };
    };
    if (!this.world.history) return notRecovered("off");
    if (epoch !== group.epoch) return notRecovered("epoch");
    if ((replay[0]?.prev ?? group.last) > offset) return notRecovered("trimmed");
    if (missed > maxReplay) return notRecovered("too_far");
    return { result: { recovered: true, missed, ...(missed && { offset: group.last }) }, replay: replay.map((m) => m.data) };
  }

  finish() {
    if (!this.busy) return false;
    this.busy();
    this.busy = undefined;
    return true;
  }

  deliver(frames = 1) {
    let delivered = false;
    for (; frames > 0 && !this.hung && !this.socket.closed && this.out.length; frames--) {
      this.socket.deliver(this.out.shift());
      delivered = true;
    }
    return delivered;
  }

  // A broker may repeat or swap messages that have offsets.
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
