package main

import (
	"context"
	"net/http"

	"github.com/rohrpost/rohrpost"
)

// openHub serves rohrpost with the default Config, without limits of connections and of
// the messages and bytes of a client: the load exceeds them on purpose.
func openHub() (http.Handler, func(string) error) { return open(rohrpost.Config{}) }

// openHubNoHistory serves rohrpost without a history.
func openHubNoHistory() (http.Handler, func(string) error) {
	return open(rohrpost.Config{DisableHistory: true})
}

func open(config rohrpost.Config) (http.Handler, func(string) error) {
	config.Limits.MaxConnections = -1
	config.Limits.Messages, config.Limits.InboundBytes = rohrpost.Rate{PerSecond: -1}, rohrpost.Rate{PerSecond: -1}
	hub := rohrpost.NewHub(config)
	hub.Allow("{group}", rohrpost.Anyone)
	return hub, func(group string) error {
		return hub.Publish(context.Background(), rohrpost.Change{
			Group: group, Type: rohrpost.Update, Object: newObject(), UpdatedFields: []string{"title"},
		})
	}
}
