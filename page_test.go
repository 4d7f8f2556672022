package rohrpost

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net"
	"testing"
	"time"

	"github.com/rohrpost/rohrpost/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// page is what a page must do: keep its positions, and load the state where it is
// told to. It holds every message against what a position promises.
type page struct {
	t      *testing.T
	name   int
	conn   *Conn
	socket *fakeSocket
	views  map[string]*view
	asked  string // the group of the request that is not answered

	whole func(group string, since Position) bool // the history has all after it
	could bool                                    // it had when the page asked
}

// view is a group as the page sees it.
type view struct {
	at    Position
	has   map[int]bool // what it knows of
	stale bool         // it has been told to load the state
	since *Position    // it has asked for what came after
	due   uint64       // all up to this offset has been promised
	jump  bool         // something was left out, and it was told so
}

type pageMessage struct {
	Type  string
	Error string
	Data  struct {
		Type, Group, Epoch, Reason string
		Offset                     uint64
		Object                     struct{ N int }
		Recovered                  *bool
		Missed                     *uint64
		State                      []int `json:"snapshot"`
	}
}

// bareConn is a connection that nobody reads from.
func bareConn(hub *Hub) (*Conn, *fakeSocket) {
	near, far := net.Pipe()
	_ = near.Close()
	socket := &fakeSocket{Conn: far, room: -1}
	socket.changed.L = &socket.mu
	c := newConn(hub, nil, hub.newNetConn(socket), Identity{})
	c.timer = time.NewTimer(math.MaxInt64)
	return c, socket
}

func (p *page) connect(hub *Hub) {
	p.conn, p.socket = bareConn(hub)
	p.conn.ctx = context.WithValue(p.conn.ctx, inRequest{}, true)
}

func (p *page) cut() {
	_ = p.socket.Close()
	p.conn.member.Abort()
}

// subscribe asks for a group, from where the page is if it can.
func (p *page) subscribe(group string, state bool) {
	data := map[string]any{"group": group}
	v := p.views[group]
	if v == nil {
		v = &view{stale: true}
		p.views[group] = v
	}
	v.since = nil
	if v.at.Epoch != "" && !v.stale {
		since := v.at
		v.since, data["since"] = &since, since
		p.could = p.whole(group, since)
	}
	if state || v.since == nil {
		data["snapshot"] = true
	}
	raw, err := json.Marshal(map[string]any{"id": 1, "type": "subscribe", "data": data})
	require.NoError(p.t, err)
	received, err := wire.DecodeRequest(raw, 64)
	r := newRequest(received, raw)
	require.NoError(p.t, err)
	p.asked = group
	p.conn.handle(p.conn.hub.handler("subscribe"), r)
	p.conn.member.Wake() // as dispatch would
	p.conn.tasks.Wait()  // a snapshot is read beside the queue
}

// receive takes what has come.
func (p *page) receive() {
	for _, text := range p.socket.received(p.t) {
		var m pageMessage
		require.NoError(p.t, json.Unmarshal([]byte(text), &m))
		if m.Type == "subscribe" {
			require.Empty(p.t, m.Error, "page %d", p.name)
			p.answered(&m)
		} else if v := p.views[m.Data.Group]; v != nil {
			v.change(p.t, &m)
		}
	}
}

func (p *page) answered(m *pageMessage) {
	group := m.Data.Group
	require.Equal(p.t, p.asked, group)
	p.asked = ""
	v := p.views[group]
	require.NotEmpty(p.t, m.Data.Epoch)
	now := Position{Epoch: m.Data.Epoch, Offset: m.Data.Offset}
	if m.Data.Recovered != nil && *m.Data.Recovered {
		require.NotNil(p.t, v.since)
		require.Equal(p.t, v.since.Epoch, now.Epoch, "recovered, but the history is another one")
		require.Equal(p.t, v.since.Offset+*m.Data.Missed, now.Offset)
		require.Nil(p.t, m.Data.State)
		v.at, v.due = *v.since, now.Offset
		return
	}
	require.Equal(p.t, v.since != nil, m.Data.Recovered != nil)
	if v.since != nil && p.could && p.whole(group, *v.since) {
		require.Fail(p.t, "nothing is missing", m.Data.Reason)
	}
	*v = view{at: now, stale: m.Data.State == nil, has: maps.Clone(v.has), due: now.Offset}
	if !v.stale {
		v.has = map[int]bool{}
		for _, n := range m.Data.State {
			v.has[n] = true
		}
	}
}

// change takes a message of the group.
func (v *view) change(t *testing.T, m *pageMessage) {
	d := &m.Data
	switch {
	case d.Epoch != "": // a new beginning, and it says so
		require.Equal(t, Resync, d.Type)
		require.GreaterOrEqual(t, v.at.Offset, v.due, "what was promised has not come")
		*v = view{at: Position{Epoch: d.Epoch, Offset: d.Offset}, stale: true, has: v.has, since: v.since, due: d.Offset}
		return
	case d.Offset == 0:
		require.Equal(t, Resync, d.Type)
		v.jump, v.stale = true, true
		return
	case v.jump:
		require.Greater(t, d.Offset, v.at.Offset)
	case d.Offset != v.at.Offset+1:
		require.Equal(t, v.at.Offset+1, d.Offset, "the next message of the epoch")
	}
	v.at.Offset, v.jump = d.Offset, false
	if d.Type == Resync {
		v.stale = true
		return
	}
	if v.has != nil {
		v.has[d.Object.N] = true
	}
}

// holds compares the page with the truth.
func (p *page) holds(group string, truth map[int]bool, at Position) {
	v := p.views[group]
	assert.Equal(p.t, at, v.at, fmt.Sprintf("page %d has come to the end of %s", p.name, group))
	assert.Equal(p.t, truth, v.has, fmt.Sprintf("page %d knows all of %s", p.name, group))
}
