package main

import (
	"net/http"

	"github.com/olahol/melody"
)

// openMelody serves olahol/melody with a buffer for the messages in flight.
func openMelody() (http.Handler, func(string) error) {
	m := melody.New()
	m.Config.MessageBufferSize = 512
	members := newRegistry[*melody.Session]()
	m.HandleMessage(func(s *melody.Session, text []byte) { _ = s.Write(members.handle(s, text)) })
	m.HandleDisconnect(members.leave)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _ = m.HandleRequest(w, r) })
	return handler, members.publisher(func(s *melody.Session, text []byte) { _ = s.Write(text) })
}
