package rohrpost

// Stats holds figures of a Hub: three of the moment, the others counted since NewHub.
type Stats struct {
	Connections int // open connections
	Groups      int // groups with at least one member
	Memberships int // members of all groups

	Recovered     uint64 // subscriptions with a complete replay
	Unrecovered   uint64 // subscriptions that asked for a replay in vain
	Published     uint64 // messages to groups, including those without members
	Delivered     uint64 // messages handed to a member
	Refused       uint64 // connections refused before the upgrade
	SlowConsumers uint64 // connections closed with 4008, or aborted since writes took too long
	Skipped       uint64 // changes that could not be sent, and messages of the broker that are not valid
	Untracked     uint64 // writes in transactions that the plugin cannot track
}

// Stats returns the figures of the hub. It is cheap and may be called at any time.
func (h *Hub) Stats() Stats {
	e := h.engine.Stats()
	return Stats{
		Connections:   h.conns.count(),
		Groups:        e.Groups,
		Memberships:   e.Memberships,
		Recovered:     e.Recovered,
		Unrecovered:   e.Unrecovered,
		Published:     h.counters.published.Load(),
		Delivered:     e.Delivered,
		Refused:       h.counters.refused.Load(),
		SlowConsumers: h.counters.slow.Load(),
		Skipped:       h.counters.skipped.Load(),
		Untracked:     h.counters.untracked.Load(),
	}
}
