package main

import (
	"context"
	"net/http"

	"github.com/coder/websocket"
)

// openCoder serves coder/websocket in the way of its chat example: each connection
// has a channel and a goroutine that writes.
func openCoder() (http.Handler, func(string) error) {
	members := newRegistry[chan []byte]()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = ws.CloseNow() }()
		send := make(chan []byte, 256)
		defer members.leave(send)
		go func() {
			for text := range send {
				if ws.Write(context.Background(), websocket.MessageText, text) != nil {
					return
				}
			}
		}()
		for {
			_, text, err := ws.Read(context.Background())
			if err != nil {
				return
			}
			send <- members.handle(send, text)
		}
	})
	return handler, members.publisher(func(send chan []byte, text []byte) { send <- text })
}
