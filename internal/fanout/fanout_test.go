package fanout

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/tasks"
	"github.com/stretchr/testify/require"
)

// fakeUpstream has groups without a history.
type fakeUpstream struct{}

func (fakeUpstream) Follow(_ string, open func(broker.Position) bool, _ func() bool) {
	open(broker.Position{})
}
func (fakeUpstream) Unfollow(string) {}
func (fakeUpstream) History(context.Context, string, uint64, int) (broker.History, error) {
	return broker.History{}, nil
}

func (fakeUpstream) Outdated(context.Context, string, broker.Position, broker.Position) bool {
	return false
}

type fakeOwner struct{}

func (fakeOwner) Ending()             {}
func (fakeOwner) Taken()              {}
func (fakeOwner) CloseSent()          {}
func (fakeOwner) SlowConsumer(string) {}

func newTestEngine(tb testing.TB, workers int) *Engine {
	group := tasks.New()
	tb.Cleanup(func() { require.NoError(tb, group.End(context.Background())) })
	return New(Config{
		Logger: slog.New(slog.DiscardHandler), Upstream: fakeUpstream{}, Go: group.Go, Workers: workers,
		MaxGroups: -1, MaxSendQueueBytes: 1 << 20, MaxSendQueueAge: -1, WriteTimeout: time.Second, OpenTimeout: time.Second,
	})
}

// socketPair returns both ends of a TCP connection.
func socketPair(tb testing.TB, listener net.Listener) (near, far net.Conn) {
	far, err := net.Dial("tcp", listener.Addr().String())
	require.NoError(tb, err)
	near, err = listener.Accept()
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = near.Close(); _ = far.Close() })
	return near, far
}

// waitingConn is a connection on which nothing comes and each Write waits until Close.
type waitingConn struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

func (c *waitingConn) end() chan struct{} {
	c.once.Do(func() { c.closed = make(chan struct{}) })
	return c.closed
}

func (c *waitingConn) Write([]byte) (int, error)        { <-c.end(); return 0, net.ErrClosed }
func (c *waitingConn) SetWriteDeadline(time.Time) error { return nil }
func (c *waitingConn) Close() error {
	select {
	case <-c.end():
	default:
		close(c.end())
	}
	return nil
}
