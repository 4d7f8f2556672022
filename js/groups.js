import { pageId } from "./calls.js";
import { backoff } from "./connection.js";
import { RohrpostError, closed, isFault, isLoss } from "./errors.js";
import { Group, Subscription } from "./group.js";
import { dataOf, isSame, keyOf, nameOf } from "./target.js";
import { Watch } from "./watch.js";

const skipped = `!${pageId}`; // the origin of what the handlers of this page do not get
const spread = 2000; // ms: the pages of a group must not reload together
const tries = 3; // before the page learns that a group cannot be loaded

// The transport of all groups: subscriptions, positions, gaps and resyncs.
export class Groups {
  #hub;
  #handles = new Map(); // request data -> Group
  #subscriptions = new Map(); // request data -> Subscription
  #names = new Map(); // group name -> Subscription
  #awaited = []; // callbacks at the next change

  constructor(hub) {
    this.#hub = hub;
  }

  report(error) {
    this.#hub._report(error);
  }

  update() {
    this.#hub._update();
  }

  group(target) {
    const data = dataOf(target);
    const key = keyOf(data);
    const sub = this.find(data);
    const known = this.#handles.get(key) ?? (sub && this.#handlesOf(sub)[0]);
    if (!known) this.#handles.set(key, new Group(this.#hub, data));
    return known ?? this.#handles.get(key);
  }

  async subscribe(target) {
    if (this.#hub._ended) throw closed();
    const sub = this.#add(dataOf(target), target.since);
    sub.users++;
    if (target.snapshot) {
      sub.snapshot = true;
      sub.reload ||= !target.since || target.since !== sub.position;
    } else if (sub.subscribed) return { group: sub.name, ...sub.position };
    return new Promise((resolve, reject) => {
      sub.waiting.push({ resolve, reject });
      this.#send(sub);
    });
  }

  async unsubscribe(target) {
    const data = dataOf(target);
    // A reply may name the group.
    while (!this.find(data)?.users && this.#some((sub) => !sub.name)) await new Promise((resolve) => this.#awaited.push(resolve));
    const sub = this.find(data);
    if (!sub) return this.#leave(data);
    if (sub.users) sub.users--;
    return this.#release(sub);
  }

  watch(target, options = {}) {
    if (options.sort || options.filter) throw new TypeError("sort and filter are options of view()");
    const data = dataOf(target);
    const watch = new Watch(options, this);
    watch.data = data;
    if (this.#hub._ended) watch._end(this.#hub._ended);
    else if (!watch._closed && !this.#refuse(watch, this.find(data))) {
      const { items, since } = options;
      const sub = (watch.subscription = this.#add(data, since));
      sub.watches.add(watch);
      if (!(items && since && since === sub.position) && !sub.request?.reload) sub.reload = true;
      this.#send(sub);
    }
    return watch;
  }

  // The items of a watch lack a change.
  reload({ subscription }) {
    this.#reload(subscription, spread);
  }

  release(watch) {
    watch.subscription?.watches.delete(watch);
    this.#releaseUnused();
    this.update();
  }

  // The watches of a group share its snapshot: all must ask for the same.
  #refuse(watch, sub) {
    const other = sub && [...sub.watches].find(({ data }) => !isSame(data, watch.data));
    if (!other) return;
    const name = sub.name ?? sub.data.group;
    const error = new RohrpostError("other_data", `${name} is watched with other data`, { group: name });
    watch._end(error);
    this.report(error);
    return true;
  }

  onOpen() {
    for (const sub of this.#subscriptions.values()) this.#send(sub);
  }

  onLost() {
    for (const sub of this.#subscriptions.values()) sub.subscribed = false;
  }

  end(error) {
    for (const sub of this.#subscriptions.values()) this.#remove(sub, error);
  }

  // Whether a group that the page has seen lacks changes. wasLive: new groups do not count.
  isBehind(wasLive) {
    return this.#some((sub) => !sub.live && (sub.confirmed || !wasLive));
  }

  updateStatus() {
    for (const resolve of this.#awaited.splice(0)) resolve();
    for (const sub of this.#subscriptions.values()) for (const watch of sub.watches) watch._updateStatus();
    for (const group of this.#handles.values()) group._updateStatus();
  }

  find(data) {
    return this.#subscriptions.get(keyOf(data)) ?? this.#names.get(nameOf(data));
  }

  #handlesOf(sub) {
    return [...this.#handles.values()].filter((group) => this.find(group._data) === sub);
  }

  #tell(sub, type, ...values) {
    for (const group of this.#handlesOf(sub)) group._emit(type, ...values);
  }

  // Messages must not look like the events of a group.
  #tellType(sub, type, ...values) {
    if (!/^(status|error|resync|change)$/.test(type)) this.#tell(sub, type, ...values);
  }

  #add(data, since) {
    let sub = this.find(data);
    if (!sub) this.#subscriptions.set(keyOf(data), (sub = new Subscription(data, since, this.#hub)));
    return sub;
  }

  #some(test) {
    return [...this.#subscriptions.values()].some(test);
  }

  // The page may subscribe again at once, and a reply in flight may name this group.
  async #release(sub) {
    await null;
    if (sub.used || sub.removed || sub.request || this.#some((sub) => sub.request && !sub.name)) return { group: sub.name ?? sub.data.group };
    this.#remove(sub, closed("unsubscribed"));
    if (sub.subscribed) return this.#leave(sub.data);
  }

  async #leave(data) {
    if (!this.#hub._connection.open) return;
    const reply = await this.#hub._calls.call("unsubscribe", data).catch((error) => {
      if (!isLoss(error) && error.code !== "timeout") throw error;
    });
    // The page may have subscribed under another spelling.
    const sub = this.#names.get(reply?.group);
    if (sub) {
      if (sub.users) sub.users--;
      sub.subscribed = false;
      if (sub.used) this.#send(sub);
      else this.#remove(sub, closed("unsubscribed"));
    }
    return reply;
  }

  #remove(sub, error) {
    const handles = this.#handlesOf(sub);
    sub.removed = true;
    clearTimeout(sub.timer);
    for (const subs of [this.#subscriptions, this.#names]) {
      for (const [key, value] of subs) if (value === sub) subs.delete(key);
    }
    this.#fail(sub, error, handles);
  }

  #fail(sub, error, handles = this.#handlesOf(sub)) {
    const ended = isFault(error) ? error : undefined;
    sub.users = 0;
    for (const group of handles) {
      group._error = ended;
      if (ended) group._emit("error", ended);
    }
    for (const { reject } of sub.waiting.splice(0)) reject(error);
    for (const watch of sub.watches) watch._end(ended);
    this.update();
  }

  // One request at a time: changes after the reply follow its position.
  #send(sub) {
    if (!this.#hub._connection.open || sub.request || sub.removed) return;
    clearTimeout(sub.timer);
    sub.timer = undefined;
    const snapshot = sub.wantsSnapshot || undefined;
    const request = (sub.request = { snapshot, reload: snapshot && (sub.reload || sub.outdated), ids: new Set() });
    sub.reload = false;
    const since = request.reload ? undefined : sub.position;
    this.#hub._calls.request("subscribe", { ...sub.data, since, snapshot }, (error, reply = {}) => {
      sub.request = undefined;
      if (sub.removed) return;
      if (error) sub.reload ||= request.reload;
      if (!error) this.#onSubscribed(sub, reply, request);
      else if (error.temporary) this.#retry(sub, error);
      else this.#onRefused(sub, error, request);
      this.#releaseUnused();
    });
  }

  #sendLater(sub, delay) {
    if (delay < 1) return this.#send(sub);
    sub.timer ??= setTimeout(() => {
      sub.timer = undefined;
      if (!sub.live || sub.resync || sub.reload) this.#send(sub);
    }, delay);
  }

  #reload(sub, spread) {
    this.#sendLater(sub, Math.random() * spread);
    this.update();
  }

