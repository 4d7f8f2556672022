package rohrpost

import (
	"bytes"
	"context"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// crammed is a socket on which much has come already.
type crammed struct {
	net.Conn
	rest []byte
}

func (c *crammed) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// A client that sends much at once makes a reader and its dispatch wake each other. On one
// processor other goroutines run in between.
func TestMuchInputLetsOthersRun(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const messages, least = 32, 100
	hub := quiet(Config{Limits: unlimited()})
	var handled, turns atomic.Int64
	done := make(chan struct{})
	hub.HandlePublic("much", func(context.Context, *Conn, *Request) (any, error) {
		if handled.Add(1) == messages {
			close(done)
		}
		return nil, nil
	})
	near, far := net.Pipe()
	request := joined(frame{first: fin | text, payload: []byte(`{"id":1,"type":"much","data":"` + strings.Repeat("x", 60<<10) + `"}`)})
	socket := &crammed{far, bytes.Repeat(request, messages)}
	require.NoError(t, hub.conns.Reserve())
	go func() {
		for handled.Load() < messages {
			turns.Add(1)
			runtime.Gosched()
		}
	}()
	newConn(hub, newSocket(socket, &hub.buffers, true), newCredentials(Identity{}, tokenHash{})).start(nil, 0)
	<-done
	assert.Greater(t, turns.Load(), int64(least))
	require.NoError(t, near.Close())
	require.NoError(t, hub.Shutdown(context.Background()))
}
