package redisbroker_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/enginefaults"
	"github.com/rohrpost/rohrpost/redisbroker"
)

// TestReturningMaster promotes a replica, to which one of two hubs moves, while the other one
// stays at the former master, or comes back to it after a restart. What it publishes there is
// lost when the master becomes a replica; the pages of both hubs know soon.
func TestReturningMaster(t *testing.T) {
	if testing.Short() {
		t.Skip("takes ten seconds")
	}
	for name, restarts := range map[string]bool{"stays": false, "restarts": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			former, app := startServer(t), "test-"+rand.Text()
			promoted := startServer(t, "--replicaof", "127.0.0.1", strconv.Itoa(former.port))
			awaitReplication(t, promoted, "master_link_status:up")
			var lines []*line
			r := enginefaults.Run(t, enginefaults.Config{
				Open: func() broker.Broker {
					l := &line{server: former.address()}
					lines = append(lines, l)
					return openOn(t, rueidis.ClientOption{InitAddress: []string{"redis:6379"}, ForceSingleClient: true, DialCtxFn: l.dial}, redisbroker.Config{App: app})
				},
				Fault: func(meanwhile func()) {
					command(t, promoted, "REPLICAOF", "NO", "ONE")
					lines[0].move(promoted.address())
					if restarts {
						former.Kill()
						former.Start()
					}
					meanwhile()
					command(t, former, "REPLICAOF", "127.0.0.1", strconv.Itoa(promoted.port))
					lines[1].move(promoted.address())
				},
				Pages: 40, Log: t.Output(),
			})
			assert.Less(t, r.Back, 5*time.Second)
			t.Logf("%d expected, %d delivered, %d loaded, back after %v, resyncs %v", r.Expected, r.Delivered, r.Loaded, r.Back.Round(time.Millisecond), r.Resyncs)
		})
	}
}

// TestEraEndsWhereItMust publishes to two masters in turn. The second one ends its era only if
// that has begun before the last answer of the first one.
func TestEraEndsWhereItMust(t *testing.T) {
	for name, lost := range map[string]bool{"nothing is lost": false, "something is lost": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			former, next := startServer(t), startServer(t)
			l := &line{server: former.address()}
			c := redisbroker.Config{App: "test-" + rand.Text()}
			b := openOn(t, rueidis.ClientOption{InitAddress: []string{"redis:6379"}, ForceSingleClient: true, DialCtxFn: l.dial}, c)
			publish(t, b, 1, "x")
			if !lost {
				time.Sleep(300 * time.Millisecond) // the promotion takes longer
			}
			other := open(t, next.address(), c)
			before, err := other.Follow(t.Context(), []string{"g"})
			require.NoError(t, err)
			if lost {
				publish(t, b, 2, "x")
			}
			l.move(next.address())
			require.Eventually(t, func() bool {
				_, err := b.Positions(t.Context(), []string{"g"})
				return err == nil
			}, 10*time.Second, 10*time.Millisecond)
			after, err := other.Positions(t.Context(), []string{"g"})
			require.NoError(t, err)
			if lost {
				assert.Zero(t, after[0], "the era has ended")
				before, err = other.Follow(t.Context(), []string{"g"})
				require.NoError(t, err)
			}
			publish(t, b, 3, "x")
			after, err = other.Positions(t.Context(), []string{"g"})
			require.NoError(t, err)
			assert.Equal(t, broker.Position{Epoch: before[0].Epoch, Offset: 1}, after[0], "the next one stays")
		})
	}
}

