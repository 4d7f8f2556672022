package natsbroker_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/rohrpost/rohrpost/internal/enginefaults"
)

// serverVersion is the server of the tests. It is built once into a folder of the user.
const serverVersion = "v2.15.3"

// serverProgram returns the path of the server, which ROHRPOST_NATS_SERVER may give.
var serverProgram = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("ROHRPOST_NATS_SERVER"); path != "" {
		return path, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "rohrpost", "nats-server-"+serverVersion)
	path := filepath.Join(dir, "nats-server")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	defer cancel()
	build := exec.CommandContext(ctx, "go", "install", "github.com/nats-io/nats-server/v2@"+serverVersion)
	build.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=")
	build.Stderr = os.Stderr
	return path, build.Run()
})

// server is a private NATS server, which a test may stop, kill, and put back in time.
type server struct {
	*enginefaults.Server
	dir  string
	port int
}

// startServer starts a server with JetStream, or as options say.
func startServer(t testing.TB, options ...string) *server {
	program, err := serverProgram()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("nats-server %s cannot be had by go install: %v", serverVersion, err)
		}
		t.Skipf("nats-server %s cannot be had by go install: %v", serverVersion, err)
	}
	if len(options) == 0 {
		options = []string{"--jetstream"}
	}
	s := &server{dir: t.TempDir(), port: enginefaults.FreePort(t)}
	port := strconv.Itoa(s.port)
	args := append([]string{"--addr", "127.0.0.1", "--port", port, "--store_dir", filepath.Join(s.dir, "store")}, options...)
	s.Server = &enginefaults.Server{
		T:       t,
		Command: func() *exec.Cmd { return exec.Command(program, args...) },
		Answers: func() bool { return enginefaults.Listens("127.0.0.1:" + port) },
	}
	s.Start()
	return s
}

func (s *server) address() string { return "nats://127.0.0.1:" + strconv.Itoa(s.port) }

// Restore implements enginefaults.Engine.
func (s *server) Restore(meanwhile func()) {
	store, copied := filepath.Join(s.dir, "store"), filepath.Join(s.dir, "copy")
	s.End()
	require.NoError(s.T, os.CopyFS(copied, os.DirFS(store)))
	s.Start()
	meanwhile()
	s.Kill()
	require.NoError(s.T, os.RemoveAll(store))
	require.NoError(s.T, os.Rename(copied, store))
	s.Start()
}

// connect returns a connection as the README advises.
func connect(t testing.TB, address string) *nats.Conn {
	nc, err := nats.Connect(address, nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond), nats.ReconnectJitter(0, 0),
		nats.ReconnectBufSize(-1), nats.PingInterval(3*time.Second), nats.MaxPingsOutstanding(2))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	return nc
}

// startCluster starts three servers.
func startCluster(t testing.TB) []*server {
	routes, servers := "", make([]*server, 3)
	ports := make([]string, len(servers))
	for i := range servers {
		ports[i] = strconv.Itoa(enginefaults.FreePort(t))
		routes += ",nats://127.0.0.1:" + ports[i]
	}
	for i := range servers {
		servers[i] = startServer(t, "--jetstream", "--cluster_name", "test", "--server_name", "s"+strconv.Itoa(i),
			"--cluster", "nats://127.0.0.1:"+ports[i], "--routes", routes[1:])
	}
	return servers
}
