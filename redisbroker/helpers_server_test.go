package redisbroker_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"
)

// server is a private Redis server, which a test may stop, kill, and put back in time.
type server struct {
	t       testing.TB
	dir     string
	port    int
	options []string
	command *exec.Cmd
}

// startServer starts a server that saves its data only when told.
func startServer(t testing.TB, options ...string) *server {
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("redis-server is not installed")
		}
		t.Skip("redis-server is not installed")
	}
	s := &server{t: t, dir: t.TempDir(), port: freePort(t), options: options}
	s.start()
	t.Cleanup(s.kill)
	return s
}

func freePort(t testing.TB) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	return l.Addr().(*net.TCPAddr).Port
}

func (s *server) address() string { return "127.0.0.1:" + strconv.Itoa(s.port) }

func (s *server) start() {
	args := append([]string{"--port", strconv.Itoa(s.port), "--dir", s.dir, "--save", "", "--bind", "127.0.0.1"}, s.options...)
	s.command = exec.Command("redis-server", args...)
	require.NoError(s.t, s.command.Start())
	require.Eventually(s.t, func() bool {
		c, err := net.Dial("tcp", s.address())
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}, 20*time.Second, 5*time.Millisecond)
}

// kill kills the server with SIGKILL.
func (s *server) kill() {
	_ = s.command.Process.Kill()
	_ = s.command.Wait()
}

func (s *server) signal(what syscall.Signal) { require.NoError(s.t, s.command.Process.Signal(what)) }

// restore copies the data, calls meanwhile, and starts the server with the copy.
func (s *server) restore(client rueidis.Client, meanwhile func()) {
	ctx := context.Background()
	require.NoError(s.t, client.Do(ctx, client.B().Save().Build()).Error())
	copied, err := os.ReadFile(filepath.Join(s.dir, "dump.rdb"))
	require.NoError(s.t, err)
	meanwhile()
	s.kill()
	require.NoError(s.t, os.WriteFile(filepath.Join(s.dir, "dump.rdb"), copied, 0o600))
	s.start()
	require.Eventually(s.t, func() bool { return client.Do(ctx, client.B().Ping().Build()).Error() == nil }, 20*time.Second, 10*time.Millisecond)
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
