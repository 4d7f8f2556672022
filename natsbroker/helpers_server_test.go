package natsbroker_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
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
	t       testing.TB
	dir     string
	port    int
	options []string
	command *exec.Cmd
}

// startServer starts a server with JetStream, or as options say.
func startServer(t testing.TB, options ...string) *server {
	if _, err := serverProgram(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("nats-server %s cannot be had by go install: %v", serverVersion, err)
		}
		t.Skipf("nats-server %s cannot be had by go install: %v", serverVersion, err)
	}
	if len(options) == 0 {
		options = []string{"--jetstream"}
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

func (s *server) address() string { return "nats://127.0.0.1:" + strconv.Itoa(s.port) }

func (s *server) start() {
	program, err := serverProgram()
	require.NoError(s.t, err)
	args := append([]string{"--addr", "127.0.0.1", "--port", strconv.Itoa(s.port), "--store_dir", filepath.Join(s.dir, "store")}, s.options...)
	s.command = exec.Command(program, args...)
	require.NoError(s.t, s.command.Start())
	require.Eventually(s.t, func() bool {
		c, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(s.port))
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}, 30*time.Second, 5*time.Millisecond)
}

// kill kills the server with SIGKILL.
func (s *server) kill() {
	_ = s.command.Process.Kill()
	_ = s.command.Wait()
}

// end lets the server end as it wants.
func (s *server) end() {
	s.signal(syscall.SIGTERM)
	_ = s.command.Wait()
}

func (s *server) signal(what syscall.Signal) { require.NoError(s.t, s.command.Process.Signal(what)) }

// restore copies the data, calls meanwhile, and starts the server with the copy.
func (s *server) restore(meanwhile func()) {
	store, copied := filepath.Join(s.dir, "store"), filepath.Join(s.dir, "copy")
	s.end()
	require.NoError(s.t, os.CopyFS(copied, os.DirFS(store)))
	s.start()
	meanwhile()
	s.kill()
	require.NoError(s.t, os.RemoveAll(store))
	require.NoError(s.t, os.Rename(copied, store))
	s.start()
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
		ports[i] = strconv.Itoa(freePort(t))
		routes += ",nats://127.0.0.1:" + ports[i]
	}
	for i := range servers {
		servers[i] = startServer(t, "--jetstream", "--cluster_name", "test", "--server_name", "s"+strconv.Itoa(i),
			"--cluster", "nats://127.0.0.1:"+ports[i], "--routes", routes[1:])
	}
	return servers
}
