package natsbroker_test

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/brokertest"
	"github.com/rohrpost/rohrpost/natsbroker"
)

// opened is a Broker of a test.
type opened struct {
	*natsbroker.Broker
	nc     *nats.Conn
	config natsbroker.Config
	server *server
}

func open(t testing.TB, s *server, c natsbroker.Config) opened {
	if c.App == "" {
		c.App = "test." + rand.Text()
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 32 << 20
	}
	nc := connect(t, s.address())
	b, err := natsbroker.New(nc, c)
	require.NoError(t, err)
	return opened{b, nc, c, s}
}

func (o opened) stream(t testing.TB) jetstream.Stream {
	js, err := jetstream.New(o.nc)
	require.NoError(t, err)
	names := js.StreamNames(t.Context())
	for name := range names.Name() {
		if stream, err := js.Stream(t.Context(), name); err == nil && stream.CachedInfo().Config.Metadata["rohrpost-token"] != "" {
			return stream
		}
	}
	t.Fatal("there is no stream")
	return nil
}

// patience is that of clauses while other tests take all processors.
const patience = 10 * time.Second

func TestContract(t *testing.T) {
	t.Parallel()
	for name, files := range map[string]bool{"memory": false, "files": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t)
			brokertest.Run(t, brokertest.Config{
				Open: func(t *testing.T) broker.Broker {
					o := open(t, s, natsbroker.Config{Files: files})
					t.Cleanup(func() {
						ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
						defer cancel()
						js, err := jetstream.New(o.nc)
						require.NoError(t, err)
						for name := range js.StreamNames(ctx).Name() {
							_ = js.DeleteStream(ctx, name)
						}
					})
					return o
				},
				Peer: func(t *testing.T, b broker.Broker) broker.Broker { return open(t, s, b.(opened).config) },
				Restore: func(t *testing.T, b broker.Broker, meanwhile func()) {
					connected := func() { require.Eventually(t, b.(opened).nc.IsConnected, 20*time.Second, 10*time.Millisecond) }
					s.Restore(func() { connected(); meanwhile() })
					connected()
				},
				Patience: patience,
			})
		})
	}
}

// TestLongHistory reads more than one request reads.
func TestLongHistory(t *testing.T) {
	t.Parallel()
	o := open(t, startServer(t), natsbroker.Config{MaxMessages: -1})
	at := follow(t, o).Offset
	for n := range uint64(3) {
		publish(t, o, n+1, make([]string, 999)...)
	}
	for after, want := range map[uint64]int{0: 2997, at: 2997, at + 1000: 1998} { // a number follows each batch
		h, err := o.Read(t.Context(), "g", after, 5000)
		require.NoError(t, err)
		require.Len(t, h.Messages, want)
		prev := h.Messages[0].Prev
		for _, m := range h.Messages {
			require.Equal(t, prev, m.Prev)
			prev = m.Offset
		}
		assert.Equal(t, h.Position.Offset, prev)
	}
}

func TestConfig(t *testing.T) {
	for name, c := range map[string]natsbroker.Config{
		`Config.App is ""`:     {},
		`Config.App is "a b"`:  {App: "a b"},
		"Config.MaxAge is 1m":  {App: "a", MaxAge: time.Minute},
		"the connection is ni": {App: "a"},
	} {
		_, err := natsbroker.New(nil, c)
		assert.ErrorContains(t, err, name)
	}
}
