package redisbroker_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/rohrpost/rohrpost/internal/enginefaults"
)

// server is a private Redis server, which a test may stop, kill, and put back in time.
type server struct {
	*enginefaults.Server
	dir     string
	port    int
	options []string // of its next start
}

// startServer starts a server that saves its data only when told.
func startServer(t testing.TB, options ...string) *server {
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("redis-server is not installed")
		}
		t.Skip("redis-server is not installed")
	}
	s := &server{dir: t.TempDir(), port: enginefaults.FreePort(t), options: options}
	args := []string{"--port", strconv.Itoa(s.port), "--dir", s.dir, "--save", "", "--bind", "127.0.0.1"}
	s.Server = &enginefaults.Server{
		T:       t,
		Command: func() *exec.Cmd { return exec.Command("redis-server", slices.Concat(args, s.options)...) },
		Answers: func() bool { return enginefaults.Listens(s.address()) },
	}
	s.Start()
	return s
}

func (s *server) address() string { return "127.0.0.1:" + strconv.Itoa(s.port) }

// Restore implements enginefaults.Engine.
func (s *server) Restore(meanwhile func()) { s.restore(connect(s.T, s.address()), meanwhile) }

// restore is Restore that returns when a client is connected again.
func (s *server) restore(client rueidis.Client, meanwhile func()) {
	ctx := context.Background()
	require.NoError(s.T, client.Do(ctx, client.B().Save().Build()).Error())
	copied, err := os.ReadFile(filepath.Join(s.dir, "dump.rdb"))
	require.NoError(s.T, err)
	meanwhile()
	s.Kill()
	require.NoError(s.T, os.WriteFile(filepath.Join(s.dir, "dump.rdb"), copied, 0o600))
	s.Start()
	require.Eventually(s.T, func() bool { return client.Do(ctx, client.B().Ping().Build()).Error() == nil }, 20*time.Second, 10*time.Millisecond)
}

// connect returns a client of a server.
func connect(t testing.TB, address string) rueidis.Client {
	client, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress: []string{address}, DisableCache: true, ForceSingleClient: true,
		ConnWriteTimeout: 3 * time.Second,
	})
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return client
}

// service returns the address of the shared server, or skips the test.
func service(t testing.TB) string {
	address := os.Getenv("ROHRPOST_REDIS")
	if address == "" {
		address = "127.0.0.1:6379"
	}
	c, err := net.DialTimeout("tcp", address, 2*time.Second)
	if err == nil {
		_ = c.Close()
		return address
	}
	text := fmt.Sprintf("Redis is not at %s; set ROHRPOST_REDIS: %v", address, err)
	if os.Getenv("CI") == "true" {
		t.Fatal(text)
	}
	t.Skip(text)
	return ""
}
