package rohrpost

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Clients that ask for much and read nothing are closed while all of them together stay
// within a limit. Others notice nothing.
func TestQueuesTogetherAreBounded(t *testing.T) {
	const limit = 32 << 20
	hub := quiet(Config{Limits: Limits{MaxQueuedBytes: limit, InboundBytes: Rate{PerSecond: -1}, MaxSendQueueBytes: 64 << 20}})
	hub.Handle("much", func(context.Context, *Conn, *Request) (any, error) { return strings.Repeat("x", 512<<10), nil })
	address := serve(t, hub)
	honest := dial(t, address)
	most := 0
	for range 12 {
		ws := dial(t, address)
		for i := range 40 {
			if ws.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `{"id":%d,"type":"much"}`, i)) != nil {
				break
			}
		}
	}
	require.Eventually(t, func() bool {
		send(t, honest, `{"id":1,"type":"ping"}`)
		assert.Equal(t, `{"id":1,"type":"pong"}`, receive(t, honest))
		total := 0
		for _, c := range hub.conns.All() {
			total += c.member.Waiting() + c.inbox.size()
		}
		most = max(most, total)
		return hub.Stats().SlowConsumers > 0
	}, 20*time.Second, 10*time.Millisecond)
	assert.LessOrEqual(t, most, 2*limit, "what is queued while the hub looks comes on top: all together would be 240 MiB")
}
