package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// implementation is a server under measurement, usually a minimal one on top of a
// WebSocket library.
type implementation struct {
	// open returns the handler for connections and a function that publishes to a group.
	open func() (http.Handler, func(group string) error)
	// listen serves the listener. Defaults to nil: net/http serves it with open's handler.
	listen func(net.Listener) (func(group string) error, error)
	// connectFrame is the first frame of a connection, whose groups are in the path.
	// Defaults to "": the connection sends subscribe requests of rohrpost's protocol.
	connectFrame string
	// answersPings reports that the server answers pings of rohrpost's protocol.
	answersPings bool
	// floor marks the server that only writes. It has one group and cannot close
	// connections.
	floor bool
	// isolatesSlow reports that a connection that does not read delays no other.
	isolatesSlow bool
	// binary is another build of this command. Defaults to the running one.
	binary string
	// script is a server for Node.js, run instead of this command.
	script string
}

func (p implementation) subscription(groups []string) subscription {
	sub := subscription{path: "/ws"}
	if p.connectFrame != "" {
		sub.path += "?groups=" + strings.Join(groups, ",")
		sub.frames = [][]byte{[]byte(p.connectFrame)}
		return sub
	}
	for _, group := range groups {
		sub.frames = append(sub.frames, []byte(`{"id":1,"type":"subscribe","data":{"group":"`+group+`"}}`))
	}
	return sub
}

func groupName(number int) string { return "group-" + strconv.Itoa(number) }

var implementations = map[string]implementation{
	"hub":            {open: openHub, answersPings: true, isolatesSlow: true},
	"hub-no-history": {open: openHubNoHistory, answersPings: true, isolatesSlow: true},
	"gorilla":        {open: openGorilla, answersPings: true},
	"melody":         {open: openMelody, answersPings: true},
	"gws":            {open: openGWS, answersPings: true},
	"coder":          {open: openCoder, answersPings: true},
	"nbio":           {listen: listenNBIO, answersPings: true},
	"floor":          {open: openFloor, floor: true},
	"node":           {script: "node/server.mjs", answersPings: true},

	"centrifuge":         {open: func() (http.Handler, func(string) error) { return openCentrifuge(0) }, connectFrame: `{"id":1,"connect":{}}`, isolatesSlow: true},
	"centrifuge-history": {open: func() (http.Handler, func(string) error) { return openCentrifuge(1000) }, connectFrame: `{"id":1,"connect":{}}`, isolatesSlow: true},
}

// implementationNames returns the available implementations, the hub first.
func implementationNames() []string {
	names := slices.Sorted(maps.Keys(implementations))
	names = slices.DeleteFunc(names, func(name string) bool { return name == "hub" || !implementations[name].available() })
	return append([]string{"hub"}, names...)
}

// available reports whether the requirements of the implementation are installed.
func (p implementation) available() bool {
	if p.script == "" {
		return true
	}
	_, nodeErr := exec.LookPath("node")
	_, modulesErr := os.Stat(filepath.Join(filepath.Dir(p.script), "node_modules"))
	return nodeErr == nil && modulesErr == nil
}

// command returns the command that starts the server.
func (p implementation) command(name string, groups int) (*exec.Cmd, error) {
	number := strconv.Itoa(groups)
	switch {
	case p.script != "":
		return exec.Command("node", "--expose-gc", p.script, number), nil
	case p.binary != "":
		return exec.Command(p.binary, "serve", strings.TrimSuffix(name, beforeSuffix), number), nil
	}
	self, err := os.Executable()
	return exec.Command(self, "serve", name, number), err
}

// beforeSuffix is the suffix of the hub of another build.
const beforeSuffix = "-before"

