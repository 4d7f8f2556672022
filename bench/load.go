package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// runFanOut keeps messages in flight for the duration and then waits for the last ones.
func (s scenario) runFanOut(g *generator, server *server, duration time.Duration) (deliveries int, err error) {
	step := max(1, s.inFlight/4) // messages per publish command
	end := time.Now().Add(duration)
	sent, base := 0, g.received
	for {
		arrived := (g.received - base) / s.deliveries()
		for time.Now().Before(end) && sent-arrived+step <= s.inFlight {
			if err := server.publish(step); err != nil {
				return 0, err
			}
			sent += step
		}
		if arrived == sent {
			return g.received - base, nil
		}
		if err := g.poll(responseTimeout); err != nil {
			return 0, fmt.Errorf("after %d of %d messages: %w", arrived, sent, err)
		}
	}
}

// runRequests lets each connection send its next requests when its last ones are answered.
func (s scenario) runRequests(g *generator, _ *server, duration time.Duration) (answers int, err error) {
	requests := bytes.Repeat(maskedFrame([]byte(`{"id":1,"type":"ping"}`)), s.inFlight)
	end := time.Now().Add(duration)
	base, sent := g.received, 0
	for fd, m := range g.states {
		m.received = 0
		if _, err := syscall.Write(int(fd), requests); err != nil {
			return 0, err
		}
		sent += s.inFlight
	}
	for g.received-base < sent {
		if err := g.poll(responseTimeout); err != nil {
			return 0, err
		}
		for _, fd := range g.ready {
			m := g.states[fd]
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

// runFixedRate publishes at a fixed rate and records the latency of each delivery.
func (s scenario) runFixedRate(g *generator, server *server, p implementation) (r result, err error) {
	if s.stalled {
		stalled, err := dialStalled(server.address, p.subscription(s.groupsOf(0)))
		if err != nil {
			return r, err
		}
		defer func() { _ = stalled.Close() }()
	}
	for _, m := range g.states {
		m.received = 0
	}
	var sent []time.Time
	var latencies []time.Duration
	m, began := startMeter(server), time.Now()
	total := int(s.duration.Seconds() * float64(s.messageRate))
	for len(latencies) < total*s.members {
		due := min(total, int(time.Since(began).Seconds()*float64(s.messageRate))+1)
		if due > len(sent) {
			now := time.Now()
			if err := server.publish(due - len(sent)); err != nil {
				return r, err
			}
			for len(sent) < due {
				sent = append(sent, now)
			}
		}
		if time.Since(began) > s.duration+responseTimeout {
			return r, fmt.Errorf("%d of %d deliveries", len(latencies), total*s.members)
		}
		_ = g.poll(time.Millisecond) // a timeout is not an error here
		now := time.Now()
		for _, fd := range g.ready {
			for m := g.states[fd]; m.timed < m.received; m.timed++ {
				latencies = append(latencies, now.Sub(sent[m.timed]))
			}
		}
	}
	r = m.stop(len(latencies))
	slices.Sort(latencies)
	r.p50, r.p99 = latencies[len(latencies)/2].Seconds()*1e3, latencies[len(latencies)*99/100].Seconds()*1e3
	return r, nil
}

// runChurn opens connections one after another in several goroutines, and closes each
// after the reply to its subscription.
func (s scenario) runChurn(server *server, p implementation) (result, error) {
	var count atomic.Int64
	m, end := startMeter(server), time.Now().Add(s.duration)
	var group errgroup.Group
	for range s.inFlight {
		group.Go(func() error {
			for time.Now().Before(end) {
				conn, err := dialSubscribed(server.address, p.subscription(s.groupsOf(0)))
				if err != nil {
					return err
				}
				_ = conn.SetReadDeadline(time.Now().Add(responseTimeout)) // the read returns an error, too
				_, err = conn.Read(make([]byte, 512))
				_ = conn.SetLinger(0) // avoids TIME_WAIT, which would exhaust the ports
				if err = errors.Join(err, conn.Close()); err != nil {
					return err
				}
				count.Add(1)
			}
			return nil
		})
	}
	err := group.Wait()
	return m.stop(int(count.Load())), err
}

// dialStalled opens a connection with a small receive buffer that is never read.
func dialStalled(address string, sub subscription) (net.Conn, error) {
	conn, err := dialSubscribed(address, sub)
	if err == nil {
		err = conn.SetReadBuffer(4096)
	}
	return conn, err
}
