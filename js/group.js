// A subscription of the page, however many users it has.
export class Group {
  users = 0; // subscribe() calls
  watches = new Set();
  waiting = []; // promises of subscribe()
  snapshot; // subscribe() requested it
  reload; // request the snapshot without a position
  request; // in flight
  subscribed; // on this connection
  confirmed; // on any connection
  gap; // changes are missing
  anyOffset; // may come next
  replayEnd; // last offset of the replay
  resync; // waits for the snapshot
  failures = 0;

  constructor(data, position) {
    this.data = data;
    this.position = position;
  }
  get used() {
    return this.users || this.watches.size;
  }
  get wantsSnapshot() {
    return this.snapshot || this.watches.size > 0;
  }
  get live() {
    return this.subscribed && !this.gap && !this.replayEnd;
  }
}
