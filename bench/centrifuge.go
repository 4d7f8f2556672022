package main

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/centrifugal/centrifuge"
)

// openCentrifuge serves centrifugal/centrifuge with its memory broker and JSON
// protocol. The server subscribes each connection when it connects.
func openCentrifuge(history int) (http.Handler, func(string) error) {
	handler, publish := newCentrifuge(history, nil)
	return handler, func(group string) error { return publish(group, message(group)) }
}

// newCentrifuge connects the node to others by what connect sets; nil: it is alone.
func newCentrifuge(history int, connect func(*centrifuge.Node) error) (http.Handler, func(group string, text []byte) error) {
	node, err := centrifuge.New(centrifuge.Config{LogLevel: centrifuge.LogLevelError})
	if err == nil && connect != nil {
		err = connect(node)
	}
	if err != nil {
		panic(err) // the configuration is constant, or the engine is gone
	}
	type groupsKey struct{}
	node.OnConnecting(func(ctx context.Context, _ centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		subscriptions := map[string]centrifuge.SubscribeOptions{}
		for _, group := range ctx.Value(groupsKey{}).([]string) {
			subscriptions[group] = centrifuge.SubscribeOptions{EnableRecovery: history > 0}
		}
		return centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{}, Subscriptions: subscriptions}, nil
	})
	if err := node.Run(); err != nil {
		panic(err)
	}
	var options []centrifuge.PublishOption
	if history > 0 {
		options = append(options, centrifuge.WithHistory(history, time.Minute))
	}
	sockets := centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{
		PingPongConfig: centrifuge.PingPongConfig{PingInterval: -1, PongTimeout: -1}, // the generator answers none
	})
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		groups := strings.Split(r.URL.Query().Get("groups"), ",")
		sockets.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), groupsKey{}, groups)))
	})
	return handler, func(group string, text []byte) error {
		_, err := node.Publish(group, text, options...)
		return err
	}
}
