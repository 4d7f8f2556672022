package rohrpost

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/rohrpost/rohrpost/brokertest"
	"github.com/rohrpost/rohrpost/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	schedules     = flag.Int("schedules", 200, "random schedules of the hub to run")
	schedulesSeed = flag.Uint64("schedules-seed", 1, "seed of the first schedule")
)

// simpleHub is a model of the hub: it uses one goroutine, and lists the messages of
// every connection.
type simpleHub struct {
	groups map[string]map[int]bool
	gets   map[int][]string
	closed map[int]int // with which code
}

func (h *simpleHub) publish(group, text string) {
	for c := range h.groups[group] {
		h.gets[c] = append(h.gets[c], text)
	}
}

func (h *simpleHub) join(c int, group string) {
	if h.groups[group] == nil {
		h.groups[group] = map[int]bool{}
	}
	h.groups[group][c] = true
}

func (h *simpleHub) end(c, code int) {
	h.closed[c] = code
	for _, members := range h.groups {
		delete(members, c)
	}
}

// TestSchedules plays random schedules of publishing, joining, leaving, sending, slow
// sockets and closing to the hub and to a simpleHub. Each connection must get the same
// messages in the same order, also behind a broker whose offsets skip. One that is too slow gets the first of them, and the
// close code of a slow consumer.
func TestSchedules(t *testing.T) {
	for i := range *schedules {
		seed := *schedulesSeed + uint64(i)
		if !t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { runSchedule(t, seed) }) {
			return
		}
	}
}

const scheduleLimit = 4000 // bytes that may wait

func runSchedule(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 0))
	config := Config{Limits: Limits{MaxSendQueueBytes: scheduleLimit, WriteTimeout: -1, MaxSendQueueAge: -1}}
	behind := seed%2 == 0 // the hub is behind a broker whose offsets skip
	if behind {
		config.Broker = brokertest.Skipping(NewMemoryBroker(HistoryLimits{}))
	}
	hub := quiet(config)
	simple := &simpleHub{groups: map[string]map[int]bool{}, gets: map[int][]string{}, closed: map[int]int{}}
	const connections = 4
	var conns []*Conn
	var sockets []*fakeSocket
	var waits []bool
	for range connections {
		wait := random.IntN(4) == 0
		c, socket := connect(t, hub, wait)
		conns, sockets, waits = append(conns, c), append(sockets, socket), append(waits, wait)
	}
	slowed := map[int]bool{}
	group := func() string { return fmt.Sprint("g-", random.IntN(3)) }
	number := 0
	text := func() string {
		number++
		return fmt.Sprintf(`{"n":%d,"x":"%s"}`, number, strings.Repeat("x", random.IntN(300)))
	}
	for range 20 + random.IntN(120) {
		c := random.IntN(connections)
		_, gone := simple.closed[c]
		switch roll := random.IntN(100); {
		case roll < 40:
			g, m := group(), text()
			if behind {
				require.NoError(t, hub.Publish(t.Context(), Change{Group: g, Type: Create, Object: json.RawMessage(m)}))
				settle(t, hub)
			} else {
				require.NoError(t, hub.SendRaw(g, []byte(m)))
			}
			simple.publish(g, m)
		case roll < 45:
			m := text()
			if err := conns[c].pushFrame(wire.TextFrame([]byte(m))); err == nil && !gone {
				simple.gets[c] = append(simple.gets[c], m)
			}
		case roll < 65 && !gone:
			g := group()
			if err := conns[c].Join(g); err == nil {
				simple.join(c, g)
			}
			settle(t, hub)
		case roll < 75:
			g := group()
			conns[c].Leave(g)
			delete(simple.groups[g], c)
		case roll < 85:
			sockets[c].setRoom(random.IntN(500))
			slowed[c] = true
		case roll < 92:
			sockets[c].setRoom(-1)
		case roll < 94 && !gone:
			require.NoError(t, conns[c].Close(4321, ""))
			simple.end(c, 4321)
		case roll < 97:
			idle(hub)
		}
	}
	for _, socket := range sockets {
		socket.setRoom(-1)
	}
	quietNow(t, hub, conns)
	slow := 0
	for c := range conns {
		got, code := sockets[c].frames(t)
		want := simple.gets[c]
		maySlow := slowed[c] || waits[c]
		if code == wire.CloseSlowConsumer {
			slow++
			assert.True(t, maySlow, "only a slow connection is closed")
		} else {
			assert.Equal(t, simple.closed[c], code)
		}
		if code != 0 && maySlow && len(got) < len(want) {
			want = want[:len(got)] // too slow, before or while it was being closed
		}
		require.Equal(t, numbers(want), numbers(got), "connection %d", c)
	}
	assert.EqualValues(t, slow, hub.Stats().SlowConsumers)
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	_ = hub.Shutdown(ctx) // no client answers the close frame
	require.Zero(t, hub.Stats().Memberships)
}

// numbers are those of the messages, which are long.
func numbers(messages []string) (numbers []int) {
	for _, m := range messages {
		var message struct {
			N    int
			Data struct{ Object struct{ N int } }
		}
		if json.Unmarshal([]byte(m), &message) != nil {
			message.N = -1
		}
		numbers = append(numbers, max(message.N, message.Data.Object.N))
	}
	return numbers
}

// settle waits until the broker has taken and delivered everything.
func settle(t *testing.T, hub *Hub) {
	require.NoError(t, hub.Flush(t.Context()))
	for !hub.engine.Settled() || hub.config.Broker != nil && !caughtUp(t, hub) {
		runtime.Gosched()
	}
}

// caughtUp reports whether the groups are where their streams are.
func caughtUp(t *testing.T, hub *Hub) bool {
	for group, at := range hub.engine.Positions() {
		positions, err := hub.config.Broker.Positions(t.Context(), []string{group})
		require.NoError(t, err)
		if positions[0] != at {
			return false
		}
	}
	return true
}

// idle waits until the workers are idle.
func idle(hub *Hub) {
	_ = hub.engine.Wait(context.Background())
}
