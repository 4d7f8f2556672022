package main

import (
	"context"
	"net/http"

	"github.com/rohrpost/rohrpost"
)

// openHub is this hub, with its default Config but for the limit of connections.
func openHub() (http.Handler, func(string) error) { return open(rohrpost.Config{}) }

// openForgetful is this hub without a history.
func openForgetful() (http.Handler, func(string) error) {
	return open(rohrpost.Config{DisableHistory: true})
}

func open(config rohrpost.Config) (http.Handler, func(string) error) {
	config.Limits.MaxConnections = -1
	hub := rohrpost.NewHub(config)
	hub.Allow("{group}", rohrpost.Anyone)
	return hub, func(group string) error {
		return hub.Publish(context.Background(), rohrpost.Change{
			Group: group, Type: rohrpost.Update, Object: newObject(), UpdatedFields: []string{"title"},
		})
	}
}
