package faults

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// through opens a connection through a line and returns both ends.
func through(t *testing.T) (l *Line, page, server net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	l, err = NewLine(listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(l.Close)
	page, err = net.Dial("tcp", l.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { _ = page.Close() })
	server, err = listener.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Close() })
	assert.Equal(t, "up", pass(t, page, server, "up"))
	assert.Equal(t, "down", pass(t, server, page, "down"))
	return l, page, server
}

// pass writes text to one end and returns what the other one reads within a moment.
func pass(t *testing.T, from, to net.Conn, text string) string {
	t.Helper()
	_, err := from.Write([]byte(text))
	require.NoError(t, err)
	return read(to, len(text), 100*time.Millisecond)
}

func read(from net.Conn, n int, within time.Duration) string {
	_ = from.SetReadDeadline(time.Now().Add(within))
	buf := make([]byte, n)
	got, _ := io.ReadFull(from, buf)
	return string(buf[:got])
}

func ending(from net.Conn) error {
	_ = from.SetReadDeadline(time.Now().Add(5 * time.Second))
	_, err := from.Read(make([]byte, 1))
	return err
}

func TestLineResets(t *testing.T) {
	l, page, server := through(t)
	l.Fail(Reset, 0)
	assert.ErrorIs(t, ending(page), syscall.ECONNRESET)
	assert.ErrorIs(t, ending(server), syscall.ECONNRESET)
	if again, err := net.Dial("tcp", l.Addr()); err == nil {
		assert.ErrorIs(t, ending(again), syscall.ECONNRESET)
		_ = again.Close()
	}
}

func TestLineCloses(t *testing.T) {
	l, page, server := through(t)
	l.Fail(Close, 0)
	assert.ErrorIs(t, ending(page), io.EOF)
	assert.ErrorIs(t, ending(server), io.EOF)
}

func TestLineClosesHalf(t *testing.T) {
	l, page, server := through(t)
	l.Fail(CloseDown, 0)
	assert.ErrorIs(t, ending(page), io.EOF)
	assert.Equal(t, "on", pass(t, page, server, "on"), "the other direction works")

	l, page, server = through(t)
	l.Fail(CloseUp, 0)
	assert.ErrorIs(t, ending(server), io.EOF)
	assert.Equal(t, "on", pass(t, server, page, "on"), "the other direction works")
}

func TestLineIsABlackHole(t *testing.T) {
	for _, row := range []struct {
		fault    Fault
		up, down bool
	}{{BlackHole, false, false}, {BlackHoleUp, false, true}, {BlackHoleDown, true, false}} {
		t.Run(row.fault.String(), func(t *testing.T) {
			l, page, server := through(t)
			l.Fail(row.fault, 0)
			up, down := pass(t, page, server, "lost?"), pass(t, server, page, "lost?")
			assert.Equal(t, row.up, up == "lost?")
			assert.Equal(t, row.down, down == "lost?")
			l.Heal(false)
			if !row.up {
				assert.Equal(t, "lost?", read(server, 5, 5*time.Second), "it was only late")
			}
			if !row.down {
				assert.Equal(t, "lost?", read(page, 5, 5*time.Second), "it was only late")
			}
			l.Fail(row.fault, 0)
			l.Heal(true)
			assert.True(t, errors.Is(ending(page), syscall.ECONNRESET))
		})
	}
}

func TestLineIsSlow(t *testing.T) {
	l, page, server := through(t)
	l.Fail(Slow, 7)
	start := time.Now()
	_, err := page.Write(make([]byte, slowRate/4))
	require.NoError(t, err)
	assert.Len(t, read(server, slowRate/4, 10*time.Second), slowRate/4)
	assert.Greater(t, time.Since(start), 200*time.Millisecond)
}

func TestLineStopsWhateverItDoes(t *testing.T) {
	for fault := None; fault < faults; fault++ {
		t.Run(fault.String(), func(t *testing.T) {
			l, page, _ := through(t)
			l.Fail(fault, 1)
			_, _ = page.Write(make([]byte, 10_000))
			l.Close()
			_ = page.SetReadDeadline(time.Now().Add(5 * time.Second))
			_, err := io.Copy(io.Discard, page)
			assert.NotErrorIs(t, err, syscall.ETIMEDOUT)
		})
	}
}
