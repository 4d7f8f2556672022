package main

import (
	"net/http"

	"github.com/lxzan/gws"
)

// openGWS serves lxzan/gws with its broadcaster, which frames a message once.
func openGWS() (http.Handler, func(string) error) {
	events := &gwsEvents{members: newRegistry[*gws.Conn]()}
	upgrader := gws.NewUpgrader(events, nil)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if socket, err := upgrader.Upgrade(w, r); err == nil {
			go socket.ReadLoop()
		}
	})
	return handler, func(group string) error {
		b := gws.NewBroadcaster(gws.OpcodeText, message(group))
		defer func() { _ = b.Close() }()
		events.members.each(group, func(socket *gws.Conn) { _ = b.Broadcast(socket) })
		return nil
	}
}

type gwsEvents struct {
	gws.BuiltinEventHandler
	members *registry[*gws.Conn]
}

func (e *gwsEvents) OnMessage(socket *gws.Conn, text *gws.Message) {
	defer func() { _ = text.Close() }()
	_ = socket.WriteMessage(gws.OpcodeText, e.members.handle(socket, text.Bytes()))
}

func (e *gwsEvents) OnClose(socket *gws.Conn, _ error) { e.members.leave(socket) }
