package natsbroker_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/natsbroker"
)

func publish(t *testing.T, b broker.Broker, number uint64, payloads ...string) {
	batch := broker.Batch{Source: "s", Number: number}
	for _, p := range payloads {
		batch.Messages = append(batch.Messages, broker.Message{Stream: "g", Payload: []byte(p)})
	}
	require.NoError(t, b.Publish(t.Context(), []broker.Batch{batch}))
}

func follow(t *testing.T, b broker.Broker) broker.Position {
	positions, err := b.Follow(t.Context(), []string{"g"})
	require.NoError(t, err)
	return positions[0]
}

// run runs a Broker, and returns the channel of what Run returns.
func run(t *testing.T, b broker.Broker) <-chan error {
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- b.Run(t.Context(), func() { close(ready) }, func([]broker.Message) {}) }()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	return ended
}

// TestRenew gives all streams new epochs, for all hubs.
func TestRenew(t *testing.T) {
	s := startServer(t)
	one := open(t, s, natsbroker.Config{})
	two := open(t, s, one.config)
	before := follow(t, one)
	assert.Equal(t, before, follow(t, two))
	publish(t, two, 7, "x")
	ended := run(t, two)
	require.NoError(t, one.Renew(t.Context()))
	require.ErrorContains(t, <-ended, "all groups begin anew")
	gone, err := two.Positions(t.Context(), []string{"g"})
	require.NoError(t, err)
	assert.Zero(t, gone[0])
	assert.NotEqual(t, before.Epoch, follow(t, two).Epoch)
	assert.Equal(t, follow(t, one), follow(t, two))
}

// TestLostStream begins new epochs when an operator deletes the stream in JetStream, at a
// process that listens and at one that only publishes.
func TestLostStream(t *testing.T) {
	s := startServer(t)
	one := open(t, s, natsbroker.Config{})
	two := open(t, s, one.config)
	before := follow(t, one)
	publish(t, two, 1, "x")
	ended := run(t, one)
	js, err := jetstream.New(one.nc)
	require.NoError(t, err)
	require.NoError(t, js.DeleteStream(t.Context(), one.stream(t).CachedInfo().Config.Name))
	publish(t, two, 2, "y")
	after := follow(t, one)
	assert.NotEqual(t, before.Epoch, after.Epoch)
	require.ErrorContains(t, <-ended, "all groups begin anew")
}

// TestDroppedMessages shows that a hub sees it when JetStream has dropped all messages of a
// stream: it begins in the same epoch, after what was dropped.
func TestDroppedMessages(t *testing.T) {
	b := open(t, startServer(t), natsbroker.Config{})
	before := follow(t, b)
	publish(t, b, 1, "dropped")
	require.NoError(t, b.stream(t).Purge(t.Context()))
	gone, err := b.Positions(t.Context(), []string{"g"})
	require.NoError(t, err)
	assert.Zero(t, gone[0])
	after := follow(t, b)
	assert.Equal(t, before.Epoch, after.Epoch)
	publish(t, b, 2, "new")
	h, err := b.Read(t.Context(), "g", before.Offset, 10)
	require.NoError(t, err)
	require.Len(t, h.Messages, 1)
	assert.Equal(t, after.Offset, h.Messages[0].Prev)
	assert.Greater(t, h.Messages[0].Prev, before.Offset+1, "a hole")
}

// TestMarks lets a followed stream go on whose messages grow old, and end one that no hub
// follows.
func TestMarks(t *testing.T) {
	b := open(t, startServer(t), natsbroker.Config{})
	b.SetMaxAge(2 * time.Second)
	begin := follow(t, b)
	_, err := b.Follow(t.Context(), []string{"unused"})
	require.NoError(t, err)
	require.NoError(t, b.Unfollow(t.Context(), []string{"unused"}))
	last := begin
	for range 30 { // the clock is that of the server
		time.Sleep(100 * time.Millisecond)
		positions, err := b.Positions(t.Context(), []string{"g"})
		require.NoError(t, err)
		require.Equal(t, begin.Epoch, positions[0].Epoch)
		if positions[0] != last {
			h, err := b.Read(t.Context(), "g", last.Offset, 10)
			require.NoError(t, err)
			require.Len(t, h.Messages, 1)
			assert.Empty(t, h.Messages[0].Payload)
			assert.Equal(t, last.Offset, h.Messages[0].Prev, "no hole")
			last = positions[0]
		}
	}
	assert.Greater(t, last.Offset, begin.Offset)
	positions, err := b.Positions(t.Context(), []string{"unused"})
	require.NoError(t, err)
	assert.Zero(t, positions[0])
}

// TestFullStream drops the oldest messages, and takes all that is new.
func TestFullStream(t *testing.T) {
	b := open(t, startServer(t), natsbroker.Config{MaxBytes: 1 << 20})
	follow(t, b)
	large := string(make([]byte, 64<<10))
	for n := range uint64(100) {
		publish(t, b, n+1, large)
	}
	h, err := b.Read(t.Context(), "g", 0, 1000)
	require.NoError(t, err)
	require.NotEmpty(t, h.Messages)
	assert.Less(t, len(h.Messages), 17)
	for i := range h.Messages[1:] {
		assert.Equal(t, h.Messages[i].Offset, h.Messages[i+1].Prev)
	}
}

func TestServerWithout(t *testing.T) {
	t.Run("JetStream", func(t *testing.T) {
		b := open(t, startServer(t, "--debug"), natsbroker.Config{})
		require.ErrorContains(t, b.Migrate(t.Context()), "start the server with JetStream (-js)")
	})
	t.Run("room", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "nats.conf")
		require.NoError(t, os.WriteFile(path, []byte("jetstream { max_memory_store: 1MB }"), 0o600))
		b := open(t, startServer(t, "--jetstream", "--config", path), natsbroker.Config{})
		require.ErrorContains(t, b.Migrate(t.Context()), "lower Config.MaxBytes")
	})
	t.Run("connection", func(t *testing.T) {
		s := startServer(t)
		b := open(t, s, natsbroker.Config{})
		s.Kill()
		require.Eventually(t, func() bool { return !b.nc.IsConnected() }, 20*time.Second, time.Millisecond)
		require.ErrorContains(t, b.Migrate(t.Context()), "there is no connection")
		require.ErrorContains(t, b.Signal(t.Context(), nil), "there is no connection")
		b.nc.Close()
		require.ErrorContains(t, b.Migrate(t.Context()), "connect with nats.MaxReconnects(-1)")
	})
}

// TestOldServer names the version of the server of the machine, which is too old.
func TestOldServer(t *testing.T) {
	nc, err := nats.Connect("nats://127.0.0.1:4222")
	if err != nil {
		t.Skipf("there is no NATS server at 127.0.0.1:4222: %v", err)
	}
	defer nc.Close()
	_, err = natsbroker.New(nc, natsbroker.Config{App: "shop"})
	if version := nc.ConnectedServerVersion(); version < "2.10" || version > "2.9" {
		require.ErrorContains(t, err, "the server has version "+version)
	} else {
		t.Skipf("the server at 127.0.0.1:4222 has version %s", version)
	}
}