// TestTriedInAnotherEra publishes a batch again after the server, which goes on, has lost all
// keys, or the one of the era: pages have loaded their snapshots, and would get it twice.
func TestTriedInAnotherEra(t *testing.T) {
	for name, end := range map[string]func(o opened) error{
		"all keys": func(o opened) error { return o.client.Do(t.Context(), o.client.B().Flushall().Build()).Error() },
		"the era":  func(o opened) error { return o.Renew(t.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			o := open(t, startServer(t).address(), redisbroker.Config{})
			begin := func() string {
				at, err := o.Follow(t.Context(), []string{"g"})
				require.NoError(t, err)
				return at[0].Epoch
			}
			batch := func(number uint64, tried time.Time) []broker.Batch {
				return []broker.Batch{{Source: "s", Number: number, Tried: tried, Messages: []broker.Message{{Stream: "g", Payload: []byte("x")}}}}
			}
			before, tried := begin(), time.Now()
			require.NoError(t, o.Publish(t.Context(), batch(1, time.Time{}))) // suppose that the answer is lost
			require.NoError(t, end(o))
			require.NotEqual(t, before, begin())
			require.ErrorIs(t, o.Publish(t.Context(), batch(1, tried)), broker.ErrTried)
			require.NoError(t, o.Publish(t.Context(), batch(2, time.Time{})))
			require.NoError(t, o.Publish(t.Context(), batch(3, time.Now())), "it was tried in this era")
			h, err := o.Read(t.Context(), "g", 0, 10)
			require.NoError(t, err)
			assert.Len(t, h.Messages, 2)
		})
	}
}

// TestFirstAnswerIsLost lets a Broker that has published nothing yet lose an answer. It cannot
// tell whether the era in which it publishes again is the same one.
func TestFirstAnswerIsLost(t *testing.T) {
	s, l, c := startServer(t), &line{}, redisbroker.Config{App: "test-" + rand.Text()}
	l.server = s.address()
	b := openOn(t, rueidis.ClientOption{InitAddress: []string{"redis:6379"}, ForceSingleClient: true, DialCtxFn: l.dial}, c)
	o := open(t, s.address(), c)
	follow := func() {
		_, err := o.Follow(t.Context(), []string{"g"})
		require.NoError(t, err)
	}
	follow()
	publish(t, o, 1, "the server knows the script")
	batch := []broker.Batch{{Source: "other", Number: 1, Messages: []broker.Message{{Stream: "g", Payload: []byte("x")}}}}
	l.deaf.Store(true)
	tried := time.Now()
	require.Error(t, b.Publish(t.Context(), batch))
	h, err := o.Read(t.Context(), "g", 0, 10)
	require.NoError(t, err)
	taken := len(h.Messages) - 1
	require.NoError(t, o.client.Do(t.Context(), o.client.B().Flushall().Build()).Error())
	follow()
	l.deaf.Store(false)
	batch[0].Tried = tried
	require.Eventually(t, func() bool {
		err := b.Publish(t.Context(), batch)
		return err == nil || errors.Is(err, broker.ErrTried)
	}, 10*time.Second, 10*time.Millisecond)
	h, err = o.Read(t.Context(), "g", 0, 10)
	require.NoError(t, err)
	assert.Equal(t, 1, taken+len(h.Messages), "in both eras")
}

// line leads a client to one server or another one.
type line struct {
	deaf   atomic.Bool // what a server answers is lost, with the connection
	mu     sync.Mutex  // guards what follows
	server string
	conns  []net.Conn
}

func (l *line) dial(ctx context.Context, _ string, d *net.Dialer, _ *tls.Config) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	conn, err := d.DialContext(ctx, "tcp", l.server)
	if err == nil {
		l.conns = append(l.conns, conn)
	}
	return lineConn{conn, l}, err
}

type lineConn struct {
	net.Conn
	line *line
}

func (c lineConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.line.deaf.Load() {
		_ = c.Close()
		return 0, net.ErrClosed
	}
	return n, err
}

// move ends all connections, and leads new ones to a server.
func (l *line) move(server string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.server = server
	for _, conn := range l.conns {
		_ = conn.Close()
	}
	l.conns = nil
}

// command sends a command to one server.
func command(t testing.TB, s *server, words ...string) {
	_, err := ask(s, words...)
	require.NoError(t, err)
}
