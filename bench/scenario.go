package main

import (
	"fmt"
	"os"
	"time"
)

// scenario is one kind of load on a server.
type scenario struct {
	kind          kind
	members       int  // connections
	groups        int  // Defaults to one.
	groupsPerConn int  // Defaults to one.
	inFlight      int  // limit of messages in flight, in total or per connection
	messageRate   int  // messages per second
	titleSize     int  // bytes of the title in a message. Defaults to 80.
	stalled       bool // adds a connection that does not read
	sendBuffer    int  // bytes of the send buffers of the server's sockets. Defaults to the kernel's size.
	duration      time.Duration
}

type kind int

const (
	fanOut    kind = iota
	requests       // pings and their replies
	fixedRate      // fan-out at a fixed rate, with latencies
	idle           // memory of idle connections
	churn          // connections open and close
)

func (s scenario) String() string {
	switch {
	case s.kind == requests:
		return fmt.Sprintf("requests on %d connections, %d in flight on each", s.members, s.inFlight)
	case s.kind == idle:
		return fmt.Sprintf("%d idle connections", s.members)
	case s.kind == churn:
		return "connect, subscribe and close"
	case s.kind == fixedRate:
		return s.fixedRateName()
	case s.groupsPerConn > 1:
		return fmt.Sprintf("saturated, %d connections in %d groups each", s.members, s.groupsPerConn)
	case s.groups > 1:
		return fmt.Sprintf("saturated, %d groups of one member", s.groups)
	case s.inFlight == 1:
		return fmt.Sprintf("one message at a time to %d members", s.members)
	}
	return fmt.Sprintf("saturated fan-out to %d members", s.members)
}

func (s scenario) fixedRateName() string {
	messages, recipients := "messages", fmt.Sprintf("%d members", s.members)
	if s.titleSize > 0 {
		messages = fmt.Sprintf("messages of %d KiB", s.titleSize>>10)
	}
	if s.stalled {
		recipients += " and one connection that does not read"
	}
	return fmt.Sprintf("%d %s per second to %s", s.messageRate, messages, recipients)
}

// supportedBy reports whether the implementation can run the scenario.
func (s scenario) supportedBy(p implementation) bool {
	floorSupports := s.groups < 2 && s.kind != churn
	return (s.kind != requests || p.answersPings) && (floorSupports || !p.floor) && (s.sendBuffer == 0 || p.isolatesSlow)
}

// groupsOf returns the names of a connection's groups.
func (s scenario) groupsOf(connection int) []string {
	var names []string
	for i := range max(s.groupsPerConn, 1) {
		names = append(names, groupName((connection*max(s.groupsPerConn, 1)+i)%max(s.groups, 1)))
	}
	return names
}

// deliveries returns the number of deliveries of one message.
func (s scenario) deliveries() int { return s.members * max(s.groupsPerConn, 1) / max(s.groups, 1) }

// result is the result of one round on one implementation.
type result struct {
	rate           float64 // deliveries, replies or connections per second
	cpu            float64 // microseconds of server CPU time per operation
	generatorLimit float64 // operations per second of the generator's CPU time
	p50            float64 // milliseconds from the publish command to the delivery
	p99            float64
	memory         float64 // KiB per connection
}

// measure runs the scenario once.
func (s scenario) measure(name string) (r result, err error) {
	server, err := start(name, s)
	if err != nil {
		return r, err
	}
	defer server.stop()
	if s.kind == churn {
		return s.runChurn(server, implementations[name])
	}
	before, err := server.resident()
	if err != nil {
		return r, err
	}
	g, err := newGenerator([]string{server.address}, s.members, func(i int) subscription { return implementations[name].subscription(s.groupsOf(i)) })
	if err != nil {
		return r, err
	}
	defer g.close()
	switch s.kind {
	case idle:
		after, err := server.resident()
		return result{memory: float64(after-before) / 1024 / float64(s.members)}, err
	case fixedRate:
		return s.runFixedRate(g, server, implementations[name])
	case requests:
		return s.saturate(g, server, s.runRequests)
	default:
		return s.saturate(g, server, s.runFanOut)
	}
}

type loadFunc func(*generator, *server, time.Duration) (deliveries int, err error)

func (s scenario) saturate(g *generator, server *server, load loadFunc) (r result, err error) {
	if _, err := load(g, server, min(s.duration, time.Second)/4); err != nil { // warm up
		return r, err
	}
	m := startMeter(server)
	deliveries, err := load(g, server, s.duration)
	return m.stop(deliveries), err
}

// meter measures time and the CPU time of server and generator.
type meter struct {
	pid                     int
	serverCPU, generatorCPU time.Duration
	started                 time.Time
}

func startMeter(s *server) meter {
	pid := s.command.Process.Pid
	return meter{pid, cpuTime(pid), cpuTime(os.Getpid()), time.Now()}
}

func (m meter) stop(count int) result {
	elapsed, cpu, generatorCPU := time.Since(m.started), cpuTime(m.pid)-m.serverCPU, cpuTime(os.Getpid())-m.generatorCPU
	return result{
		rate:           float64(count) / elapsed.Seconds(),
		cpu:            float64(cpu.Microseconds()) / float64(count),
		generatorLimit: float64(count) / generatorCPU.Seconds(),
	}
}
