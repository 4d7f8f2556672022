import { backoff } from "./backoff.js";
import { closed } from "./errors.js";
import { Group } from "./group.js";
import { Watch } from "./watch.js";

// The transport of all groups: subscriptions, positions, gaps and resyncs.
export class Groups {
  #hub; // isOpen, isClosed, request, call, emit, report, update
  #groups = new Map(); // request data -> Group
  #names = new Map(); // group name -> Group

  constructor(hub) {
    this.#hub = hub;
  }

  async subscribe(target) {
    if (this.#hub.isClosed()) throw closed();
    const group = this.#addGroup(target);
    group.users++;
    if (target.snapshot) {
      group.snapshot = true;
      group.reload ||= !target.since || target.since !== group.position;
    } else if (group.subscribed) return { group: group.name, ...group.position };
    return new Promise((resolve, reject) => {
      group.waiting.push({ resolve, reject });
      this.#sendSubscribe(group);
    });
  }

  async unsubscribe(target) {
    const group = this.#findGroup(target) ?? Object.assign(new Group(dataOf(target)), { subscribed: this.#hub.isOpen() });
    if (group.users) group.users--;
    return this.#release(group);
  }

  watch(target, options = {}) {
    if (this.#hub.isClosed()) throw closed();
    const group = this.#addGroup(target, options.since);
    const watch = new Watch(options, {
      status: () => (!this.#hub.isOpen() ? "stale" : watch.group.live ? "live" : "recovering"),
      report: (error) => this.#hub.report(error),
      release: () => {
        watch.group.watches.delete(watch);
        this.#releaseUnused();
      },
    });
    watch.group = group;
    group.watches.add(watch);
    const { items, since } = options;
    if (!(items && since && since === group.position) && !group.request?.reload) group.reload = true;
    this.#sendSubscribe(group);
    return watch;
  }

  onOpen() {
    for (const group of this.#groups.values()) this.#sendSubscribe(group);
  }

  onLost() {
    for (const group of this.#groups.values()) group.subscribed = false;
  }

  end(error) {
    for (const group of this.#groups.values()) this.#remove(group, error);
  }

  // Whether a group that the page has seen lacks changes. wasLive: new groups do not count.
  isBehind(wasLive) {
    return [...this.#groups.values()].some((group) => !group.live && (group.confirmed || !wasLive));
  }

  #findGroup(target) {
    const data = dataOf(target);
    return this.#groups.get(JSON.stringify(data)) ?? this.#names.get(data.group);
  }

  #addGroup(target, since = target.since) {
    let group = this.#findGroup(target);
    if (!group) {
      group = new Group(dataOf(target), since);
      this.#groups.set(JSON.stringify(group.data), group);
    }
    return group;
  }

  // The page may subscribe again at once, and a reply in flight may name this group.
  async #release(group) {
    await null;
    const unsure = [...this.#groups.values()].some((g) => g.request && (g === group || !g.name));
    if (group.used || group.removed || unsure) return { group: group.name };
    this.#remove(group, closed("unsubscribed"));
    if (!group.subscribed) return;
    return this.#hub.call("unsubscribe", group.data).catch((error) => {
      if (error.code === "refused") throw error;
    });
  }

  #remove(group, error) {
    group.removed = true;
    for (const groups of [this.#groups, this.#names]) {
      for (const [key, value] of groups) if (value === group) groups.delete(key);
    }
    for (const { reject } of group.waiting) reject(error);
    for (const watch of group.watches) watch._close(error);
    this.#hub.update();
  }

  // One request at a time: changes after the reply follow its position.
  #sendSubscribe(group) {
    if (!this.#hub.isOpen() || group.request || group.removed) return;
    const snapshot = group.wantsSnapshot || undefined;
    const request = (group.request = { snapshot, reload: snapshot && group.reload });
    group.reload = false;
    const since = request.reload ? undefined : group.position;
    this.#hub.request("subscribe", { ...group.data, since, snapshot }, (error, reply = {}) => {
      group.request = undefined;
      if (group.removed) return;
      if (error) group.reload ||= request.reload;
      if (!error) this.#onSubscribed(group, reply, request);
      else if (error.code === "refused") this.#onRefused(group, error, request);
      this.#releaseUnused();
    });
  }

  #releaseUnused() {
    for (const group of this.#groups.values()) if (!group.used) this.#release(group).catch((error) => this.#hub.report(error));
  }

  #onRefused(group, error, request) {
    const { message } = error;
    if (message === "UNAVAILABLE" || (message === "internal error" && group.confirmed)) {
      setTimeout(() => this.#sendSubscribe(group), backoff(group.failures++));
      return;
    }
    if (group.watches.size || !group.waiting.length) this.#hub.report(Object.assign(error, { group: group.name ?? group.data }));
    if (request.snapshot && !group.snapshot && group.users) {
      for (const watch of group.watches) watch._close(error); // the group may still exist
      this.#sendSubscribe(group);
    } else this.#remove(group, error);
  }

  #onSubscribed(group, reply, request) {
    group = this.#merge(group, reply.group);
    const before = group.position;
    const now = reply.epoch === undefined ? undefined : { epoch: reply.epoch, offset: reply.offset };
    const broken = before ? before.epoch !== now?.epoch : group.confirmed && !group.subscribed;
    const incomplete = reply.recovered === false || broken;
    const ahead = now?.offset > before?.offset;
    // The handlers missed changes, unless a pending resync covers them.
    const skipped = !incomplete && !reply.recovered && ahead;
    group.gap = skipped && !group.resync;
    if (incomplete || !before || (skipped && group.resync)) group.position = now;
    group.replayEnd = reply.recovered && ahead ? now.offset : undefined;
    group.subscribed = group.confirmed = true;
    group.anyOffset = false;
    group.failures = 0;
    if (incomplete) group.resync = { group: group.name, reason: reply.reason ?? (now ? "epoch" : "off") };
    if ("snapshot" in reply || request.reload) for (const watch of group.watches) watch._load(reply.snapshot, reply.offset);
    this.#emitResync(group, reply);
    if (!group.reload) for (const { resolve } of group.waiting.splice(0)) resolve(reply);
    if (group.reload || group.gap) this.#sendSubscribe(group);
    this.#hub.update();
  }

