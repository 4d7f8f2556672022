package fanout

import (
	"context"

	"github.com/rohrpost/rohrpost/internal/wire"
)

// Revoke removes the member from the groups that match, and discards what of these groups
// waits to be written, except the rest of a frame that is begun. Subscriptions to them
// that have sent a part of a snapshot begin anew; their decisions must not hold any more.
// After the last message of a group the member gets the frame that last returns; nil is
// none. match and last run under locks. Revoke does not wait: wait returns when none of
// the messages is written any more, or with the error of ctx.
func (m *Member) Revoke(match func(group string) bool, last func(group string) wire.Frame) (wait func(ctx context.Context) error) {
	m.mu.Lock()
	for _, u := range m.subscriptions {
		if u.sent && match(u.group) {
			u.restart = true
		}
	}
	done := make(chan struct{})
	ops := []op{{kind: opCall, call: func() { m.worker.revoke(m, match); close(done) }}}
	var unfollow []string
	for l, ms := range m.groups {
		if !ms.wanted || !match(l.group.name) {
			continue
		}
		leave, gone := m.leave(l, last(l.group.name))
		if ops = append(leave, ops...); gone {
			unfollow = append(unfollow, l.group.name)
		}
	}
	m.worker.submit(ops...)
	m.mu.Unlock()
	for _, group := range unfollow {
		m.engine.config.Upstream.Unfollow(group)
	}
	return func(ctx context.Context) error { return m.await(ctx, done) }
}

// Settle returns when the worker has done all that was asked of it for the member until
// now, and nothing is being written that was begun before; or with the error of ctx.
func (m *Member) Settle(ctx context.Context) error {
	done := make(chan struct{})
	m.worker.submit(op{kind: opCall, call: func() { close(done) }})
	return m.await(ctx, done)
}

func (m *Member) await(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return m.writer.awaitLanding(ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// revoke discards what the member has not got of the groups that match.
func (w *worker) revoke(m *Member, match func(group string) bool) {
	m.writer.revoke(match)
	for at := m.mixed.first; at > 0; at = w.nodes[at-1].next {
		if n := &w.nodes[at-1]; n.label.matches(match) {
			n.frame, n.label = n.label.substitute(), nil
		}
	}
}
