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

// openProxied opens a connection through a proxy and returns both ends.
func openProxied(t *testing.T) (p *Proxy, client, server net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	p, err = NewProxy(listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(p.Close)
	client, err = net.Dial("tcp", p.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	server, err = listener.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Close() })
	assert.Equal(t, "up", transfer(t, client, server, "up"))
	assert.Equal(t, "down", transfer(t, server, client, "down"))
	return p, client, server
}

// transfer writes text to one end and returns the bytes that the other end reads within
// 100 ms.
func transfer(t *testing.T, from, to net.Conn, text string) string {
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

func readError(from net.Conn) error {
	_ = from.SetReadDeadline(time.Now().Add(5 * time.Second))
	_, err := from.Read(make([]byte, 1))
	return err
}

func TestProxyReset(t *testing.T) {
	p, client, server := openProxied(t)
	p.Inject(Reset, 0)
	assert.ErrorIs(t, readError(client), syscall.ECONNRESET)
	assert.ErrorIs(t, readError(server), syscall.ECONNRESET)
	if again, err := net.Dial("tcp", p.Addr()); err == nil {
		assert.ErrorIs(t, readError(again), syscall.ECONNRESET)
		_ = again.Close()
	}
}

func TestProxyClose(t *testing.T) {
	p, client, server := openProxied(t)
	p.Inject(Close, 0)
	assert.ErrorIs(t, readError(client), io.EOF)
	assert.ErrorIs(t, readError(server), io.EOF)
}

func TestProxyHalfClose(t *testing.T) {
	p, client, server := openProxied(t)
	p.Inject(CloseDown, 0)
	assert.ErrorIs(t, readError(client), io.EOF)
	assert.Equal(t, "more", transfer(t, client, server, "more"), "the other direction still works")

	p, client, server = openProxied(t)
	p.Inject(CloseUp, 0)
	assert.ErrorIs(t, readError(server), io.EOF)
	assert.Equal(t, "more", transfer(t, server, client, "more"), "the other direction still works")
}

func TestProxyBlackHole(t *testing.T) {
	for _, test := range []struct {
		fault    Fault
		up, down bool
	}{{BlackHole, false, false}, {BlackHoleUp, false, true}, {BlackHoleDown, true, false}} {
		t.Run(test.fault.String(), func(t *testing.T) {
			p, client, server := openProxied(t)
			p.Inject(test.fault, 0)
			up, down := transfer(t, client, server, "delayed"), transfer(t, server, client, "delayed")
			assert.Equal(t, test.up, up == "delayed")
			assert.Equal(t, test.down, down == "delayed")
			p.Clear(false)
			if !test.up {
				assert.Equal(t, "delayed", read(server, 7, 5*time.Second), "the proxy forwards the held bytes")
			}
			if !test.down {
				assert.Equal(t, "delayed", read(client, 7, 5*time.Second), "the proxy forwards the held bytes")
			}
			p.Inject(test.fault, 0)
			p.Clear(true)
			assert.True(t, errors.Is(readError(client), syscall.ECONNRESET))
		})
	}
}

func TestProxySlow(t *testing.T) {
	p, client, server := openProxied(t)
	p.Inject(Slow, 7)
	start := time.Now()
	_, err := client.Write(make([]byte, slowRate/4))
	require.NoError(t, err)
	assert.Len(t, read(server, slowRate/4, 10*time.Second), slowRate/4)
	assert.Greater(t, time.Since(start), 200*time.Millisecond)
}

func TestProxyStopsDuringFaults(t *testing.T) {
	for fault := None; fault < faultCount; fault++ {
		t.Run(fault.String(), func(t *testing.T) {
			p, client, _ := openProxied(t)
			p.Inject(fault, 1)
			_, _ = client.Write(make([]byte, 10_000))
			p.Close()
			_ = client.SetReadDeadline(time.Now().Add(5 * time.Second))
			_, err := io.Copy(io.Discard, client)
			assert.NotErrorIs(t, err, syscall.ETIMEDOUT)
		})
	}
}