  // Different requests may name one group.
  #merge(group, name) {
    const known = this.#names.get(name) ?? group;
    this.#names.set(name, known);
    known.name = name;
    if (known === group) return group;
    this.#groups.set(JSON.stringify(group.data), known);
    group.removed = true;
    known.users += group.users;
    known.snapshot ||= group.snapshot;
    known.reload ||= group.reload;
    known.waiting.push(...group.waiting);
    for (const watch of group.watches) {
      watch.group = known;
      known.watches.add(watch);
    }
    return known;
  }

  // A resync waits for a requested snapshot.
  #emitResync(group, { snapshot }) {
    if (!group.resync) return;
    if (group.wantsSnapshot && snapshot === undefined) return (group.reload = true);
    const { resync } = group;
    group.resync = undefined;
    this.#hub.emit("resync", { ...resync, snapshot });
  }

  onChange(data) {
    const group = this.#names.get(data.group);
    if (!group) return this.#hub.emit(data.group, null, data); // not subscribed by the page
    if (!group.subscribed) return;
    const before = group.position;
    const { type, offset, epoch = before?.epoch } = data;
    const seen = epoch === before?.epoch && offset <= before?.offset;
    if (offset > before?.offset + 1 && !data.epoch && !group.anyOffset) {
      group.gap = true; // the server replays from the position
      this.#sendSubscribe(group);
      return this.#hub.update();
    }
    // Move the position first: a handler may subscribe.
    if (offset === undefined) group.anyOffset ||= type === "resync";
    else if (!seen && epoch !== undefined) {
      group.position = { epoch, offset };
      group.anyOffset = false;
    }
    if (!seen || !data.epoch) for (const watch of group.watches) watch._apply(data);
    if (seen) return;
    if (group.replayEnd <= offset) {
      group.replayEnd = undefined;
      this.#hub.update();
    }
    if (type === "resync") {
      group.resync = { group: group.name, reason: data.object?.reason };
      this.#emitResync(group, {});
      if (group.reload) this.#sendSubscribe(group);
    }
    this.#hub.emit(data.group, null, data);
  }
}

function dataOf(target) {
  if (typeof target === "string") return { group: target };
  const { since, snapshot, ...data } = target;
  return data;
}
