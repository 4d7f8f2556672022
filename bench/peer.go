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

// peer is a library under measurement: a thin server made of it.
type peer struct {
	// open returns the handler of its connections, and how to publish to a group.
	open func() (http.Handler, func(group string) error)
	// listen serves in its own way; nil: by net/http.
	listen func(net.Listener) (func(group string) error, error)
	// greeting is what a connection says; its groups are in the path. Defaults to
	// requests of this hub's protocol to join them.
	greeting string
	// answers: it answers pings of this hub's protocol.
	answers bool
	// floor: it only writes. All connections are in one group, and none ends.
	floor bool
	// bounded: a connection that does not read holds up nobody.
	bounded bool
	// binary is another build of this command. Defaults to this one.
	binary string
	// script is run by node instead.
	script string
}

func (p peer) hello(groups []string) hello {
	h := hello{path: "/ws"}
	if p.greeting != "" {
		h.path += "?groups=" + strings.Join(groups, ",")
		h.frames = [][]byte{[]byte(p.greeting)}
		return h
	}
	for _, group := range groups {
		h.frames = append(h.frames, []byte(`{"id":1,"type":"subscribe","data":{"group":"`+group+`"}}`))
	}
	return h
}

func groupName(number int) string { return "group-" + strconv.Itoa(number) }

var peers = map[string]peer{
	"hub":            {open: openHub, answers: true, bounded: true},
	"hub-no-history": {open: openForgetful, answers: true, bounded: true},
	"gorilla":        {open: openGorilla, answers: true},
	"melody":         {open: openMelody, answers: true},
	"gws":            {open: openGWS, answers: true},
	"coder":          {open: openCoder, answers: true},
	"nbio":           {listen: listenNBIO, answers: true},
	"floor":          {open: openFloor, floor: true},
	"node":           {script: "node/server.mjs", answers: true},

	"centrifuge":         {open: func() (http.Handler, func(string) error) { return openCentrifuge(0) }, greeting: `{"id":1,"connect":{}}`, bounded: true},
	"centrifuge-history": {open: func() (http.Handler, func(string) error) { return openCentrifuge(1000) }, greeting: `{"id":1,"connect":{}}`, bounded: true},
}

// peerNames are those that can run here. They begin with this hub.
func peerNames() []string {
	names := slices.Sorted(maps.Keys(peers))
	names = slices.DeleteFunc(names, func(name string) bool { return name == "hub" || !peers[name].runs() })
	return append([]string{"hub"}, names...)
}

// runs reports whether what the peer needs is there.
func (p peer) runs() bool {
	if p.script == "" {
		return true
	}
	_, absent := exec.LookPath("node")
	_, missing := os.Stat(filepath.Join(filepath.Dir(p.script), "node_modules"))
	return absent == nil && missing == nil
}

// command is what starts a server of the peer.
func (p peer) command(name string, groups int) (*exec.Cmd, error) {
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

// beforeSuffix marks the hub of another build.
const beforeSuffix = "-before"

// serve is the process of one peer.
func serve(name string, groups int) error {
	p, known := peers[name]
	if !known {
		return fmt.Errorf("unknown; there are %s", strings.Join(peerNames(), ", "))
	}
	buffer, _ := strconv.Atoi(os.Getenv(bufferEnv))
	listener, err := (&net.ListenConfig{Control: sendBuffer(buffer)}).Listen(context.Background(), "tcp", "127.0.0.1:0")
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
		if count == collect {
			runtime.GC() // pools let go at the second one
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

// What a server is told: how large the send buffers of its sockets are, and the
// titles in its messages.
const (
	bufferEnv = "BENCH_SEND_BUFFER"
	titleEnv  = "BENCH_TITLE"
)

// sendBuffer sets that of a listener, from which its connections have it. The
// kernel's own, of megabytes, would hide for long that nobody reads.
func sendBuffer(size int) func(network, address string, raw syscall.RawConn) error {
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

// profile writes a profile of the process's CPU time into the file that
// BENCH_PROFILE names, if it does, and returns what ends it.
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
		panic(err) // it was asked for
	}
	return func() {
		pprof.StopCPUProfile()
		_ = file.Close()
	}
}

// change is what is published: the same to all, and encoded each time.
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

// title is that of all messages.
var title = sync.OnceValue(func() string {
	size, _ := strconv.Atoi(os.Getenv(titleEnv))
	return strings.Repeat("x", cmp.Or(size, 80))
})

func newObject() object { return object{ID: 7, Title: title()} }

// message encodes a change like the ones that this hub publishes.
func message(group string) []byte {
	c := change{ID: 5912345678901234, Type: "subscription-update"}
	c.Data.Type, c.Data.Group, c.Data.Object, c.Data.UpdatedFields = "update", group, newObject(), []string{"title"}
	c.Data.Object.UpdatedFields = c.Data.UpdatedFields
	text, err := json.Marshal(c)
	if err != nil {
		panic(err) // it is always the same
	}
	return text
}

// rooms are the groups of peers that have none of their own.
type rooms[C comparable] struct {
	mu      sync.RWMutex
	members map[string]map[C]struct{}
}

func newRooms[C comparable]() *rooms[C] { return &rooms[C]{members: map[string]map[C]struct{}{}} }

// serve does what a request asks for, and returns the reply.
func (r *rooms[C]) serve(c C, text []byte) []byte {
	var request struct {
		ID   json.RawMessage        `json:"id"`
		Type string                 `json:"type"`
		Data struct{ Group string } `json:"data"`
	}
	if json.Unmarshal(text, &request) != nil {
		return []byte(`{"error":"no JSON"}`)
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

func (r *rooms[C]) each(group string, do func(C)) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for c := range r.members[group] {
		do(c)
	}
}

// publisher publishes by sending the same text to each member.
func (r *rooms[C]) publisher(send func(C, []byte)) func(group string) error {
	return func(group string) error {
		text := message(group)
		r.each(group, func(c C) { send(c, text) })
		return nil
	}
}

func (r *rooms[C]) leave(c C) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, members := range r.members {
		delete(members, c)
	}
}
