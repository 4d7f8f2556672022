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

// play keeps messages on the way until the time is over and all have arrived.
func (s scenario) play(g *generator, server *server, duration time.Duration) (deliveries int, err error) {
	step := max(1, s.inFlight/4) // messages that are published at once
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
		if err := g.poll(patience); err != nil {
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
		if err := g.poll(patience); err != nil {
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

// keepPace publishes at a pace, and notes how long each delivery took.
func (s scenario) keepPace(g *generator, server *server, p peer) (r result, err error) {
	if s.stuck {
		stuck, err := dialStuck(server.address, p.hello(s.groupsOf(0)))
		if err != nil {
			return r, err
		}
		defer func() { _ = stuck.Close() }()
	}
	for _, m := range g.members {
		m.received = 0
	}
	var sent []time.Time
	var took []time.Duration
	m, began := begin(server), time.Now()
	total := int(s.duration.Seconds() * float64(s.pace))
	for len(took) < total*s.members {
		due := min(total, int(time.Since(began).Seconds()*float64(s.pace))+1)
		if due > len(sent) {
			now := time.Now()
			if err := server.publish(due - len(sent)); err != nil {
				return r, err
			}
			for len(sent) < due {
				sent = append(sent, now)
			}
		}
		if time.Since(began) > s.duration+patience {
			return r, fmt.Errorf("%d of %d deliveries", len(took), total*s.members)
		}
		_ = g.poll(time.Millisecond) // nothing may have come
		now := time.Now()
		for _, fd := range g.ready {
			for m := g.members[fd]; m.seen < m.received; m.seen++ {
				took = append(took, now.Sub(sent[m.seen]))
			}
		}
	}
	r = m.end(len(took))
	slices.Sort(took)
	r.p50, r.p99 = took[len(took)/2].Seconds()*1e3, took[len(took)*99/100].Seconds()*1e3
	return r, nil
}

// comeAndGo opens connections one after another in some goroutines, and closes
// each when its hello is answered.
func (s scenario) comeAndGo(server *server, p peer) (result, error) {
	var count atomic.Int64
	m, end := begin(server), time.Now().Add(s.duration)
	var group errgroup.Group
	for range s.inFlight {
		group.Go(func() error {
			for time.Now().Before(end) {
				conn, err := dialHello(server.address, p.hello(s.groupsOf(0)))
				if err != nil {
					return err
				}
				_ = conn.SetReadDeadline(time.Now().Add(patience)) // an error comes with the read
				_, err = conn.Read(make([]byte, 512))
				_ = conn.SetLinger(0) // or the machine runs out of ports
				if err = errors.Join(err, conn.Close()); err != nil {
					return err
				}
				count.Add(1)
			}
			return nil
		})
	}
	err := group.Wait()
	return m.end(int(count.Load())), err
}

// dialStuck opens a connection that takes little and is never read.
func dialStuck(address string, h hello) (net.Conn, error) {
	conn, err := dialHello(address, h)
	if err == nil {
		err = conn.SetReadBuffer(4096)
	}
	return conn, err
}
