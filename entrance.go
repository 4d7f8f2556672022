package rohrpost

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/rohrpost/rohrpost/handlers"
	"github.com/rohrpost/rohrpost/internal/tasks"
	"github.com/rohrpost/rohrpost/internal/wire"
)

const (
	// maxAttempts is how often a connection tries to get into a group whose history
	// moves on, or breaks, while it is read.
	maxAttempts = 5

	// maxMissed is how many messages a connection is told that was away. For one that
	// has missed more it is less work to load the state.
	maxMissed = 10_000
)

// entrance is a subscribe request: the way of a connection into a group. The
// position is taken first; then, without a lock, the state is read, or what was missed
// since another position; then, in one step, the answer, what has come since that
// position and the membership are handed to the worker. Publishing never waits for any
// of it.
type entrance struct {
	conn    *Conn
	hub     *Hub
	request *Request
	want    handlers.Want

	group   *group
	arrival arrival

	base  Position // all that comes after it follows the answer
	read  []post   // of this from the history
	reply handlers.Group
}

// enter answers the request, or returns why it cannot be.
func (e *entrance) enter(ctx context.Context, name string) error {
	if err := e.arrive(ctx, name); err != nil {
		return err
	}
	defer e.depart()
	for try := range maxAttempts {
		if try > 0 {
			tasks.Pause(ctx, time.Millisecond<<(3*try))
		}
		ready, err := e.prepare(ctx)
		if err != nil {
			return err
		}
		if e.conn.settleDown(ctx); ctx.Err() != nil {
			return ctx.Err()
		}
		if ready {
			if done, err := e.finish(); done {
				return err
			}
		}
	}
	return ErrUnavailable
}

// arrive waits until the gate of the group is open.
func (e *entrance) arrive(ctx context.Context, name string) error {
	var ready chan struct{}
	fresh := e.hub.groups.with(name, func(gr *group) {
		e.group, ready = gr, gr.gate.ready
		gr.arrivals = append(gr.arrivals, &e.arrival)
	})
	if fresh != nil {
		e.hub.openGate(fresh)
	}
	if ready == nil {
		return nil
	}
	ctx, cancel := withTimeout(ctx, e.hub.config.AuthorizeTimeout)
	defer cancel()
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		e.depart()
		return ErrUnavailable
	}
}

func (e *entrance) depart() {
	if e.hub.groups.depart(e.group, &e.arrival) {
		e.hub.abandon(e.group.name)
	}
}

// begin takes the position of the group. From now on what comes is noted.
func (e *entrance) begin() {
	defer e.hub.groups.lock(e.group)()
	e.arrival = arrival{}
	e.base, e.read = e.group.gate.Position, nil
}

// prepare reads what takes time: what was missed, and the state where that is asked
// for and not all that was missed can be told. It reports whether that has worked out.
func (e *entrance) prepare(ctx context.Context) (ready bool, err error) {
	e.begin()
	e.reply = handlers.Group{Name: e.group.name}
	if e.want.Since != nil {
		recovered, err := e.recover(ctx, Position(*e.want.Since))
		if e.reply.Recovered = &recovered; err != nil || recovered {
			return recovered, err
		}
	}
	if !e.want.State {
		return true, nil
	}
	if e.reply.State, err = e.hub.state(ctx, e.conn, e.group.name); err != nil {
		return false, err
	}
	if !e.lossy() {
		return true, nil
	}
	// More has come than is noted; but the history may have it.
	before, reason := e.base, e.reply.Reason
	e.begin()
	ready, err = e.recover(ctx, before)
	e.reply.Reason = reason
	return ready, err
}

func (e *entrance) lossy() bool {
	defer e.hub.groups.lock(e.group)()
	return e.arrival.lossy
}

// recover reads what came after a position, and makes it the base. It reports
// whether the history has all of that.
func (e *entrance) recover(ctx context.Context, since Position) (bool, error) {
	if e.base.Epoch == "" {
		e.reply.Reason = handlers.ReasonOff
		return false, nil
	}
	// What the gate has not seen yet, it gets from here as well.
	from := min(since.Offset, e.base.Offset)
	p, posts, err := e.hub.history(ctx, e.group.name, from, maxMissed)
	if err != nil {
		e.hub.log.Error("reading a history", "group", e.group.name, "error", err)
		return false, ErrUnavailable
	}
	if e.reply.Reason = e.unrecoverable(since, from, p, posts); e.reply.Reason != "" {
		return false, nil
	}
	e.base, e.read = since, posts
	return true, nil
}

