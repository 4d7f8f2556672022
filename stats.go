package rohrpost

import (
	"maps"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Stats holds figures of a Hub: three of the moment, the others counted since NewHub.
type Stats struct {
	Connections int // open connections
	Groups      int // groups with at least one member
	Memberships int // members of all groups

	Broker string // what connects the hub to those of other processes: the type of Config.Broker, or "none: one process"

	Recovered     uint64 // subscriptions with a complete replay
	Unrecovered   uint64 // subscriptions that asked for a replay in vain
	Revoked       uint64 // memberships ended by Revoke, Recheck, a periodic recheck, or a refused subscription
	Published     uint64 // messages to groups, including those without members
	Delivered     uint64 // messages handed to a member
	SlowConsumers uint64 // connections closed with 4008, or aborted since writes took too long
	Skipped       uint64 // changes that could not be sent, and messages of the broker that are not valid
	Untracked     uint64 // writes in transactions that the plugin cannot track
	Foreign       uint64 // messages of the broker in a version that the hub does not know; their groups get a resync
	Lost          uint64 // messages that the broker has not taken; their groups get a resync

	// Refused counts what the hub has refused, by code: connections by "origin",
	// "unauthorized", "full", "shutdown" and "handshake", requests by the code that their
	// client has read (doc/PROTOCOL.md), and connections that exceed a limit by the code
	// in the reason of their close frame.
	Refused map[string]uint64

	// Closed counts connections that have ended, by close code in decimal. "aborted"
	// stands for those that have ended without one.
	Closed map[string]uint64
}

// counters are figures of Stats that the hub counts itself.
type counters struct {
	published, slow    atomic.Uint64
	skipped, untracked atomic.Uint64
	revoked            atomic.Uint64
	foreign, lost      atomic.Uint64
	refused, closed    tally
}

// end counts a connection that has ended, by its close code; 0 is none.
func (c *counters) end(code int) {
	if code == 0 {
		c.closed.add("aborted")
	} else {
		c.closed.add(strconv.Itoa(code))
	}
}

// tally counts by name. The zero value is ready. It may be used concurrently.
type tally struct {
	mu     sync.Mutex
	counts map[string]uint64
}

func (t *tally) add(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts == nil {
		t.counts = make(map[string]uint64)
	}
	t.counts[name]++
}

func (t *tally) all() map[string]uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := maps.Clone(t.counts)
	if all == nil {
		all = make(map[string]uint64)
	}
	return all
}

// throttle lets one log line a minute pass, of those that any client can cause. The zero
// value is ready. It may be used concurrently.
type throttle struct {
	mu      sync.Mutex
	next    time.Time
	skipped int
}

// pass reports whether the line is logged, and how many were not since the last one.
func (t *throttle) pass() (skipped int, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if now.Before(t.next) {
		t.skipped++
		return 0, false
	}
	skipped = t.skipped
	t.next, t.skipped = now.Add(time.Minute), 0
	return skipped, true
}
