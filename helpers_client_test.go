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

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// client does what a client must do: it keeps its positions, and loads the snapshot
// after a resync. It checks every message against its position.
type client struct {
	t      *testing.T
	name   int
	conn   *Conn
	socket *fakeSocket
	views  map[string]*view
	asked  string // the group of the request without an answer so far

	whole func(group string, since Position) bool // the history has all messages after since
	could bool                                    // whole was true for the request
}

// view is a group from the view of a client.
type view struct {
	at    Position
	has   map[int]bool // the objects that the client knows
	stale bool         // the client must load the snapshot
	since *Position    // the position from which the client has resumed
	due   uint64       // the answer has announced all messages up to this offset
	left  uint64       // of these, how many have yet to come
	jump  bool         // a resync has announced missing messages
}

type clientMessage struct {
	Type  string
	Error string
	Data  struct {
		Type, Group, Epoch, Reason string
		Offset                     uint64
		Prev                       *uint64
		Object                     struct{ N int }
		Recovered                  *bool
		Missed                     *uint64
		Snapshot                   []int
	}
}

// bareConn returns a connection without a reader.
func bareConn(hub *Hub) (*Conn, *fakeSocket) {
	near, far := net.Pipe()
	_ = near.Close()
	socket := &fakeSocket{Conn: far, room: -1}
	socket.changed.L = &socket.mu
	c := newConn(hub, newSocket(socket, &hub.buffers, hub.portable), newCredentials(Identity{}, tokenHash{}))
	c.timer = time.NewTimer(math.MaxInt64)
	return c, socket
}

func (c *client) connect(hub *Hub) {
	c.conn, c.socket = bareConn(hub)
	c.conn.ctx = context.WithValue(c.conn.ctx, inRequest{}, true)
}

func (c *client) disconnect() {
	_ = c.socket.Close()
	c.conn.member.Abort()
}

// subscribe subscribes to a group, from the position of the client if it has one.
func (c *client) subscribe(group string, snapshot bool) {
	data := map[string]any{"group": group}
	v := c.views[group]
	if v == nil {
		v = &view{stale: true}
		c.views[group] = v
	}
	v.since = nil
	if v.at.Epoch != "" && !v.stale {
		since := v.at
		v.since, data["since"] = &since, since
		c.could = c.whole(group, since)
	}
	if snapshot || v.since == nil {
		data["snapshot"] = true
	}
	raw, err := json.Marshal(map[string]any{"id": 1, "type": "subscribe", "data": data})
	require.NoError(c.t, err)
	received, err := wire.DecodeRequest(raw, 64)
	r := newRequest(received, raw)
	require.NoError(c.t, err)
	c.asked = group
	c.conn.handle(c.conn.hub.handler("subscribe"), r)
	c.conn.member.Wake() // as dispatch would
	c.conn.tasks.Wait()  // a snapshot is read beside the queue
}

// receive reads the messages that have come.
func (c *client) receive() {
	for _, text := range c.socket.received(c.t) {
		var m clientMessage
		require.NoError(c.t, json.Unmarshal([]byte(text), &m))
		if m.Type == "subscribe" {
			require.Empty(c.t, m.Error, "client %d", c.name)
			c.answered(&m)
		} else if v := c.views[m.Data.Group]; v != nil {
			v.change(c.t, &m)
		}
	}
}

func (c *client) answered(m *clientMessage) {
	group := m.Data.Group
	require.Equal(c.t, c.asked, group)
	c.asked = ""
	v := c.views[group]
	require.NotEmpty(c.t, m.Data.Epoch)
	now := Position{Epoch: m.Data.Epoch, Offset: m.Data.Offset}
	if m.Data.Recovered != nil && *m.Data.Recovered {
		require.NotNil(c.t, v.since)
		require.Equal(c.t, v.since.Epoch, now.Epoch, "the history of a recovered group must be the same")
		require.Nil(c.t, m.Data.Snapshot)
		if v.at, v.due, v.left = *v.since, now.Offset, *m.Data.Missed; v.left == 0 {
			v.at = now
		}
		return
	}
	require.Equal(c.t, v.since != nil, m.Data.Recovered != nil)
	missedOrder := m.Data.Reason == wire.ReasonResync // the broker has restarted, and lost the orders too
	if v.since != nil && c.could && c.whole(group, *v.since) && !missedOrder {
		require.Fail(c.t, "the history has all messages", m.Data.Reason)
	}
	*v = view{at: now, stale: m.Data.Snapshot == nil, has: maps.Clone(v.has), due: now.Offset}
	if !v.stale {
		v.has = map[int]bool{}
		for _, n := range m.Data.Snapshot {
			v.has[n] = true
		}
	}
}

// change handles a message of the group.
func (v *view) change(t *testing.T, m *clientMessage) {
	d := &m.Data
	switch {
	case d.Epoch != "": // a resync to a new position
		require.Equal(t, Resync, d.Type)
		require.GreaterOrEqual(t, v.at.Offset, v.due, "the announced messages are missing")
		require.Zero(t, v.left)
		*v = view{at: Position{Epoch: d.Epoch, Offset: d.Offset}, stale: true, has: v.has, since: v.since, due: d.Offset}
		return
	case d.Offset == 0:
		require.Equal(t, Resync, d.Type)
		v.jump, v.stale = true, true
		return
	case !v.jump:
		prev := d.Offset - 1
		if d.Prev != nil {
			prev = *d.Prev
			require.NotEqual(t, d.Offset-1, prev, "it is left out where it is the next lower number")
		}
		require.LessOrEqual(t, prev, v.at.Offset, "the next message of the epoch")
	}
	require.Greater(t, d.Offset, v.at.Offset)
	v.at.Offset, v.jump = d.Offset, false
	if v.left > 0 {
		v.left--
		require.Equal(t, v.left == 0, d.Offset == v.due, "the answer has announced this message")
	}
	if d.Type == Resync {
		v.stale = true
		return
	}
	if v.has != nil {
		v.has[d.Object.N] = true
	}
}

// check compares the client with the truth.
func (c *client) check(group string, truth map[int]bool, rest broker.History) {
	v := c.views[group]
	assert.Equal(c.t, rest.Position.Epoch, v.at.Epoch)
	for _, m := range rest.Messages {
		assert.Empty(c.t, m.Payload, fmt.Sprintf("client %d is at the end of %s", c.name, group))
	}
	assert.Equal(c.t, truth, v.has, fmt.Sprintf("client %d has all objects of %s", c.name, group))
}
