package main

import (
	"net"
	"net/http"
	"runtime"
	"sync"

	"github.com/gorilla/websocket"
)

// openFloor serves raw socket writes, the lower bound for any library. It frames a
// message once and joins the waiting frames once. One goroutine per processor writes
// them to one socket after the other.
func openFloor() (http.Handler, func(string) error) {
	f, handler := newFloor()
	return handler, func(group string) error { f.write(message(group)); return nil }
}

func newFloor() (*floor, http.Handler) {
	f := &floor{}
	upgrader := websocket.Upgrader{}
	for range runtime.GOMAXPROCS(0) {
		w := &floorWriter{wake: make(chan struct{}, 1)}
		f.writers = append(f.writers, w)
		go w.run()
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		_, _, _ = ws.ReadMessage()
		f.add(ws.NetConn(), []byte("\x81\x08{\"id\":1}"))
	})
	return f, handler
}

type floor struct {
	mu      sync.Mutex
	turn    int
	writers []*floorWriter
}

type floorWriter struct {
	wake chan struct{}

	mu      sync.Mutex
	conns   []net.Conn
	pending []byte
}

// add adds a connection and replies to its first frame.
func (f *floor) add(conn net.Conn, reply []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.turn++
	w := f.writers[f.turn%len(f.writers)]
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns = append(w.conns, conn)
	_, _ = conn.Write(reply)
}

func (f *floor) write(text []byte) {
	header := []byte{0x81, 126, byte(len(text) >> 8), byte(len(text))}
	for _, w := range f.writers {
		w.mu.Lock()
		w.pending = append(append(w.pending, header...), text...)
		w.mu.Unlock()
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

func (w *floorWriter) run() {
	var spare []byte
	for range w.wake {
		w.mu.Lock()
		frames, conns := w.pending, w.conns
		if len(frames) == 0 {
			w.mu.Unlock()
			continue
		}
		w.pending = spare[:0]
		w.mu.Unlock()
		for i, conn := range conns {
			_, _ = conn.Write(frames)
			if i%32 == 31 {
				runtime.Gosched()
			}
		}
		spare = frames
	}
}