  #releaseUnused() {
    for (const sub of this.#subscriptions.values()) if (!sub.used) this.#release(sub).catch((error) => this.report(error));
  }

  #retry(sub, error) {
    if (isLoss(error)) return; // the next connection subscribes
    this.#sendLater(sub, error.retryAfter ? 1000 * (error.retryAfter + Math.random()) : backoff(sub.failures));
    if (++sub.failures !== tries) return;
    sub.error = Object.assign(error, { group: sub.name ?? sub.data });
    this.#tell(sub, "error", error);
    this.report(error);
  }

  #onRefused(sub, error, request) {
    Object.assign(error, { group: sub.name ?? sub.data });
    if (sub.watches.size || !sub.waiting.length) this.report(error);
    if (request.snapshot && !sub.snapshot && sub.users) {
      for (const watch of sub.watches) watch._end(error); // the group may still exist
      this.#send(sub);
    } else this.#remove(sub, error);
  }

  #onSubscribed(sub, reply, request) {
    sub = this.#merge(sub, reply.group);
    sub.repeated = request.ids;
    const before = sub.position;
    const { epoch, offset } = reply;
    const now = epoch === undefined ? undefined : { epoch, offset };
    const broken = before ? before.epoch !== now?.epoch : sub.confirmed && !sub.subscribed;
    const incomplete = reply.recovered === false || broken;
    const ahead = now?.offset > before?.offset;
    const caughtUp = reply.recovered && reply.missed === 0; // what moved the position was not sent
    // The handlers missed changes, unless a pending resync covers them.
    const skipped = !incomplete && !reply.recovered && ahead;
    sub.gap = skipped && !sub.resync;
    if (incomplete || !before || caughtUp || (skipped && sub.resync)) sub.position = now;
    sub.replayEnd = reply.recovered && ahead && !caughtUp ? now.offset : undefined;
    sub.subscribed = sub.confirmed = true;
    sub.anyOffset = false;
    sub.failures = 0;
    sub.error = undefined;
    if (incomplete) sub.resync = { group: sub.name, reason: reply.reason ?? (now ? "epoch" : "off") };
    if ("snapshot" in reply || request.reload) for (const watch of sub.watches) watch._load(reply.snapshot, offset);
    this.#emitResync(sub, reply);
    sub.resynced &&= sub.reload;
    if (!sub.reload) for (const { resolve } of sub.waiting.splice(0)) resolve(reply);
    if (sub.gap || ((sub.reload || sub.outdated) && !sub.timer)) this.#send(sub);
    this.update();
  }

  // Different requests may name one group.
  #merge(sub, name) {
    const known = this.#names.get(name) ?? sub;
    this.#names.set(name, known);
    known.name = name;
    if (known === sub) return sub;
    this.#subscriptions.set(keyOf(sub.data), known);
    sub.removed = true;
    known.users += sub.users;
    known.snapshot ||= sub.snapshot;
    known.reload ||= sub.reload;
    known.waiting.push(...sub.waiting);
    for (const watch of sub.watches) {
      if (this.#refuse(watch, known)) continue;
      watch.subscription = known;
      known.watches.add(watch);
    }
    return known;
  }

  // A resync waits for the last snapshot that is due.
  #emitResync(sub, { snapshot }) {
    if (!sub.resync) return;
    if (sub.wantsSnapshot && (sub.reload || snapshot === undefined)) return (sub.reload = sub.resynced = true);
    const resync = { ...sub.resync, snapshot };
    sub.resync = undefined;
    this.#tell(sub, "resync", resync);
    this.#hub._emit("resync", resync);
  }

  onPlain({ group, type, data, origin }) {
    const sub = this.#names.get(group);
    if (sub && origin !== skipped) this.#tellType(sub, type, data);
  }

  onChange(data, id) {
    const sub = this.#names.get(data.group);
    if (!sub) return this.#hub._emit(data.group, null, data); // not subscribed by the page
    const { type } = data;
    if (type === "unsubscribed") return this.#onUnsubscribed(sub, data);
    if (!sub.subscribed) return;
    const before = sub.position;
    const { offset, epoch = before?.epoch, prev = offset - 1, origin = "" } = data;
    const seen = offset === undefined ? this.#isRepeated(sub, id) : epoch === before?.epoch && offset <= before?.offset;
    if (prev > before?.offset && !data.epoch && !sub.anyOffset) {
      sub.gap = true; // the server replays from the position
      this.#send(sub);
      return this.update();
    }
    if (origin) data.self = origin === pageId || origin === skipped;
    // Move the position first: a handler may subscribe.
    if (offset === undefined) sub.anyOffset ||= type === "resync";
    else if (!seen && epoch !== undefined) {
      sub.position = { epoch, offset };
      sub.anyOffset = false;
    }
    if (!seen || !data.epoch) for (const watch of sub.watches) watch._apply(data);
    if (seen) return;
    if (data.epoch || sub.replayEnd <= offset) {
      sub.replayEnd = undefined;
      this.update();
    }
    if (type === "resync") {
      sub.resync = { group: sub.name, reason: data.object?.reason };
      this.#emitResync(sub, {});
      if (sub.reload) this.#reload(sub, data.object?.spread ?? spread);
    }
    if (origin === skipped) return;
    this.#tell(sub, "change", data);
    this.#tellType(sub, type, data.object, data);
    this.#hub._emit(data.group, null, data);
  }

  // After a reply the server repeats what has changed since the request. Without a history only the id tells.
  #isRepeated(sub, id) {
    const name = `${id} ${sub.name}`;
    for (const { request } of this.#subscriptions.values()) if (id) request?.ids.add(name);
    return sub.repeated.has(name);
  }

  #onUnsubscribed(sub, data) {
    const reason = data.object?.reason;
    const error = new RohrpostError("unsubscribed", `unsubscribed from ${sub.name}: ${reason}`, { group: sub.name, reason });
    sub.subscribed = sub.confirmed = false;
    sub.position = undefined;
    // A reply in flight may subscribe again.
    if (sub.request) this.#fail(sub, error);
    else this.#remove(sub, error);
    this.report(error);
    this.#hub._emit(data.group, null, data);
  }
}
