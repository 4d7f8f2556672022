package main

import (
	"fmt"
	"os"
	"time"
)

// scenario is one way to use a server.
type scenario struct {
	kind     kind
	members  int  // connections
	groups   int  // Defaults to one.
	each     int  // of the groups, in which each connection is. Defaults to one.
	inFlight int  // messages on the way at most: of all, or of each connection
	pace     int  // messages a second
	title    int  // bytes of the title in a message. Defaults to 80.
	stuck    bool // one connection more that does not read
	buffer   int  // send buffer of the server's sockets, bytes, to see what one does that does not read. Defaults to what the kernel thinks.
	duration time.Duration
}

type kind int

const (
	fanOut   kind = iota
	requests      // pings and their answers
	paced         // fan-out at a pace, with latencies
	idle          // what connections cost that do nothing
	churn         // connections come and go
)

func (s scenario) String() string {
	switch {
	case s.kind == requests:
		return fmt.Sprintf("%d requests at a time on each of %d connections", s.inFlight, s.members)
	case s.kind == idle:
		return fmt.Sprintf("%d idle connections", s.members)
	case s.kind == churn:
		return "connect, say hello and close"
	case s.kind == paced:
		return s.pacedName()
	case s.each > 1:
		return fmt.Sprintf("saturated, %d connections in %d groups each", s.members, s.each)
	case s.groups > 1:
		return fmt.Sprintf("saturated, %d groups of one", s.groups)
	case s.inFlight == 1:
		return fmt.Sprintf("one message at a time to %d members", s.members)
	}
	return fmt.Sprintf("saturated fan-out to %d members", s.members)
}

func (s scenario) pacedName() string {
	what, whom := "messages", fmt.Sprintf("%d members", s.members)
	if s.title > 0 {
		what = fmt.Sprintf("messages of %d KiB", s.title>>10)
	}
	if s.stuck {
		whom += " and one that does not read"
	}
	return fmt.Sprintf("%d %s a second to %s", s.pace, what, whom)
}

// able reports whether the peer can do it.
func (s scenario) able(p peer) bool {
	mayBeFloor := s.groups < 2 && s.kind != churn
	return (s.kind != requests || p.answers) && (mayBeFloor || !p.floor) && (s.buffer == 0 || p.bounded)
}

// groupsOf names the groups of a connection.
func (s scenario) groupsOf(connection int) []string {
	var names []string
	for i := range max(s.each, 1) {
		names = append(names, groupName((connection*max(s.each, 1)+i)%max(s.groups, 1)))
	}
	return names
}

// deliveries are those of one message.
func (s scenario) deliveries() int { return s.members * max(s.each, 1) / max(s.groups, 1) }

// result is one round on one peer.
type result struct {
	rate    float64 // deliveries a second, or connections
	cpu     float64 // of the server, microseconds for one of them
	ceiling float64 // how many the generator takes in a second of its own CPU time
	p50     float64 // milliseconds from the order to publish to the delivery
	p99     float64
	memory  float64 // KiB for a connection
}

// measure runs the scenario once.
func (s scenario) measure(name string) (r result, err error) {
	server, err := start(name, s)
	if err != nil {
		return r, err
	}
	defer server.stop()
	if s.kind == churn {
		return s.comeAndGo(server, peers[name])
	}
	before, err := server.resident()
	if err != nil {
		return r, err
	}
	g, err := newGenerator(server.address, s.members, func(i int) hello { return peers[name].hello(s.groupsOf(i)) })
	if err != nil {
		return r, err
	}
	defer g.close()
	switch s.kind {
	case idle:
		after, err := server.resident()
		return result{memory: float64(after-before) / 1024 / float64(s.members)}, err
	case paced:
		return s.keepPace(g, server, peers[name])
	case requests:
		return s.saturate(g, server, s.ask)
	default:
		return s.saturate(g, server, s.play)
	}
}

type playFunc func(*generator, *server, time.Duration) (deliveries int, err error)

func (s scenario) saturate(g *generator, server *server, play playFunc) (r result, err error) {
	if _, err := play(g, server, min(s.duration, time.Second)/4); err != nil { // warm up
		return r, err
	}
	m := begin(server)
	deliveries, err := play(g, server, s.duration)
	return m.end(deliveries), err
}

// meter measures time, and the CPU time of both sides.
type meter struct {
	pid      int
	cpu, own time.Duration
	began    time.Time
}

func begin(s *server) meter {
	pid := s.command.Process.Pid
	return meter{pid, cpuTime(pid), cpuTime(os.Getpid()), time.Now()}
}

func (m meter) end(count int) result {
	passed, cpu, own := time.Since(m.began), cpuTime(m.pid)-m.cpu, cpuTime(os.Getpid())-m.own
	return result{
		rate:    float64(count) / passed.Seconds(),
		cpu:     float64(cpu.Microseconds()) / float64(count),
		ceiling: float64(count) / own.Seconds(),
	}
}
