package redisbroker_test

import (
	"context"
	"crypto/rand"
	"strconv"
	"strings"
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

// TestSlotMoves moves the slot of the program to another node of a cluster, while both go on.
// A hub, which calls Run again after an error, hears what is published then.
func TestSlotMoves(t *testing.T) {
	for name, sharded := range map[string]bool{"pub/sub": false, "sharded pub/sub": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, to := startNodes(t)
			c := redisbroker.Config{App: "test-" + rand.Text(), ShardedPubSub: sharded}
			b := openOn(t, rueidis.ClientOption{InitAddress: []string{from.address()}}, c)
			heard := listen(t, b)
			var number uint64
			hears := func() bool {
				if _, err := b.Follow(t.Context(), []string{"g"}); err != nil {
					return false
				}
				number++
				payload := []byte(strconv.FormatUint(number, 10))
				err := b.Publish(t.Context(), []broker.Batch{{Source: "s", Number: number, Messages: []broker.Message{{Stream: "g", Payload: payload}}}})
				time.Sleep(20 * time.Millisecond)
				return err == nil && heard() == string(payload)
			}
			require.Eventually(t, hears, 20*time.Second, 50*time.Millisecond)
			moveSlot(t, from, to, "{rohrpost:"+c.App+"}:run:")
			require.Eventually(t, hears, 20*time.Second, 50*time.Millisecond, "Run neither ends nor delivers")
			assert.Equal(t, to, ownerOf([]*server{from, to}, c.App))
		})
	}
}

// listen calls Run as a hub does, and returns a function that returns the latest payload.
func listen(t *testing.T, b broker.Broker) (heard func() string) {
	ctx, cancel := context.WithCancel(context.Background())
	var latest atomic.Value
	latest.Store("")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			_ = b.Run(ctx, func() {}, func(batch []broker.Message) { latest.Store(string(batch[len(batch)-1].Payload)) })
			time.Sleep(20 * time.Millisecond)
		}
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return func() string { return latest.Load().(string) }
}

// startNodes starts a cluster of two masters. The first one has all slots.
func startNodes(t *testing.T) (first, second *server) {
	var nodes [2]*server
	ports := [2]string{}
	for i := range nodes {
		ports[i] = strconv.Itoa(enginefaults.FreePort(t))
		nodes[i] = startServer(t, "--cluster-enabled", "yes", "--cluster-port", ports[i])
	}
	command(t, nodes[0], "CLUSTER", "ADDSLOTSRANGE", "0", "16383")
	command(t, nodes[1], "CLUSTER", "MEET", "127.0.0.1", strconv.Itoa(nodes[0].port), ports[0])
	for _, s := range nodes {
		require.Eventually(t, func() bool {
			text, err := ask(s, "CLUSTER", "INFO")
			return err == nil && strings.Contains(text, "cluster_state:ok") && strings.Contains(text, "cluster_known_nodes:2")
		}, 20*time.Second, 20*time.Millisecond)
	}
	return nodes[0], nodes[1]
}

// moveSlot moves the slot of a key with all its keys.
func moveSlot(t *testing.T, from, to *server, key string) {
	admin := connect(t, from.address())
	do := func(words ...string) rueidis.RedisResult {
		return admin.Do(t.Context(), admin.B().Arbitrary(words...).Build())
	}
	n, err := do("CLUSTER", "KEYSLOT", key).AsInt64()
	require.NoError(t, err)
	slot := strconv.FormatInt(n, 10)
	source, err := do("CLUSTER", "MYID").ToString()
	require.NoError(t, err)
	other := connect(t, to.address())
	target, err := other.Do(t.Context(), other.B().Arbitrary("CLUSTER", "MYID").Build()).ToString()
	require.NoError(t, err)
	command(t, to, "CLUSTER", "SETSLOT", slot, "IMPORTING", source)
	require.NoError(t, do("CLUSTER", "SETSLOT", slot, "MIGRATING", target).Error())
	keys, err := do("CLUSTER", "GETKEYSINSLOT", slot, "100").AsStrSlice()
	require.NoError(t, err)
	require.NotEmpty(t, keys)
	require.NoError(t, do(append([]string{"MIGRATE", "127.0.0.1", strconv.Itoa(to.port), "", "0", "5000", "KEYS"}, keys...)...).Error())
	command(t, to, "CLUSTER", "SETSLOT", slot, "NODE", target)
	require.NoError(t, do("CLUSTER", "SETSLOT", slot, "NODE", target).Error())
}
