package rohrpost

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/rohrpost/rohrpost/internal/access"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var revocations = flag.Int("revocations", 200, "random schedules of revoking to run")

// span is a stretch of what a socket has taken in which no frame of a group may begin.
type span struct {
	group string
	from  int
	to    int // -1: the end
}

// TestRevokeSchedules plays random schedules of publishing, joining and revoking on slow
// sockets. From the return of Revoke until the next Join no frame of the group begins, and
// all frames are whole.
func TestRevokeSchedules(t *testing.T) {
	for seed := range *revocations {
		if !t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { runRevocations(t, uint64(seed)) }) {
			return
		}
	}
}

func runRevocations(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 1))
	hub := quiet(Config{Limits: Limits{WriteTimeout: -1, MaxSendQueueAge: -1, MaxSendQueueBytes: -1}})
	const connections, groups = 3, 3
	var conns []*Conn
	var sockets []*fakeSocket
	spans := make([][]span, connections)
	for i := range connections {
		c, socket := connect(t, hub, random.IntN(2) == 0)
		conns, sockets = append(conns, c), append(sockets, socket)
		for g := range groups {
			require.NoError(t, c.Join(fmt.Sprint("g-", g)))
		}
		_ = i
	}
	for n := range 10 + random.IntN(60) {
		c, group := random.IntN(connections), fmt.Sprint("g-", random.IntN(groups))
		switch roll := random.IntN(100); {
		case roll < 60:
			for range 1 + random.IntN(6) {
				payload := fmt.Sprintf(`{"group":"%s","n":%d,"x":"%s"}`, group, n, strings.Repeat("x", random.IntN(2000)))
				require.NoError(t, hub.SendRaw(group, []byte(payload)))
			}
		case roll < 75:
			sockets[c].setRoom(random.IntN(2000))
		case roll < 80:
			sockets[c].setRoom(-1)
		case roll < 92:
			wait := (*subject)(conns[c]).EndMemberships(access.Exactly(group))
			done := make(chan struct{})
			go func() { defer close(done); assert.NoError(t, wait(context.Background())) }()
			for waiting := true; waiting; {
				select { // a write under way is awaited, and what waits behind it is not let through
				case <-done:
					waiting = false
				case <-time.After(time.Millisecond):
					sockets[c].setRoom(random.IntN(4000))
				}
			}
			spans[c] = append(spans[c], span{group, sockets[c].position(), -1})
		default:
			for i := range spans[c] {
				if s := &spans[c][i]; s.group == group && s.to < 0 {
					s.to = sockets[c].position()
				}
			}
			require.NoError(t, conns[c].Join(group))
		}
	}
	for _, socket := range sockets {
		socket.setRoom(-1)
	}
	quietNow(t, hub, conns)
	for c, socket := range sockets {
		messages, _ := socket.frames(t)
		at := 0
		for _, m := range messages {
			var frame struct{ Group string }
			require.NoError(t, json.Unmarshal([]byte(m), &frame))
			for _, s := range spans[c] {
				if s.group == frame.Group && at >= s.from && (s.to < 0 || at < s.to) {
					require.Fail(t, "a frame of a revoked group", "connection %d at %d in %+v", c, at, s)
				}
			}
			header := 2
			if len(m) > 125 {
				header = 4
			}
			at += header + len(m)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	_ = hub.Shutdown(ctx)
}

// position is how much the socket has taken.
func (s *fakeSocket) position() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.taken)
}
