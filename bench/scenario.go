package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// scenario is fan-out to one group, or requests of many connections, with so
// many messages on the way at most: of all, or of each connection.
type scenario struct {
	members, inFlight int
	requests          bool
	duration          time.Duration
}

func (s scenario) String() string {
	switch {
	case s.requests:
		return fmt.Sprintf("%d requests at a time on each of %d connections", s.inFlight, s.members)
	case s.inFlight == 1:
		return fmt.Sprintf("one message at a time to %d members", s.members)
	}
	return fmt.Sprintf("saturated fan-out to %d members", s.members)
}

// result is one round on one peer.
type result struct {
	rate    float64 // deliveries a second
	cpu     float64 // of the server, microseconds for a delivery
	ceiling float64 // deliveries that the generator takes in a second of its own CPU time
}

// server is a peer in a process of its own. A line with a number on its standard
// input makes it publish as many messages.
type server struct {
	command *exec.Cmd
	input   io.WriteCloser
	address string
}

func start(name string) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &server{command: exec.Command(self, "serve", name)}
	s.command.Stderr = os.Stderr
	if s.input, err = s.command.StdinPipe(); err != nil {
		return nil, err
	}
	output, err := s.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.command.Start(); err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("the server says nothing: %w", err)
	}
	s.address = strings.TrimSpace(line)
	return s, nil
}

func (s *server) publish(count int) error {
	_, err := fmt.Fprintln(s.input, count)
	return err
}

func (s *server) stop() {
	_ = s.command.Process.Kill()
	_ = s.command.Wait()
}

// measure runs the scenario once.
func (s scenario) measure(name string) (r result, err error) {
	server, err := start(name)
	if err != nil {
		return r, err
	}
	defer server.stop()
	g, err := newGenerator(server.address, s.members, peers[name].hello("all"))
	if err != nil {
		return r, err
	}
	defer g.close()
	play := s.play
	if s.requests {
		play = s.ask
	}
	if _, err := play(g, server, time.Second/2); err != nil { // warm up
		return r, err
	}
	cpu, own, began := cpuTime(server.command.Process.Pid), cpuTime(os.Getpid()), time.Now()
	deliveries, err := play(g, server, s.duration)
	if err != nil {
		return r, err
	}
	passed := time.Since(began)
	cpu, own = cpuTime(server.command.Process.Pid)-cpu, cpuTime(os.Getpid())-own
	return result{
		rate:    float64(deliveries) / passed.Seconds(),
		cpu:     float64(cpu.Microseconds()) / float64(deliveries),
		ceiling: float64(deliveries) / own.Seconds(),
	}, nil
}

// play keeps messages on the way until the time is over and all have arrived.
func (s scenario) play(g *generator, server *server, duration time.Duration) (deliveries int, err error) {
	step := max(1, s.inFlight/4) // messages that are published at once
	end := time.Now().Add(duration)
	sent, base := 0, g.received
	for {
		arrived := (g.received - base) / s.members
		for time.Now().Before(end) && sent-arrived+step <= s.inFlight {
			if err := server.publish(step); err != nil {
				return 0, err
			}
			sent += step
		}
		if arrived == sent {
			return g.received - base, nil
		}
		if err := g.poll(10 * time.Second); err != nil {
			return 0, fmt.Errorf("after %d of %d messages: %w", arrived, sent, err)
		}
	}
}

// ask lets every connection send requests as soon as its last ones are answered.
func (s scenario) ask(g *generator, _ *server, duration time.Duration) (answers int, err error) {
	requests := bytes.Repeat(maskedFrame([]byte(`{"id":1,"type":"ping"}`)), s.inFlight)
	end := time.Now().Add(duration)
	base, sent := g.received, 0
	for fd, m := range g.members {
		m.received = 0
		if _, err := syscall.Write(int(fd), requests); err != nil {
			return 0, err
		}
		sent += s.inFlight
	}
	for g.received-base < sent {
		if err := g.poll(10 * time.Second); err != nil {
			return 0, err
		}
		for _, fd := range g.ready {
			m := g.members[fd]
			if m.received < s.inFlight || time.Now().After(end) {
				continue
			}
			m.received -= s.inFlight
			if _, err := syscall.Write(int(fd), requests); err != nil {
				return 0, err
			}
			sent += s.inFlight
		}
	}
	return g.received - base, nil
}

// cpuTime is what a process has used.
func cpuTime(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond // clock ticks
}
