package rohrposttest

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// mailbox takes all that comes, as fast as it comes.
type mailbox struct {
	arrived chan struct{} // holds one signal
	closed  chan struct{} // closed when nothing comes any more

	mu       sync.Mutex
	messages []Message
	err      error // how it ended
}

func newMailbox() mailbox {
	return mailbox{arrived: make(chan struct{}, 1), closed: make(chan struct{})}
}

// fill reads until the connection ends.
func (b *mailbox) fill(ws *websocket.Conn) {
	defer close(b.closed)
	for {
		var m Message
		_, text, err := ws.ReadMessage()
		if err == nil {
			if err = json.Unmarshal(text, &m); err == nil {
				b.put(m)
				continue
			}
			err = fmt.Errorf("what came is no message: %w: %.200q", err, text)
		}
		b.mu.Lock()
		b.err = err
		b.mu.Unlock()
		_, _ = io.Copy(io.Discard, ws.NetConn()) // until the hub hangs up
		return
	}
}

func (b *mailbox) put(m Message) {
	b.mu.Lock()
	b.messages = append(b.messages, m)
	b.mu.Unlock()
	select {
	case b.arrived <- struct{}{}:
	default:
	}
}

// next waits for a message. There is none when the connection has ended, or
// after some patience.
func (b *mailbox) next() (Message, bool) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		if m, ok := b.first(); ok {
			return m, true
		}
		select {
		case <-b.arrived:
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

// end returns how the connection ended, nil while it is open.
func (b *mailbox) end() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// farewell says how the connection ended, if it did.
func (b *mailbox) farewell() string {
	if err := b.end(); err != nil {
		return ", the connection has ended: " + err.Error()
	}
	return ""
}
