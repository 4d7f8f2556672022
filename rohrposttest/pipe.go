package rohrposttest

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"net/http/httptest"

	"github.com/gorilla/websocket"
)

// pipe opens a connection to the handler over an in-memory pipe.
func pipe(handler http.HandlerFunc) (*websocket.Conn, *http.Response, error) {
	client, server := net.Pipe()
	served := make(chan struct{})
	go func() {
		defer close(served)
		buffered := bufio.NewReadWriter(bufio.NewReader(server), bufio.NewWriter(server))
		r, err := http.ReadRequest(buffered.Reader)
		if err != nil {
			return // the dialer gets an error, too
		}
		w := &response{ResponseRecorder: httptest.NewRecorder(), conn: server, buffered: buffered}
		handler(w, r)
		if !w.hijacked { // the handler rejected the request
			_ = w.Result().Write(server)
			_ = server.Close()
		}
	}()
	dialer := websocket.Dialer{NetDialContext: func(context.Context, string, string) (net.Conn, error) { return client, nil }}
	ws, rejection, err := dialer.Dial("ws://hub/", nil)
	<-served
	if err != nil {
		_ = client.Close()
	}
	return ws, rejection, err
}

// response is an http.ResponseWriter that supports Hijack.
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
