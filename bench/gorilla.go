package main

import (
	"net/http"

	"github.com/gorilla/websocket"
)

// openGorilla serves gorilla/websocket in the way of its chat example: each connection
// has a goroutine that reads, a goroutine that writes and a channel between them. The
// writer joins waiting messages with newlines into one frame.
func openGorilla() (http.Handler, func(string) error) {
	members := newRegistry[chan []byte]()
	return gorillaHandler(members), members.publisher(func(send chan []byte, text []byte) { send <- text })
}

func gorillaHandler(members *registry[chan []byte]) http.Handler {
	upgrader := websocket.Upgrader{ReadBufferSize: 1024, WriteBufferSize: 1024}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		send := make(chan []byte, 256)
		go writeChat(ws, send)
		for {
			_, text, err := ws.ReadMessage()
			if err != nil {
				members.leave(send)
				close(send)
				return
			}
			send <- members.handle(send, text)
		}
	})
}

func writeChat(ws *websocket.Conn, send chan []byte) {
	defer func() { _ = ws.Close() }()
	for text := range send {
		w, err := ws.NextWriter(websocket.TextMessage)
		if err != nil {
			return
		}
		_, _ = w.Write(text)
		for range len(send) {
			_, _ = w.Write([]byte{'\n'})
			_, _ = w.Write(<-send)
		}
		if w.Close() != nil {
			return
		}
	}
}
