package main

import (
	"net"
	"net/http"

	"github.com/lesismal/nbio/logging"
	"github.com/lesismal/nbio/nbhttp"
	"github.com/lesismal/nbio/nbhttp/websocket"
)

// listenNBIO serves lesismal/nbio with its own poller.
func listenNBIO(listener net.Listener) (func(string) error, error) {
	logging.SetLevel(logging.LevelNone) // it would log to standard output
	members := newRegistry[*websocket.Conn]()
	upgrader := websocket.NewUpgrader()
	upgrader.OnMessage(func(c *websocket.Conn, _ websocket.MessageType, text []byte) {
		_ = c.WriteMessage(websocket.TextMessage, members.handle(c, text))
	})
	upgrader.OnClose(func(c *websocket.Conn, _ error) { members.leave(c) })
	mux := http.NewServeMux()
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) { _, _ = upgrader.Upgrade(w, r, nil) })
	address := listener.Addr().String()
	if err := listener.Close(); err != nil { // the engine listens itself
		return nil, err
	}
	engine := nbhttp.NewEngine(nbhttp.Config{Network: "tcp", Addrs: []string{address}, Handler: mux, MaxLoad: 100_000})
	return members.publisher(func(c *websocket.Conn, text []byte) { _ = c.WriteMessage(websocket.TextMessage, text) }), engine.Start()
}
