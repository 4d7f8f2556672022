package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Fault is a network fault that a Proxy injects. "Up" is the direction to the server,
// "down" the direction to the client.
type Fault int

const (
	None          Fault = iota
	Reset               // existing and new connections end with RST
	Close               // existing and new connections end with FIN
	CloseUp             // the server reads EOF, the client does not; new connections are closed
	CloseDown           // the client reads EOF, the server does not; new connections are closed
	BlackHole           // nothing is forwarded, and connections stay open
	BlackHoleUp         // nothing is forwarded to the server
	BlackHoleDown       // nothing is forwarded to the client
	Slow                // forwards small chunks at slowRate
	Late                // forwards after lateBy, or up to three times as long
	faultCount
)

func (f Fault) String() string {
	return [...]string{"none", "reset", "close", "close up", "close down", "black hole", "black hole up", "black hole down", "slow", "late"}[f]
}

// slowRate is the throughput of Slow in bytes per second and direction.
const slowRate = 4000

// lateBy is the shortest delay of what Late forwards.
const lateBy = 100 * time.Millisecond

// Faults returns all faults of a Proxy.
func Faults() (all []Fault) {
	for f := None + 1; f < faultCount; f++ {
		all = append(all, f)
	}
	return all
}

// Proxy is a TCP proxy for one client that injects faults. Its methods may be called
// concurrently. Close stops it and waits for its goroutines.
type Proxy struct {
	target   string
	listener net.Listener
	ctx      context.Context
	cancel   context.CancelFunc
	running  sync.WaitGroup

	mu      sync.Mutex // guards the fields below
	fault   Fault
	chunk   int           // bytes that Slow forwards at a time
	changed chan struct{} // closed when the fault changes
	conns   map[*proxiedConn]struct{}
	closed  bool
}

// proxiedConn is one connection through a proxy.
type proxiedConn struct {
	client, server *net.TCPConn
	upDone         chan struct{} // closed when the direction to the server has ended
	closing        atomic.Bool   // the proxy ends the connection: do not forward EOF
}

// NewProxy listens on a free port of the loopback interface and forwards connections
// to target.
func NewProxy(target string) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen as a proxy for %s: %w", target, err)
	}
	p := &Proxy{target: target, listener: listener, changed: make(chan struct{}), conns: map[*proxiedConn]struct{}{}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.running.Go(p.accept)
	return p, nil
}

// Addr returns the address that clients connect to.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Inject injects a fault until the next call of Inject or Clear. chunk is the number
// of bytes that Slow forwards at a time.
func (p *Proxy) Inject(f Fault, chunk int) {
	for _, c := range p.set(f, chunk) {
		c.apply(f)
	}
}

// Clear ends the fault. The proxy forwards the bytes that a black hole has held back.
// With reset it resets the existing connections instead, like a router that has lost
// its connection table.
func (p *Proxy) Clear(reset bool) {
	conns := p.set(None, 0)
	if reset {
		for _, c := range conns {
			c.apply(Reset)
		}
	}
}

// Close resets all connections and waits for the goroutines of the proxy.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cancel()
	_ = p.listener.Close()
	p.Inject(Reset, 0)
	p.running.Wait()
}

// set changes the fault and returns the open connections.
func (p *Proxy) set(f Fault, chunk int) []*proxiedConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault, p.chunk = f, chunk
	close(p.changed)
	p.changed = make(chan struct{})
	conns := make([]*proxiedConn, 0, len(p.conns))
	for c := range p.conns {
		conns = append(conns, c)
	}
	return conns
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.running.Go(func() { p.serve(client.(*net.TCPConn)) })
	}
}

// serve forwards one connection until both directions have ended.
func (p *Proxy) serve(client *net.TCPConn) {
	defer func() { _ = client.Close() }()
	if !p.awaitAdmission(client) {
		return
	}
	var d net.Dialer
	server, err := d.DialContext(p.ctx, "tcp", p.target)
	if err != nil {
		_ = client.SetLinger(0)
		return
	}
	c := &proxiedConn{client: client, server: server.(*net.TCPConn), upDone: make(chan struct{})}
	defer func() { _ = server.Close() }()
	p.mu.Lock()
	fault, closed := p.fault, p.closed
	p.conns[c] = struct{}{}
	p.mu.Unlock()
	if closed {
		fault = Reset
	}
	c.apply(fault)
	p.running.Go(func() {
		defer close(c.upDone)
		p.forward(c, c.server, c.client, BlackHoleUp)
	})
	p.forward(c, c.client, c.server, BlackHoleDown)
	<-c.upDone
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
}

// awaitAdmission waits until the fault lets a new connection through. It returns false
// if the connection must end.
func (p *Proxy) awaitAdmission(client *net.TCPConn) bool {
	for {
		p.mu.Lock()
		fault, changed := p.fault, p.changed
		p.mu.Unlock()
		switch fault {
		case Reset:
			_ = client.SetLinger(0)
			return false
		case Close, CloseUp, CloseDown:
			return false
		case BlackHole, BlackHoleUp, BlackHoleDown:
			select {
			case <-changed:
			case <-p.ctx.Done():
				return false
			}
		default:
			return true
		}
	}
}

// apply applies the immediate effect of a fault to a connection.
func (c *proxiedConn) apply(f Fault) {
	switch f {
	case Reset:
		c.closing.Store(true)
		_, _ = c.client.SetLinger(0), c.server.SetLinger(0)
		_, _ = c.client.Close(), c.server.Close()
	case Close:
		c.closing.Store(true)
		_ = c.client.Close()
		_ = c.server.Close()
	case CloseUp:
		_ = c.server.CloseWrite()
	case CloseDown:
		_ = c.client.CloseWrite()
	}
}

// forward copies one direction until it ends, and then forwards EOF.
func (p *Proxy) forward(c *proxiedConn, to, from *net.TCPConn, blocking Fault) {
	buf := make([]byte, 8<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && !p.write(to, buf[:n], blocking) {
			_ = from.Close() // the receiver is gone
			return
		}
		if err != nil {
			if p.awaitForwarding(blocking) == nil && !c.closing.Load() {
				_ = to.CloseWrite()
			}
			return
		}
	}
}

// write forwards b, delayed or blocked by the current fault.
func (p *Proxy) write(to *net.TCPConn, b []byte, blocking Fault) bool {
	for len(b) > 0 {
		if p.awaitForwarding(blocking) != nil {
			return false
		}
		chunk := len(b)
		switch fault, size := p.current(); fault {
		case Slow:
			chunk = min(chunk, max(size, 1))
			time.Sleep(time.Duration(chunk) * time.Second / slowRate)
		case Late:
			time.Sleep(lateBy + rand.N(2*lateBy))
		}
		n, err := to.Write(b[:chunk])
		if err != nil {
			return false
		}
		b = b[n:]
	}
	return true
}

// current returns the fault, and the bytes that Slow forwards at a time.
func (p *Proxy) current() (f Fault, chunk int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fault, p.chunk
}

// awaitForwarding waits while BlackHole or the given fault, that of the direction, is active.
func (p *Proxy) awaitForwarding(blocking Fault) error {
	for {
		p.mu.Lock()
		fault, changed := p.fault, p.changed
		p.mu.Unlock()
		if fault != BlackHole && fault != blocking {
			return nil
		}
		select {
		case <-changed:
		case <-p.ctx.Done():
			return p.ctx.Err()
		}
	}
}
