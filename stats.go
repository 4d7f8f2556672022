package rohrpost

import "sync/atomic"

// Stats are figures of a Hub: three of this moment, the others counted since
// NewHub.
type Stats struct {
	Connections int // open connections
	Groups      int // groups with at least one member
	Memberships int // members of all groups

	Recovered     uint64 // subscriptions that got all they had missed
	Unrecovered   uint64 // subscriptions that have to load the state instead
	Published     uint64 // messages to groups, those without members included
	Delivered     uint64 // messages handed to a member
	Refused       uint64 // connections refused before the upgrade
	SlowConsumers uint64 // connections closed with 4008, or cut for writes that took too long
	Skipped       uint64 // changes of models that could not be sent
	Untracked     uint64 // writes in transactions that could not be followed
}

// counters are the counted half of Stats.
type counters struct {
	published, delivered, refused, slow atomic.Uint64
	skipped, untracked                  atomic.Uint64
	recovered, unrecovered              atomic.Uint64
}

// Stats returns the figures of the hub. It is cheap and may be called at any
// time.
func (h *Hub) Stats() Stats {
	h.mu.Lock()
	connections := len(h.conns)
	h.mu.Unlock()
	return Stats{
		Connections:   connections,
		Groups:        int(h.groups.count.Load()),
		Memberships:   int(h.groups.memberships.Load()),
		Recovered:     h.counters.recovered.Load(),
		Unrecovered:   h.counters.unrecovered.Load(),
		Published:     h.counters.published.Load(),
		Delivered:     h.counters.delivered.Load(),
		Refused:       h.counters.refused.Load(),
		SlowConsumers: h.counters.slow.Load(),
		Skipped:       h.counters.skipped.Load(),
		Untracked:     h.counters.untracked.Load(),
	}
}
