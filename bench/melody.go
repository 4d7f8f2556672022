package main

import (
	"net/http"

	"github.com/olahol/melody"
)

// openMelody is melody, with room for the messages that are on the way.
func openMelody() (http.Handler, func(string) error) {
	m := melody.New()
	m.Config.MessageBufferSize = 512
	members := newRooms[*melody.Session]()
	m.HandleMessage(func(s *melody.Session, text []byte) { _ = s.Write(members.serve(s, text)) })
	m.HandleDisconnect(members.leave)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _ = m.HandleRequest(w, r) })
	return handler, members.publisher(func(s *melody.Session, text []byte) { _ = s.Write(text) })
}
