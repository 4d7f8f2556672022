// Package mempipe connects WebSocket clients to a handler in the same process, for
// tests. It uses no sockets, which would stop the clock of testing/synctest.
package mempipe

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"net/http/httptest"

	"github.com/gorilla/websocket"
)

// Dial opens a connection to the handler, which must return. If the handler refuses
// the connection, Dial returns its response and an error.
func Dial(handler http.HandlerFunc) (*websocket.Conn, *http.Response, error) {
	near, far := net.Pipe()
	served := make(chan struct{})
	go func() {
		defer close(served)
		serve(handler, far)
	}()
	dialer := websocket.Dialer{NetDialContext: func(context.Context, string, string) (net.Conn, error) { return near, nil }}
	ws, refusal, err := dialer.Dial("ws://hub/", nil)
	if err != nil {
		_ = near.Close()
	}
	<-served
	return ws, refusal, err
}

func serve(handler http.HandlerFunc, conn net.Conn) {
	buffered := bufio.NewReadWriter(bufio.NewReader(conn), bufio.NewWriter(conn))
	r, err := http.ReadRequest(buffered.Reader)
	if err != nil {
		return // Dial fails too
	}
	w := &response{ResponseRecorder: httptest.NewRecorder(), conn: conn, buffered: buffered}
	defer func() { // as net/http does it, also if the handler ends the goroutine
		if failure := recover(); failure == nil && !w.hijacked { // it was refused
			_ = w.Result().Write(conn)
		}
		if !w.hijacked {
			_ = conn.Close()
		}
	}()
	handler(w, r)
}

// response is an http.ResponseWriter that gives its connection away.
type response struct {
	*httptest.ResponseRecorder
	conn     net.Conn
	buffered *bufio.ReadWriter
	hijacked bool
}

// Hijack implements http.Hijacker.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.hijacked = true
	return w.conn, w.buffered, nil
}
