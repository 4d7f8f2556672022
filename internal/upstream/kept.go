package upstream

import (
	"slices"
	"sync"
	"time"

	"github.com/rohrpost/rohrpost/broker"
)

const (
	// maxKept is the number of resyncs by pattern that a hub remembers one by one.
	maxKept = 1000

	// defaultKeep is how long a broker keeps messages that does not say it.
	defaultKeep = time.Hour

	// clockSkew is by how much the clocks of hubs may differ.
	clockSkew = time.Minute
)

// keptResyncs remembers the resyncs by pattern as long as the broker keeps messages. A
// group that had members nowhere got no message: whoever was a member before must load
// its snapshot, although the history of the group does not show it.
type keptResyncs struct {
	remote *remote
	keep   time.Duration // negative: for ever
	begun  chan struct{} // closed when the earlier ones are known

	mu  sync.Mutex // guards what follows
	all []*keptResync
}

// keptResync is a resync by pattern.
type keptResync struct {
	match func(group string) bool
	until time.Time

	// after has groups that match, with the lowest offset that is later than the resync. It
	// is 0 where the history of the group shows the resync. A group that was followed
	// later has the offset after its position then.
	after map[string]uint64
}

func (k *keptResyncs) init(r *remote) {
	k.remote, k.begun = r, make(chan struct{})
	if k.keep = r.limits.Keep; k.keep == 0 {
		k.keep = defaultKeep
	}
}

// add remembers a resync. Its groups have a message with it.
func (k *keptResyncs) add(pattern string, at time.Time, groups []string) error {
	match, err := k.remote.Receiver.Matcher(pattern)
	if err != nil {
		return err
	}
	r := &keptResync{match: match, until: k.until(at), after: make(map[string]uint64)}
	for _, group := range groups {
		r.after[group] = 0
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.expire()
	if len(k.all) == maxKept {
		k.all = []*keptResync{k.merged()}
	}
	k.all = append(k.all, r)
	return nil
}

// until returns when the broker keeps nothing any more that is older than a resync.
func (k *keptResyncs) until(at time.Time) time.Time {
	if k.keep < 0 {
		return time.Now().AddDate(100, 0, 0)
	}
	now := time.Now()
	if at.After(now) {
		at = now
	}
	return at.Add(k.keep + clockSkew)
}

// merged returns one resync of all groups in place of those that are remembered.
func (k *keptResyncs) merged() *keptResync {
	all := &keptResync{match: func(string) bool { return true }, after: make(map[string]uint64)}
	for _, r := range k.all {
		if r.until.After(all.until) {
			all.until = r.until
		}
		for group, offset := range r.after {
			all.after[group] = max(all.after[group], offset)
		}
	}
	for group := range all.after {
		for _, r := range k.all {
			if _, ok := r.after[group]; !ok && r.match(group) {
				delete(all.after, group)
				break
			}
		}
	}
	return all
}

// expire is called with the lock.
func (k *keptResyncs) expire() {
	now := time.Now()
	k.all = slices.DeleteFunc(k.all, func(r *keptResync) bool { return now.After(r.until) })
}

func (k *keptResyncs) hasBegun() bool {
	select {
	case <-k.begun:
		return true
	default:
		return false
	}
}

// begin remembers the resyncs and revocations that were ordered before this hub has begun.
// Those that the broker does not keep any more, and whose messages it may keep, may have
// been for any group. An order that this hub cannot read may have been any revocation.
func (k *keptResyncs) begin(h broker.History) {
	defer close(k.begun)
	if !slices.ContainsFunc(h.Messages, func(m broker.Message) bool { return len(m.Payload) > 0 }) {
		return // marks of the broker follow what is too old
	}
	oldest := time.Now()
	for i := range h.Messages {
		order, err := k.remote.orders.decode(&h.Messages[i])
		switch {
		case err != nil:
			k.remote.Receiver.Remember(Order{Kind: OrderRevoke})
			continue
		case order.Kind == "":
			continue
		case order.From != k.remote.source:
			k.remote.Receiver.Remember(order.Order)
		}
		if order.at().Before(oldest) {
			oldest = order.at()
		}
		if order.Kind == OrderResync {
			_ = k.add(order.Pattern, order.at(), nil)
		}
	}
	complete := h.Messages[0].Prev == 0 && h.Messages[len(h.Messages)-1].Offset == h.Position.Offset
	if !complete && time.Now().Before(k.until(oldest)) {
		_ = k.add(k.remote.AnyGroup, oldest, nil)
	}
}

// opened takes the position of a group when it begins to be followed.
func (k *keptResyncs) opened(group string, at broker.Position) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, r := range k.all {
		if _, ok := r.after[group]; !ok && r.match(group) {
			r.after[group] = at.Offset + 1
		}
	}
}

// outdated reports whether a position in a group, which was opened, may be older than a
// resync that the history does not show.
func (k *keptResyncs) outdated(group string, since broker.Position) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.expire()
	return slices.ContainsFunc(k.all, func(r *keptResync) bool {
		return since.Offset < r.after[group]
	})
}
