package main

import (
	"context"
	"net/http"
	"time"

	"github.com/centrifugal/centrifuge"
)

// openCentrifuge is centrifugal/centrifuge with its memory broker and JSON
// protocol; connections are subscribed by the server as they connect.
func openCentrifuge(history int) (http.Handler, func(string) error) {
	node, err := centrifuge.New(centrifuge.Config{LogLevel: centrifuge.LogLevelError})
	if err != nil {
		panic(err) // the configuration is always the same
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{
			Credentials:   &centrifuge.Credentials{},
			Subscriptions: map[string]centrifuge.SubscribeOptions{"all": {EnableRecovery: history > 0}},
		}, nil
	})
	if err := node.Run(); err != nil {
		panic(err)
	}
	var options []centrifuge.PublishOption
	if history > 0 {
		options = append(options, centrifuge.WithHistory(history, time.Minute))
	}
	return centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{}), func(group string) error {
		_, err := node.Publish(group, message(group), options...)
		return err
	}
}
