package redisbroker_test

import (
	"context"
	"crypto/rand"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/brokertest"
	"github.com/rohrpost/rohrpost/redisbroker"
)

// opened is a Broker of a test.
type opened struct {
	*redisbroker.Broker
	client rueidis.Client
	config redisbroker.Config
}

func open(t testing.TB, address string, c redisbroker.Config) opened {
	if c.App == "" {
		c.App = "test-" + rand.Text()
	}
	client := connect(t, address)
	b, err := redisbroker.New(client, c)
	require.NoError(t, err)
	t.Cleanup(func() { dropKeys(t, client, c.App) })
	return opened{b, client, c}
}

// dropKeys deletes the keys of an application, as far as the server is there.
func dropKeys(_ testing.TB, client rueidis.Client, app string) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	keys, _ := client.Do(ctx, client.B().Keys().Pattern("{rohrpost:"+app+"}:*").Build()).AsStrSlice()
	if len(keys) > 0 {
		_ = client.Do(ctx, client.B().Del().Key(keys...).Build()).Error()
	}
}

func TestContract(t *testing.T) {
	for name, c := range map[string]redisbroker.Config{"pub/sub": {}, "sharded pub/sub": {ShardedPubSub: true}} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t)
			brokertest.Run(t, brokertest.Config{
				Open: func(t *testing.T) broker.Broker { return open(t, s.address(), c) },
				Peer: func(t *testing.T, b broker.Broker) broker.Broker { return open(t, s.address(), b.(opened).config) },
				EndStream: func(t *testing.T, b broker.Broker, stream string) {
					client := b.(opened).client // a stream ends when Redis drops its key
					key := "{rohrpost:" + b.(opened).config.App + "}:m:" + stream
					require.NoError(t, client.Do(t.Context(), client.B().Del().Key(key).Build()).Error())
				},
				Restore: func(_ *testing.T, b broker.Broker, meanwhile func()) { s.restore(b.(opened).client, meanwhile) },
			})
		})
	}
}

// TestService runs the contract on the server that the environment names.
func TestService(t *testing.T) {
	address := service(t)
	brokertest.Run(t, brokertest.Config{
		Open: func(t *testing.T) broker.Broker { return open(t, address, redisbroker.Config{}) },
		Peer: func(t *testing.T, b broker.Broker) broker.Broker { return open(t, address, b.(opened).config) },
	})
}

func TestConfig(t *testing.T) {
	for name, c := range map[string]redisbroker.Config{
		`Config.App is ""`:        {},
		`Config.App is "a b"`:     {App: "a b"},
		"Config.KeepUnused is 1s": {App: "a", KeepUnused: time.Second},
	} {
		_, err := redisbroker.New(nil, c)
		assert.ErrorContains(t, err, name)
	}
}

func publish(t *testing.T, b broker.Broker, number uint64, payloads ...string) {
	batch := broker.Batch{Source: "s", Number: number}
	for _, p := range payloads {
		batch.Messages = append(batch.Messages, broker.Message{Stream: "g", Payload: []byte(p)})
	}
	require.NoError(t, b.Publish(t.Context(), []broker.Batch{batch}))
}

func TestLimits(t *testing.T) {
	s := startServer(t)
	t.Run("messages", func(t *testing.T) {
		b := open(t, s.address(), redisbroker.Config{MaxMessages: 200})
		_, err := b.Follow(t.Context(), []string{"g"})
		require.NoError(t, err)
		for n := range uint64(1000) {
			publish(t, b, n+1, "x")
		}
		h, err := b.Read(t.Context(), "g", 0, 2000)
		require.NoError(t, err)
		assert.EqualValues(t, 1000, h.Position.Offset)
		assert.GreaterOrEqual(t, len(h.Messages), 200)
		assert.LessOrEqual(t, len(h.Messages), 300)
	})
	t.Run("bytes", func(t *testing.T) {
		b := open(t, s.address(), redisbroker.Config{MaxBytes: 1 << 20})
		_, err := b.Follow(t.Context(), []string{"g"})
		require.NoError(t, err)
		large := string(make([]byte, 64<<10))
		for n := range uint64(300) {
			publish(t, b, n+1, large)
		}
		h, err := b.Read(t.Context(), "g", 0, 2000)
		require.NoError(t, err)
		assert.GreaterOrEqual(t, len(h.Messages), 15)
		assert.LessOrEqual(t, len(h.Messages), 120, "Redis drops messages by the hundred")
	})
	t.Run("age", func(t *testing.T) {
		b := open(t, s.address(), redisbroker.Config{MaxAge: 300 * time.Millisecond})
		_, err := b.Follow(t.Context(), []string{"g"})
		require.NoError(t, err)
		for n := range uint64(12) {
			publish(t, b, n+1, "x")
			time.Sleep(110 * time.Millisecond) // the clock is that of the server
		}
		h, err := b.Read(t.Context(), "g", 0, 100)
		require.NoError(t, err)
		require.NotEmpty(t, h.Messages)
		assert.Greater(t, h.Messages[0].Offset, uint64(1), "the oldest are dropped")
		assert.LessOrEqual(t, h.Messages[0].Offset, uint64(11))
	})
}