// unrecoverable says why not all that came after since can be told, if so.
func (e *entrance) unrecoverable(since Position, from uint64, p Position, posts []post) string {
	bytes := 0
	for i := range posts {
		bytes += len(posts[i].frame)
	}
	switch {
	case p.Epoch != since.Epoch, since.Offset > p.Offset:
		return handlers.ReasonEpoch
	case p.Offset-from > maxMissed, over(bytes, half(e.hub.config.SendQueueBytes)):
		return handlers.ReasonTooFar
	case !whole(posts, from, p.Offset):
		return handlers.ReasonTrimmed
	}
	return ""
}

// whole reports whether posts are all from one offset to another.
func whole(posts []post, after, upTo uint64) bool {
	for i := range posts {
		if posts[i].offset != after+uint64(i)+1 {
			return false
		}
	}
	return uint64(len(posts)) == upTo-after
}

// finish does all the rest in one step. It reports false if the history has moved on
// so that there would be a hole.
func (e *entrance) finish() (done bool, err error) {
	c := e.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	defer e.hub.groups.lock(e.group)()
	follows, ok := e.follows()
	if !ok {
		return false, nil
	}
	if err := c.mayJoin(e.group); err != nil {
		return true, err
	}
	f, err := e.answer(len(follows))
	if err != nil {
		return true, err
	}
	ops := make([]op, 0, len(follows)+2)
	ops = append(ops, op{kind: opDirect, conn: c, frame: f})
	for i := range follows {
		ops = append(ops, op{kind: opDirect, conn: c, frame: follows[i].frame})
	}
	for i := range ops {
		c.out.direct.Add(int64(len(ops[i].frame)))
	}
	if part, joins := c.join(e.group); joins {
		ops = append(ops, op{kind: opJoin, conn: c, part: part})
	}
	c.worker.hold(ops...) // it leaves with the other replies
	e.count()
	return true, nil
}

// count notes how it went for who has been away.
func (e *entrance) count() {
	switch counters := &e.hub.counters; {
	case e.reply.Recovered == nil:
	case *e.reply.Recovered:
		counters.recovered.Add(1)
	default:
		counters.unrecovered.Add(1)
	}
}

// follows returns the messages after the base that are for this connection alone. The
// members have had them.
func (e *entrance) follows() ([]post, bool) {
	gate := &e.group.gate
	if e.base.Epoch != gate.Epoch || gate.ready != nil {
		return nil, false
	}
	for i := range e.read { // the history may be ahead of what was delivered
		if gate.check(e.base.Epoch, e.read[i].offset) == passes {
			e.group.tell(&e.read[i])
		}
	}
	if e.reply.State == nil && (e.reply.Recovered == nil || !*e.reply.Recovered) {
		e.base = gate.Position // nothing was asked for, or nothing can be told
		return nil, true
	}
	if e.arrival.lossy {
		return nil, false
	}
	if e.base.Epoch == "" {
		return e.arrival.noted, true
	}
	var follows []post
	for _, p := range slices.Concat(e.read, e.arrival.noted) {
		next := e.base.Offset + uint64(len(follows)) + 1
		if p.offset == next && p.offset <= gate.Offset {
			follows = append(follows, p)
		}
	}
	return follows, gate.Offset >= e.base.Offset && whole(follows, e.base.Offset, gate.Offset)
}

// answer makes the answer to the request.
func (e *entrance) answer(missed int) (wire.Frame, error) {
	if e.base.Epoch != "" {
		offset := e.base.Offset
		if recovered := e.reply.Recovered; recovered != nil && *recovered {
			e.reply.Missed = &missed
			offset += uint64(missed)
		}
		e.reply.Epoch, e.reply.Offset = e.base.Epoch, &offset
	}
	data, err := json.Marshal(e.reply)
	if err != nil {
		return nil, err // the state is JSON already
	}
	return e.conn.reply(e.request, wire.Envelope{}, json.RawMessage(data))
}
