package rohrpost

import (
	"fmt"

	"github.com/gorilla/websocket"
)

// frame is one message on its way out. It never changes, so that all members of
// a group share it.
type frame struct {
	payload  []byte
	prepared *websocket.PreparedMessage // nil for a frame to one connection
}

// shared returns a frame that is built once, however many take it.
func shared(payload []byte) (frame, error) {
	p, err := websocket.NewPreparedMessage(websocket.TextMessage, payload)
	if err != nil {
		return frame{}, fmt.Errorf("prepare frame: %w", err)
	}
	return frame{payload: payload, prepared: p}, nil
}

// write sends f, until the deadline set on ws.
func (f frame) write(ws *websocket.Conn) error {
	if f.prepared != nil {
		return ws.WritePreparedMessage(f.prepared)
	}
	return ws.WriteMessage(websocket.TextMessage, f.payload)
}
