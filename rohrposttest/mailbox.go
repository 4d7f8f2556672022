package rohrposttest

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// mailbox buffers all incoming messages without a limit.
type mailbox struct {
	signal chan struct{} // has capacity 1; receives after a new message
	closed chan struct{} // closed when the connection has ended

	mu       sync.Mutex
	messages []Message
	err      error // why the connection ended
}

func newMailbox() mailbox {
	return mailbox{signal: make(chan struct{}, 1), closed: make(chan struct{})}
}

// readAll reads messages until the connection ends.
func (b *mailbox) readAll(ws *websocket.Conn) {
	defer close(b.closed)
	for {
		var m Message
		_, text, err := ws.ReadMessage()
		if err == nil {
			if err = json.Unmarshal(text, &m); err == nil {
				b.add(m)
				continue
			}
			err = fmt.Errorf("decode a message: %w: %.200q", err, text)
		}
		b.mu.Lock()
		b.err = err
		b.mu.Unlock()
		_, _ = io.Copy(io.Discard, ws.NetConn()) // until the hub closes the pipe
		return
	}
}

func (b *mailbox) add(m Message) {
	b.mu.Lock()
	b.messages = append(b.messages, m)
	b.mu.Unlock()
	select {
	case b.signal <- struct{}{}:
	default:
	}
}

// next removes and returns the next message. It returns false if the connection has
// ended or no message arrives within timeout.
func (b *mailbox) next() (Message, bool) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		if m, ok := b.first(); ok {
			return m, true
		}
		select {
		case <-b.signal:
		case <-b.closed:
			return b.first()
		case <-timer.C:
			return Message{}, false
		}
	}
}

func (b *mailbox) first() (Message, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.messages) == 0 {
		return Message{}, false
	}
	m := b.messages[0]
	b.messages = b.messages[1:]
	return m, true
}

// end returns the error that ended the connection, or nil while it is open.
func (b *mailbox) end() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// closeReason describes for a failure message why the connection ended. It returns ""
// while the connection is open.
func (b *mailbox) closeReason() string {
	if err := b.end(); err != nil {
		return "; the connection ended: " + err.Error()
	}
	return ""
}