// TestRenew gives all streams new epochs.
func TestRenew(t *testing.T) {
	b := open(t, startServer(t).address(), redisbroker.Config{})
	before, err := b.Follow(t.Context(), []string{"g"})
	require.NoError(t, err)
	require.NoError(t, b.Renew(t.Context()))
	gone, err := b.Positions(t.Context(), []string{"g"})
	require.NoError(t, err)
	assert.Zero(t, gone[0])
	after, err := b.Follow(t.Context(), []string{"g"})
	require.NoError(t, err)
	assert.NotEqual(t, before[0].Epoch, after[0].Epoch)
}

// TestFullServer gets an error with the remedy, and goes on when there is room again.
func TestFullServer(t *testing.T) {
	b := open(t, startServer(t).address(), redisbroker.Config{})
	_, err := b.Follow(t.Context(), []string{"g"})
	require.NoError(t, err)
	limit := func(bytes string) {
		require.NoError(t, b.client.Do(t.Context(), b.client.B().ConfigSet().ParameterValue().ParameterValue("maxmemory", bytes).Build()).Error())
	}
	limit("1")
	batch := []broker.Batch{{Source: "s", Number: 1, Messages: []broker.Message{{Stream: "g", Payload: []byte("x")}}}}
	err = b.Publish(t.Context(), batch)
	require.ErrorContains(t, err, "raise maxmemory")
	require.NotErrorIs(t, err, broker.ErrRefused, "the hub tries again")
	limit("0")
	require.NoError(t, b.Publish(t.Context(), batch))
}

// TestRights runs with a user that may do only what the README lists.
func TestRights(t *testing.T) {
	s := startServer(t)
	admin := connect(t, s.address())
	rule := "~{rohrpost:shop}* &{rohrpost:shop}* +@connection +@pubsub +@scripting +@read +@write +info +time"
	args := append([]string{"SETUSER", "app", "on", ">secret"}, strings.Fields(rule)...)
	require.NoError(t, admin.Do(t.Context(), admin.B().Arbitrary("ACL").Args(args...).Build()).Error())
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	assert.Contains(t, string(readme), rule)
	client, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress: []string{s.address()}, Username: "app", Password: "secret", DisableCache: true, ForceSingleClient: true,
	})
	require.NoError(t, err)
	t.Cleanup(client.Close)
	brokertest.Run(t, brokertest.Config{Open: func(t *testing.T) broker.Broker {
		require.NoError(t, admin.Do(t.Context(), admin.B().Flushall().Build()).Error())
		b, err := redisbroker.New(client, redisbroker.Config{App: "shop"})
		require.NoError(t, err)
		return b
	}})
}

// TestPromotedReplica makes a replica of the server that lags, and then serves alone: its
// streams have new epochs, also on a server that goes on to run.
func TestPromotedReplica(t *testing.T) {
	master := startServer(t)
	replica := startServer(t)
	toReplica := connect(t, replica.address())
	b := open(t, master.address(), redisbroker.Config{App: "shop"})
	before, err := b.Follow(t.Context(), []string{"g"})
	require.NoError(t, err)
	publish(t, b, 1, "x")
	command := toReplica.B().Arbitrary("REPLICAOF").Args("127.0.0.1", strconv.Itoa(master.port)).Build()
	require.NoError(t, toReplica.Do(t.Context(), command).Error())
	require.Eventually(t, func() bool {
		n, err := toReplica.Do(t.Context(), toReplica.B().Exists().Key("{rohrpost:shop}:m:g").Build()).AsInt64()
		return err == nil && n == 1
	}, 20*time.Second, 10*time.Millisecond)
	require.NoError(t, toReplica.Do(t.Context(), toReplica.B().Arbitrary("REPLICAOF").Args("NO", "ONE").Build()).Error())
	promoted := open(t, replica.address(), redisbroker.Config{App: "shop"})
	after, err := promoted.Positions(t.Context(), []string{"g"})
	require.NoError(t, err)
	assert.Zero(t, after[0], "the stream must begin anew")
	again, err := promoted.Follow(t.Context(), []string{"g"})
	require.NoError(t, err)
	assert.NotEqual(t, before[0].Epoch, again[0].Epoch)
}
