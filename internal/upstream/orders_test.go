package upstream

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// answerTime is how long an answer of a playedBroker is under way.
const answerTime = 10 * time.Millisecond

// playedBroker keeps orders. A test plays its calls of Run, one after the other.
type playedBroker struct {
	broker.Broker
	runs     chan func(ready func(), deliver func([]broker.Message))
	followed func() // is called before Follow returns the position of the orders; nil: nothing

	mu     sync.Mutex
	orders []broker.Message
	held   chan struct{} // the answers of Read wait for it
}

// order takes an order of another hub.
func (b *playedBroker) order(kind string) []broker.Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	prev := uint64(len(b.orders))
	b.orders = append(b.orders, played(orderStream, prev+1, `{"kind":"`+kind+`"}`))
	return b.orders[prev:]
}

// played is the only message of a stream, or one of the orders.
func played(stream string, offset uint64, json string) broker.Message {
	return broker.Message{
		Stream: stream, Payload: append([]byte{versionPlain}, json...),
		Position: broker.Position{Epoch: "e", Offset: offset}, Prev: offset - 1,
	}
}

// hold lets the answers of Read wait until release is called.
func (b *playedBroker) hold() (release func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	held := make(chan struct{})
	b.held = held
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.held = nil
		close(held)
	}
}

func (b *playedBroker) Run(ctx context.Context, ready func(), deliver func([]broker.Message)) error {
	select {
	case run := <-b.runs:
		run(ready, deliver)
		return errors.New("the connection has ended")
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *playedBroker) Follow(ctx context.Context, streams []string) ([]broker.Position, error) {
	at, err := b.Positions(ctx, streams)
	if b.followed != nil && slices.Contains(streams, orderStream) {
		b.followed()
	}
	return at, err
}

func (b *playedBroker) Positions(_ context.Context, streams []string) ([]broker.Position, error) {
	defer time.Sleep(answerTime)
	b.mu.Lock()
	defer b.mu.Unlock()
	at := make([]broker.Position, len(streams))
	for i, s := range streams {
		if at[i].Epoch = "e"; s == orderStream {
			at[i].Offset = uint64(len(b.orders))
		}
	}
	return at, nil
}

func (b *playedBroker) Read(ctx context.Context, _ string, after uint64, _ int) (broker.History, error) {
	b.mu.Lock()
	h := broker.History{Position: broker.Position{Epoch: "e", Offset: uint64(len(b.orders))}, Messages: b.orders[after:]}
	held := b.held
	b.mu.Unlock()
	time.Sleep(answerTime)
	return h, wait(ctx, held)
}

// noted is a Receiver that notes what it is to do.
type noted struct {
	fakeReceiver
	mu    sync.Mutex
	lines []string
}

func (n *noted) note(line string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, line)
}

func (n *noted) noted() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.lines
}

func (n *noted) Deliver(batch []broker.Message) {
	for i := range batch {
		n.note("deliver " + batch[i].Stream)
	}
}

func (n *noted) Obey(_ context.Context, o Order)       { n.note("obey " + o.Kind) }
func (n *noted) Recheck(context.Context)               { n.note("recheck") }
func (n *noted) Start()                                {}
func (n *noted) Check(*broker.Message) error           { return nil }
func (n *noted) Remember(Order)                        {}
func (n *noted) Stale(bool)                            {}
func (n *noted) Positions() map[string]broker.Position { return nil }

// follow lets a hub follow a group, and returns what its Receiver notes.
func (b *playedBroker) follow(t *testing.T) *noted {
	r, n := newTestRemote(t, b), &noted{}
	t.Cleanup(r.Tasks.Cancel)
	r.Receiver = n
	r.Follow("g", func(broker.Position) bool { return true }, func() bool { return false })
	synctest.Wait()
	return n
}

// TestOrdersWhileNothingListens gives an order after Run has ended: while the hub still reads
// those from before that, and before the next Run, which delivers a message at once.
func TestOrdersWhileNothingListens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &playedBroker{runs: make(chan func(func(), func([]broker.Message)))}
		got := b.follow(t)
		time.Sleep(time.Second) // it has read
		release := b.hold()
		b.runs <- func(ready func(), _ func([]broker.Message)) { ready() }
		synctest.Wait()
		release()
		time.Sleep(10 * answerTime) // positions are compared too
		b.order(OrderRevoke)
		b.runs <- func(ready func(), deliver func([]broker.Message)) {
			deliver([]broker.Message{played("g", 1, "{}")}) // perhaps to a member that was revoked
			ready()
			time.Sleep(time.Second)
			deliver([]broker.Message{played("h", 1, "{}")})
			time.Sleep(time.Second)
		}
		time.Sleep(3 * time.Second)
		assert.Equal(t, []string{"obey revoke", "deliver h"}, got.noted())
	})
}

// TestOrdersWhileFollowIsUnderWay gives an order after the position that Follow returns, and
// before the hub knows that: nothing is delivered before it is obeyed.
func TestOrdersWhileFollowIsUnderWay(t *testing.T) {
	type run = func(ready func(), deliver func([]broker.Message))
	goOn := func(deliver func([]broker.Message)) {
		for range 1000 {
			deliver([]broker.Message{played("h", 1, "{}")})
			time.Sleep(time.Millisecond)
		}
	}
	for name, play := range map[string]func(b *playedBroker) []run{
		"it is delivered": func(b *playedBroker) []run {
			return []run{func(_ func(), deliver func([]broker.Message)) {
				deliver(b.order(OrderRevoke))
				goOn(deliver)
			}}
		},
		"it comes before Run listens": func(b *playedBroker) []run {
			return []run{func(ready func(), deliver func([]broker.Message)) {
				b.order(OrderRevoke)
				ready()
				goOn(deliver)
			}}
		},
		"it comes between two calls of Run": func(b *playedBroker) []run {
			return []run{
				func(func(), func([]broker.Message)) { b.order(OrderRevoke) },
				func(ready func(), deliver func([]broker.Message)) { ready(); goOn(deliver) },
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &playedBroker{runs: make(chan run)}
				b.followed = func() {
					for _, r := range play(b) {
						b.runs <- r
					}
					time.Sleep(answerTime)
				}
				got := b.follow(t)
				time.Sleep(500 * time.Millisecond) // less than until the next check of positions
				lines := got.noted()
				require.NotEmpty(t, lines)
				assert.Equal(t, "obey revoke", lines[0])
				assert.Contains(t, lines, "deliver h")
			})
		})
	}
}
