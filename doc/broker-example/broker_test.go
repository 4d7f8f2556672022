package redisexample

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/brokertest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// server is a Redis server that a test owns.
type server struct {
	t       *testing.T
	dir     string
	address string
	process *exec.Cmd
	client  *redis.Client
}

func startServer(t *testing.T) *server {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("redis-server is not installed")
		}
		t.Skip("redis-server is not installed")
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &server{t: t, dir: t.TempDir(), address: free.Addr().String()}
	require.NoError(t, free.Close())
	s.client = redis.NewClient(&redis.Options{Addr: s.address})
	s.start()
	t.Cleanup(func() { s.kill(); _ = s.client.Close() })
	return s
}

func (s *server) start() {
	_, port, _ := net.SplitHostPort(s.address)
	s.process = exec.Command("redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", s.dir, "--save", "", "--appendonly", "no")
	require.NoError(s.t, s.process.Start())
	require.Eventually(s.t, func() bool { return s.client.Ping(context.Background()).Err() == nil }, 20*time.Second, 20*time.Millisecond)
}

func (s *server) kill() {
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
}

// restore goes back to a copy, as after a crash.
func (s *server) restore(meanwhile func()) {
	require.NoError(s.t, s.client.Save(context.Background()).Err())
	dump := filepath.Join(s.dir, "dump.rdb")
	before, err := os.ReadFile(dump)
	require.NoError(s.t, err)
	meanwhile()
	s.kill()
	require.NoError(s.t, os.WriteFile(dump, before, 0o600))
	s.start()
}

func TestBroker(t *testing.T) {
	s := startServer(t)
	open := func(t *testing.T, app string) broker.Broker {
		b, err := New(s.client, app)
		require.NoError(t, err)
		return b
	}
	brokertest.Run(t, brokertest.Config{
		Open: func(t *testing.T) broker.Broker { return open(t, rand.Text()) },
		Peer: func(t *testing.T, b broker.Broker) broker.Broker { return open(t, b.(*Broker).app) },
		EndStream: func(t *testing.T, b broker.Broker, stream string) {
			app := b.(*Broker).app
			require.NoError(t, s.client.Del(t.Context(), app+":s:"+stream, app+":m:"+stream).Err())
		},
		Restore: func(_ *testing.T, _ broker.Broker, meanwhile func()) { s.restore(meanwhile) },

		TakesTried: true,
	})
}

func TestNameOfTheApplication(t *testing.T) {
	_, err := New(nil, "")
	require.ErrorContains(t, err, "no name")
}

// TestTwoHubs shows that changes of one process reach the pages of another.
func TestTwoHubs(t *testing.T) {
	s := startServer(t)
	var hubs []*rohrpost.Hub
	for range 2 {
		b, err := New(s.client, "app")
		require.NoError(t, err)
		hubs = append(hubs, rohrpost.NewHub(rohrpost.Config{Broker: b}))
	}
	at, err := hubs[1].Position(t.Context(), "g")
	require.NoError(t, err)
	require.NoError(t, hubs[0].Publish(t.Context(), rohrpost.Change{Group: "g", Type: rohrpost.Create, Object: 1}))
	require.NoError(t, hubs[0].Flush(t.Context()))
	now, err := hubs[1].Position(t.Context(), "g")
	require.NoError(t, err)
	assert.Equal(t, rohrpost.Position{Epoch: at.Epoch, Offset: 1}, now)
	for _, hub := range hubs {
		require.NoError(t, hub.Shutdown(t.Context()))
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x01s\x00\x00\x00\x01e\x00\x00\x00\x011\x00\x00\x00\x01p"))
	f.Fuzz(func(t *testing.T, packed []byte) {
		for _, m := range unpack(packed) {
			_ = fmt.Sprint(m)
		}
	})
}
