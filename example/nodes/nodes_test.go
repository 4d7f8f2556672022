package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestNodes shows what one instance writes at pages of both, also after one was killed.
func TestNodes(t *testing.T) {
	program := build(t)
	for _, broker := range []string{"sql", "redis", "nats"} {
		t.Run(broker, func(t *testing.T) { testNodes(t, program, broker, nil) })
	}
}

func build(t *testing.T) (program string) {
	program = filepath.Join(t.TempDir(), "nodes")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return program
}

// testNodes opens pages at the instances, through the proxy that start starts; nil: the one
// of the program.
func testNodes(t *testing.T, program, broker string, start func(t *testing.T, sockets ...string) (address string)) {
	n := startNodes(t, program, broker)
	address := n.address
	if start != nil {
		address = start(t, filepath.Join(n.dir, "1.sock"), filepath.Join(n.dir, "2.sock"))
	}
	pages := []*websocket.Conn{open(t, address), open(t, address), open(t, address), open(t, address)}
	at := map[string]bool{}
	for _, p := range pages {
		at[call(t, p)] = true
	}
	assert.Len(t, at, 2, "the pages are at two instances")
	add(t, address, "first")
	for _, p := range pages {
		expect(t, p, "first")
	}
	require.NoError(t, syscall.Kill(n.process(0), syscall.SIGKILL))
	left := open(t, address)
	add(t, address, "second")
	expect(t, left, "second")
}

// nodes is the program, with two instances.
type nodes struct {
	address string // of the proxy
	dir     string // with the sockets of the instances

	mu        sync.Mutex
	processes [2]int // of the instances
}

func startNodes(t *testing.T, program, broker string) *nodes {
	dir := t.TempDir()
	redis := os.Getenv("ROHRPOST_REDIS")
	if redis == "" {
		redis = "127.0.0.1:6379"
	}
	args := []string{"-addr", "127.0.0.1:0", "-broker", broker, "-redis", redis, "-dir", dir}
	if broker == "nats" {
		args = append(args, "-nats", startNATS(t))
	}
	command := exec.Command(program, args...)
	output, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		assert.NoError(t, command.Wait(), "it ends in order")
	})
	lines, n := bufio.NewScanner(output), &nodes{dir: dir}
	for (n.address == "" || n.process(0) == 0 || n.process(1) == 0) && lines.Scan() {
		n.read(lines.Text())
	}
	go func() {
		for lines.Scan() { // the program must be able to write
			n.read(lines.Text())
		}
	}()
	require.NotEmpty(t, n.address)
	return n
}

// answers reports whether an instance takes connections.
func (n *nodes) answers(i int) bool {
	conn, err := net.Dial("unix", options{dir: n.dir}.socket(strconv.Itoa(i+1)))
	if err == nil {
		_ = conn.Close()
	}
	return err == nil
}

// read reads a line that the program prints.
func (n *nodes) read(line string) {
	if _, after, found := strings.Cut(line, "http://"); found {
		n.address = strings.TrimSuffix(after, "/")
	}
	var instance, process int
	if count, _ := fmt.Sscanf(line, "instance %d is process %d", &instance, &process); count == 2 {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.processes[instance-1] = process
	}
}

// process returns the process of an instance.
func (n *nodes) process(i int) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.processes[i]
}

// startNATS starts a NATS server with JetStream, and returns its address.
func startNATS(t *testing.T) string {
	dir := t.TempDir()
	server := os.Getenv("ROHRPOST_NATS_SERVER")
	if server == "" {
		install := exec.CommandContext(t.Context(), "go", "install", "github.com/nats-io/nats-server/v2@v2.15.3")
		install.Env = append(os.Environ(), "GOBIN="+dir)
		if out, err := install.CombinedOutput(); err != nil && os.Getenv("CI") != "true" {
			t.Skipf("nats-server cannot be had by go install: %s", out)
		} else {
			require.NoError(t, err, "%s", out)
		}
		server = filepath.Join(dir, "nats-server")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := l.Addr().(*net.TCPAddr)
	require.NoError(t, l.Close())
	command := exec.Command(server, "--jetstream", "--addr", "127.0.0.1", "--port", strconv.Itoa(address.Port), "--store_dir", dir)
	require.NoError(t, command.Start())
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", address.String())
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}, 30*time.Second, 10*time.Millisecond)
	return address.String()
}

// open opens a page, which subscribes to the tasks.
func open(t *testing.T, address string) (page *websocket.Conn) {
	require.Eventually(t, func() bool {
		ws, _, err := websocket.DefaultDialer.DialContext(t.Context(), "ws://"+address+"/ws/rohrpost/", nil)
		page = ws
		return err == nil
	}, 20*time.Second, 100*time.Millisecond)
	t.Cleanup(func() { _ = page.Close() })
	require.NoError(t, page.WriteMessage(websocket.TextMessage, []byte(`{"id":1,"type":"subscribe","data":{"group":"tasks"}}`)))
	expect(t, page, `"group":"tasks"`)
	return page
}

// call returns the instance at which a page is.
func call(t *testing.T, page *websocket.Conn) string {
	require.NoError(t, page.WriteMessage(websocket.TextMessage, []byte(`{"id":2,"type":"instance"}`)))
	return expect(t, page, `"type":"instance"`)
}

// expect reads until a message contains a text.
func expect(t *testing.T, page *websocket.Conn, text string) string {
	require.NoError(t, page.SetReadDeadline(time.Now().Add(20*time.Second)))
	for {
		_, message, err := page.ReadMessage()
		require.NoError(t, err, "waiting for %s", text)
		if bytes.Contains(message, []byte(text)) {
			return string(message)
		}
	}
}

func add(t *testing.T, address, title string) {
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/tasks", strings.NewReader(fmt.Sprintf(`{"title":%q}`, title)))
		require.NoError(t, err)
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return false
		}
		_ = answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	}, 20*time.Second, 100*time.Millisecond)
}
