package rohrpost

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The hub stops reading from a connection with too many unanswered requests.
func TestInboxIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := quiet(Config{})
		begin := make(chan struct{})
		hub.Handle("wait", func(context.Context, *Conn, *Request) (any, error) { <-begin; return nil, nil })
		ws := pipe(t, hub)
		sent := 0
		go func() {
			for ; sent < 1000; sent++ {
				if ws.WriteMessage(1, []byte(`{"id":1,"type":"wait"}`)) != nil {
					return
				}
			}
		}()
		synctest.Wait()
		assert.Less(t, sent, 2*maxInbox+20) // waiting, handled, and in the buffers between
		close(begin)
		for range 1000 {
			require.Equal(t, `{"id":1,"type":"wait"}`, receive(t, ws))
		}

		b := inbox{}
		big := inbound{data: []byte(strings.Repeat("x", maxInboxBytes/2))}
		assert.Nil(t, b.put(big))
		assert.NotNil(t, b.put(big), "bytes are bounded too")
		go func() { _ = closeCode(ws) }()
		require.NoError(t, hub.Shutdown(context.Background()))
	})
}
