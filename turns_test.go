package rohrpost

import (
	"context"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A client that sends much at once makes a reader and its dispatch wake each other. On one
// processor other goroutines run in between.
func TestMuchInputLetsOthersRun(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const messages, least = 16, 64
	begin, done := make(chan struct{}), make(chan struct{})
	hub := quiet(Config{OnConnect: func(context.Context, *Conn) error {
		<-begin
		return nil
	}})
	var handled, turns atomic.Int64
	hub.HandlePublic("much", func(context.Context, *Conn, *Request) (any, error) {
		if handled.Add(1) == messages {
			close(done)
		}
		return nil, nil
	})
	client := rawDial(t, serve(t, hub))
	request := joined(frame{first: fin | text, payload: []byte(`{"id":1,"type":"much","data":"` + strings.Repeat("x", 60<<10) + `"}`)})
	for range messages { // the system keeps what the hub does not read
		_, err := client.conn.Write(request)
		require.NoError(t, err)
	}
	go func() {
		for handled.Load() < messages {
			turns.Add(1)
			runtime.Gosched()
		}
	}()
	close(begin)
	<-done
	assert.Greater(t, turns.Load(), int64(least))
}
