package faults

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Fault is a way in which a line fails.
type Fault int

const (
	None          Fault = iota
	Reset               // connections end with RST, also new ones
	Close               // connections end with FIN, also new ones
	CloseUp             // the server reads the end, the page does not; new ones are closed
	CloseDown           // the page reads the end, the server does not; new ones are closed
	BlackHole           // nothing is forwarded, and nobody is told
	BlackHoleUp         // nothing gets to the server any more
	BlackHoleDown       // nothing gets to the page any more
	Slow                // a few bytes at a time, 4 KB/s
	faults
)

func (f Fault) String() string {
	return [...]string{"none", "reset", "close", "close up", "close down", "black hole", "black hole up", "black hole down", "slow"}[f]
}

// slowRate is how many bytes a second go through a slow line in one direction.
const slowRate = 4000

// Line is a TCP proxy for one page, and fails when it is told to. All its methods
// may be called concurrently. Close stops it and waits for everything.
type Line struct {
	target   string
	listener net.Listener
	ctx      context.Context
	cancel   context.CancelFunc
	all      sync.WaitGroup

	mu      sync.Mutex // guards what follows
	fault   Fault
	slice   int           // bytes at a time when slow
	changed chan struct{} // closed when the fault changes
	calls   map[*call]struct{}
	closed  bool
}

// call is one connection through a line.
type call struct {
	page, server *net.TCPConn
	toServer     chan struct{} // closed when nothing goes to the server any more
	cut          atomic.Bool   // an end that is read is no end to pass on
}

// NewLine listens on a port of its own, and forwards to target.
func NewLine(target string) (*Line, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("line to %s: %w", target, err)
	}
	l := &Line{target: target, listener: listener, changed: make(chan struct{}), calls: map[*call]struct{}{}}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.all.Go(l.accept)
	return l, nil
}

// Addr is where the line begins.
func (l *Line) Addr() string { return l.listener.Addr().String() }

// Fail lets the line fail from now on, until the next call of Fail or Heal. slice is
// how many bytes go through a slow line at a time.
func (l *Line) Fail(f Fault, slice int) {
	for _, c := range l.set(f, slice) {
		c.fail(f)
	}
}

// Heal lets the line work again. What a black hole has kept goes on, unless forget
// is set: then the connections from before end with RST, as if a router on the way
// had lost its memory.
func (l *Line) Heal(forget bool) {
	calls := l.set(None, 0)
	if forget {
		for _, c := range calls {
			c.fail(Reset)
		}
	}
}

// Close ends all connections and waits.
func (l *Line) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.cancel()
	_ = l.listener.Close()
	l.Fail(Reset, 0)
	l.all.Wait()
}

// set changes the fault and returns the connections that there are.
func (l *Line) set(f Fault, slice int) []*call {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault, l.slice = f, slice
	close(l.changed)
	l.changed = make(chan struct{})
	calls := make([]*call, 0, len(l.calls))
	for c := range l.calls {
		calls = append(calls, c)
	}
	return calls
}

func (l *Line) accept() {
	for {
		page, err := l.listener.Accept()
		if err != nil {
			return // closed
		}
		l.all.Go(func() { l.answer(page.(*net.TCPConn)) })
	}
}

// answer forwards one connection until both directions have ended.
func (l *Line) answer(page *net.TCPConn) {
	defer func() { _ = page.Close() }()
	if !l.admit(page) {
		return
	}
	var d net.Dialer
	server, err := d.DialContext(l.ctx, "tcp", l.target)
	if err != nil {
		_ = page.SetLinger(0)
		return
	}
	c := &call{page: page, server: server.(*net.TCPConn), toServer: make(chan struct{})}
	defer func() { _ = server.Close() }()
	l.mu.Lock()
	fault, closed := l.fault, l.closed
	l.calls[c] = struct{}{}
	l.mu.Unlock()
	if closed {
		fault = Reset
	}
	c.fail(fault)
	l.all.Go(func() {
		defer close(c.toServer)
		l.forward(c, c.server, c.page, BlackHoleUp)
	})
	l.forward(c, c.page, c.server, BlackHoleDown)
	<-c.toServer
	l.mu.Lock()
	delete(l.calls, c)
	l.mu.Unlock()
}

// admit waits until a new connection gets through, and reports false if it does not.
func (l *Line) admit(page *net.TCPConn) bool {
	for {
		l.mu.Lock()
		fault, changed := l.fault, l.changed
		l.mu.Unlock()
		switch fault {
		case Reset:
			_ = page.SetLinger(0)
			return false
		case Close, CloseUp, CloseDown:
			return false
		case BlackHole, BlackHoleUp, BlackHoleDown:
			select {
			case <-changed:
			case <-l.ctx.Done():
				return false
			}
		default:
			return true
		}
	}
}

// fail does to a connection what a fault does at once.
func (c *call) fail(f Fault) {
	switch f {
	case Reset:
		c.cut.Store(true)
		_, _ = c.page.SetLinger(0), c.server.SetLinger(0)
		_, _ = c.page.Close(), c.server.Close()
	case Close:
		c.cut.Store(true)
		_ = c.page.Close()
		_ = c.server.Close()
	case CloseUp:
		_ = c.server.CloseWrite()
	case CloseDown:
		_ = c.page.CloseWrite()
	}
}

// forward copies one direction until it ends. An end that was read is passed on.
func (l *Line) forward(c *call, to, from *net.TCPConn, hole Fault) {
	buf := make([]byte, 2048)
	for {
		n, err := from.Read(buf)
		if n > 0 && !l.write(to, buf[:n], hole) {
			_ = from.Close() // nobody takes it
			return
		}
		if err != nil {
			if l.pass(hole) == nil && !c.cut.Load() {
				_ = to.CloseWrite()
			}
			return
		}
	}
}

// write writes b as the line lets it through.
func (l *Line) write(to *net.TCPConn, b []byte, hole Fault) bool {
	for len(b) > 0 {
		if l.pass(hole) != nil {
			return false
		}
		slice := len(b)
		if pace := l.pace(); pace > 0 {
			slice = min(slice, pace)
			time.Sleep(time.Duration(slice) * time.Second / slowRate)
		}
		n, err := to.Write(b[:slice])
		if err != nil {
			return false
		}
		b = b[n:]
	}
	return true
}

// pace returns how many bytes go through at a time, or 0 if all do.
func (l *Line) pace() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault == Slow {
		return max(l.slice, 1)
	}
	return 0
}

// pass waits while the direction is a black hole.
func (l *Line) pass(hole Fault) error {
	for {
		l.mu.Lock()
		fault, changed := l.fault, l.changed
		l.mu.Unlock()
		if fault != BlackHole && fault != hole {
			return nil
		}
		select {
		case <-changed:
		case <-l.ctx.Done():
			return l.ctx.Err()
		}
	}
}
