// Package fanout hands frames to the members of groups. All members of a group get
// its messages in one order, each once, and publishing waits for no member.
package fanout

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/wire"
)

// Config configures an Engine. All fields but Frame, Queued and Shared are required. A negative limit means
// none.
type Config struct {
	Logger   *slog.Logger
	Upstream Upstream
	Go       func(task func(ctx context.Context)) // runs a task that ends with the hub
	Workers  int                                  // of them all may run at once where much is to be written, else all but one

	// Frame makes a frame of what the Upstream delivers, for so many members, who have got
	// the change with the offset prev before. Nil: it delivers frames.
	Frame func(payload []byte, prev, offset uint64, members int) wire.Frame

	// Queued is called with bytes that have to wait for a member. It must not wait. Nil:
	// nobody counts them.
	Queued func(bytes int)

	Shared bool // the Upstream may have what it has yet to deliver

	MaxGroups         int           // of a member
	MaxSendQueueBytes int           // that wait for a member
	MaxSendQueueAge   time.Duration // of a message that waits for a member
	WriteTimeout      time.Duration // in which a member must take something
	OpenTimeout       time.Duration // in which a group must get its position
}

// Upstream is where the messages of groups come from.
type Upstream interface {
	// Follow follows the stream of a group, now or later, and then calls open with the
	// position after which its messages come. open returns false if the group has gone in
	// the meantime, which gone reports before; the upstream then takes Follow back.
	Follow(group string, open func(at broker.Position) bool, gone func() bool)

	// Unfollow takes back Follow.
	Unfollow(group string)

	// History returns the position of a group and the messages after an offset. Their
	// payloads are what Config.Frame takes.
	History(ctx context.Context, group string, after uint64, limit int) (broker.History, error)

	// Outdated reports whether a position in a group, which now is at another one, may be
	// older than a resync that the history does not show.
	Outdated(ctx context.Context, group string, since, at broker.Position) bool
}

// Engine owns the groups, and the workers that write to their members. Its methods
// may be called concurrently. Make one with New.
type Engine struct {
	config  Config
	groups  groups
	workers []*worker
	runners runners
	turn    atomic.Uint32 // picks the worker of the next member

	memberships, delivered, recovered, unrecovered atomic.Uint64
}

// New returns an Engine without groups. It starts nothing.
func New(c Config) *Engine {
	e := &Engine{config: c, runners: runners{procs: c.Workers}}
	e.groups.init()
	for range c.Workers {
		e.workers = append(e.workers, &worker{runners: &e.runners, delivered: &e.delivered})
	}
	return e
}

// HasMembers reports whether the group has a member, or a subscription that may
// become one.
func (e *Engine) HasMembers(group string) bool { return e.groups.has(group) }

// Members returns the number of members of a group.
func (e *Engine) Members(group string) int { return e.groups.size(group) }

// MembersOf returns the owners of the members of a group. It waits for the workers, who
// alone know their members; no worker may call it.
func (e *Engine) MembersOf(group string) []Owner {
	var mu sync.Mutex
	var owners []Owner
	var all sync.WaitGroup
	e.groups.visit(group, func(l *memberList) {
		all.Add(1)
		l.worker.submit(op{kind: opCall, call: func() {
			defer all.Done()
			mu.Lock()
			defer mu.Unlock()
			for _, m := range l.members {
				owners = append(owners, m.owner)
			}
		}})
	})
	all.Wait()
	return owners
}

// Groups returns the names of the groups for which match holds, sorted. match runs
// under a lock.
func (e *Engine) Groups(match func(group string) bool) []string {
	return e.groups.names(func(g *group) bool { return match(g.name) })
}

// Positions returns the positions up to which the groups have received messages.
func (e *Engine) Positions() map[string]broker.Position {
	all := make(map[string]broker.Position)
	e.groups.names(func(g *group) bool {
		if g.sequencer.isOpen() && g.sequencer.at.Epoch != "" {
			all[g.name] = g.sequencer.at
		}
		return false
	})
	return all
}

// Settled reports whether every group has its position and no gap to fill.
func (e *Engine) Settled() bool {
	return e.groups.names(func(g *group) bool { return g.sequencer.filling || !g.sequencer.isOpen() }) == nil
}

// Wait returns when no worker has anything to do, or with the error of ctx when that ends first.
func (e *Engine) Wait(ctx context.Context) error {
	for _, w := range e.workers {
		if err := w.wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Close frees what the workers keep to run. They run on where there is something to do.
func (e *Engine) Close() { e.runners.close() }

// Stats are figures of an Engine: two of the moment, the others counted since New.
type Stats struct {
	Groups, Memberships               int
	Delivered, Recovered, Unrecovered uint64
}

// Stats returns the figures of the Engine.
func (e *Engine) Stats() Stats {
	return Stats{
		Groups:      int(e.groups.count.Load()),
		Memberships: int(e.memberships.Load()),
		Delivered:   e.delivered.Load(),
		Recovered:   e.recovered.Load(),
		Unrecovered: e.unrecovered.Load(),
	}
}

// follow subscribes to the messages of a new group.
func (e *Engine) follow(g *group) {
	e.config.Upstream.Follow(g.name, func(at broker.Position) bool { return e.open(g, at) }, func() bool {
		defer e.groups.lock(g)()
		return g.gone
	})
}

// open gives a group its position. It fails if the group has gone.
func (e *Engine) open(g *group, at broker.Position) bool {
	defer e.groups.lock(g)()
	if g.gone {
		return false
	}
	if g.sequencer.open(at) {
		e.startFilling(g)
	}
	return true
}

// nextWorker returns the worker for a new member.
func (e *Engine) nextWorker() *worker { return e.workers[int(e.turn.Add(1))%len(e.workers)] }

// over reports whether n is more than a limit allows.
func over[T int | int64](n, limit T) bool { return limit >= 0 && n > limit }

// half returns half a limit.
func half(limit int) int {
	if limit < 0 {
		return limit
	}
	return limit / 2
}

func (e *Engine) countQueued(bytes int) {
	if e.config.Queued != nil {
		e.config.Queued(bytes)
	}
}