// serve runs one implementation until standard input ends.
func serve(name string, groups int) error {
	p, known := implementations[name]
	if !known {
		return fmt.Errorf("unknown implementation; available: %s", strings.Join(implementationNames(), ", "))
	}
	buffer, _ := strconv.Atoi(os.Getenv(bufferEnv))
	listener, err := (&net.ListenConfig{Control: setSendBuffer(buffer)}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	address := listener.Addr()
	var publish func(string) error
	if p.listen != nil {
		if publish, err = p.listen(listener); err != nil {
			return err
		}
	} else {
		var handler http.Handler
		handler, publish = p.open()
		go func() { _ = http.Serve(listener, handler) }() // ends with the process
	}
	fmt.Println(address)
	defer profile()()
	lines := bufio.NewScanner(os.Stdin)
	next := 0
	for lines.Scan() {
		count, err := strconv.Atoi(lines.Text())
		if err != nil {
			return err
		}
		if count == collectGarbage {
			runtime.GC() // FreeOSMemory collects once more, which empties the pools
			debug.FreeOSMemory()
			fmt.Println()
		}
		for range count {
			if err := publish(groupName(next % groups)); err != nil {
				return err
			}
			next++
		}
	}
	return lines.Err()
}

// The environment variables of a server process: the size of its sockets' send
// buffers, and the size of the titles in its messages.
const (
	bufferEnv = "BENCH_SEND_BUFFER"
	titleEnv  = "BENCH_TITLE"
)

// setSendBuffer sets the send buffer of a listener, which its connections inherit. The
// kernel's default of several megabytes would hide a connection that does not read.
func setSendBuffer(size int) func(network, address string, raw syscall.RawConn) error {
	return func(_, _ string, raw syscall.RawConn) (err error) {
		if size == 0 {
			return nil
		}
		failed := raw.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, size)
		})
		return errors.Join(failed, err)
	}
}

// profile writes a CPU profile to the file that BENCH_PROFILE names and returns the
// function that stops it. Without BENCH_PROFILE it does nothing.
func profile() (end func()) {
	name := os.Getenv("BENCH_PROFILE")
	if name == "" {
		return func() {}
	}
	file, err := os.Create(name)
	if err == nil {
		err = pprof.StartCPUProfile(file)
	}
	if err != nil {
		panic(err) // the user requested the profile
	}
	return func() {
		pprof.StopCPUProfile()
		_ = file.Close()
	}
}

// change is the published message. All implementations encode the same one each time.
type change struct {
	ID   int64  `json:"id"`
	Type string `json:"type"`
	Data struct {
		Type          string   `json:"type"`
		Group         string   `json:"group"`
		Object        object   `json:"object"`
		UpdatedFields []string `json:"updated_fields"`
	} `json:"data"`
}

type object struct {
	ID            int      `json:"id"`
	Title         string   `json:"title"`
	UpdatedFields []string `json:"updated_fields,omitempty"`
}

// title returns the title of all messages.
var title = sync.OnceValue(func() string {
	size, _ := strconv.Atoi(os.Getenv(titleEnv))
	return strings.Repeat("x", cmp.Or(size, 80))
})

func newObject() object { return object{ID: 7, Title: title()} }

// message encodes a change as rohrpost does.
func message(group string) []byte {
	c := change{ID: 5912345678901234, Type: "subscription-update"}
	c.Data.Type, c.Data.Group, c.Data.Object, c.Data.UpdatedFields = "update", group, newObject(), []string{"title"}
	c.Data.Object.UpdatedFields = c.Data.UpdatedFields
	text, err := json.Marshal(c)
	if err != nil {
		panic(err) // the change is constant
	}
	return text
}

// registry holds the groups for libraries without groups.
type registry[C comparable] struct {
	mu      sync.RWMutex
	members map[string]map[C]struct{}
}

func newRegistry[C comparable]() *registry[C] {
	return &registry[C]{members: map[string]map[C]struct{}{}}
}

// handle executes a request and returns the reply.
func (r *registry[C]) handle(c C, text []byte) []byte {
	var request struct {
		ID   json.RawMessage        `json:"id"`
		Type string                 `json:"type"`
		Data struct{ Group string } `json:"data"`
	}
	if json.Unmarshal(text, &request) != nil {
		return []byte(`{"error":"invalid JSON"}`)
	}
	if request.Type == "ping" {
		return []byte(`{"id":` + string(request.ID) + `,"type":"pong"}`)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	group := request.Data.Group
	if r.members[group] == nil {
		r.members[group] = map[C]struct{}{}
	}
	r.members[group][c] = struct{}{}
	return []byte(`{"id":` + string(request.ID) + `,"type":"subscribe","data":{"group":"` + group + `"}}`)
}

func (r *registry[C]) each(group string, do func(C)) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for c := range r.members[group] {
		do(c)
	}
}

// publisher returns a function that sends one message to each member of a group.
func (r *registry[C]) publisher(send func(C, []byte)) func(group string) error {
	return func(group string) error {
		text := message(group)
		r.each(group, func(c C) { send(c, text) })
		return nil
	}
}

func (r *registry[C]) leave(c C) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, members := range r.members {
		delete(members, c)
	}
}
