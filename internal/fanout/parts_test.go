package fanout

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// recorder is a socket that takes everything.
type recorder struct {
	net.Conn
	taken bytes.Buffer
}

func (r *recorder) Write(p []byte) (int, error)    { return r.taken.Write(p) }
func (*recorder) SetWriteDeadline(time.Time) error { return nil }
func (*recorder) Close() error                     { return nil }

// emptyHistory is an upstream whose groups have a history without messages.
type emptyHistory struct{ fakeUpstream }

var beginning = broker.Position{Epoch: "e"}

func (emptyHistory) Follow(_ string, open func(broker.Position) bool, _ func() bool) {
	open(beginning)
}

func (emptyHistory) History(context.Context, string, uint64, int) (broker.History, error) {
	return broker.History{Position: beginning}, nil
}

// renewable is a decision that ceases to hold, and admits again.
type renewable struct{ lapsed atomic.Bool }

func (r *renewable) Decide(context.Context) error { r.lapsed.Store(false); return nil }
func (r *renewable) Holds() bool                  { return !r.lapsed.Load() }
func (*renewable) MayResume(broker.Position) bool { return true }
func (r *renewable) Admit(broker.Position) bool   { return r.Holds() }
func (r *renewable) revoke(m *Member) (wait func(context.Context) error) {
	r.lapsed.Store(true)
	return m.Revoke(func(string) bool { return true }, func(string) wire.Frame { return nil })
}

// A revocation takes back a part that waits to be written. If the member is admitted again,
// it gets all parts anew: the last one alone would be a snapshot with a hole.
func TestRevokeTakesBackAPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, socket, permit := newTestEngine(t, 1), &recorder{}, &renewable{}
		e.config.Upstream, e.config.MaxSendQueueBytes = emptyHistory{}, 20
		var m Member
		e.Init(&m, socket, nil, fakeOwner{})
		busy := make(chan struct{})
		m.worker.submit(op{kind: opCall, call: func() { <-busy }})
		done := make(chan error)
		go func() {
			done <- m.Subscribe(t.Context(), Subscription{
				Group: "g", Permit: permit, Timeout: time.Second,
				Snapshot: func(context.Context, broker.Position, func(broker.Position) bool) (Snapshot, error) {
					return Snapshot{Position: beginning, Parts: []json.RawMessage{[]byte("[111111]"), []byte("[222222]")}}, nil
				},
				Answer: func(o *Outcome) (wire.Frame, error) { return wire.Frame(o.Snapshot), nil },
			})()
		}()
		synctest.Wait() // the second part waits for the first one, and that for the worker
		wait := permit.revoke(&m)
		close(busy)
		require.NoError(t, wait(t.Context()))
		require.NoError(t, <-done)
		m.Wake()
		synctest.Wait()
		assert.Equal(t, "[111111][222222]", socket.taken.String())
		m.Close()
	})
}
