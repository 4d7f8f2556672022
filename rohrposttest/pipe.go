package rohrposttest

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"net/http/httptest"

	"github.com/gorilla/websocket"
)

// pipe opens a connection to the handler over a pair of pipes in memory.
func pipe(handler http.HandlerFunc) (*websocket.Conn, *http.Response, error) {
	near, far := net.Pipe()
	served := make(chan struct{})
	go func() {
		defer close(served)
		buffered := bufio.NewReadWriter(bufio.NewReader(far), bufio.NewWriter(far))
		r, err := http.ReadRequest(buffered.Reader)
		if err != nil {
			return // the other end sees it too
		}
		w := &response{ResponseRecorder: httptest.NewRecorder(), conn: far, buffered: buffered}
		handler(w, r)
		if !w.hijacked { // it was refused
			_ = w.Result().Write(far)
			_ = far.Close()
		}
	}()
	dialer := websocket.Dialer{NetDialContext: func(context.Context, string, string) (net.Conn, error) { return near, nil }}
	ws, refusal, err := dialer.Dial("ws://hub/", nil)
	<-served
	if err != nil {
		_ = near.Close()
	}
	return ws, refusal, err
}

// response is an http.ResponseWriter whose connection can be taken over.
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
