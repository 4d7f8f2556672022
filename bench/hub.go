package main

import (
	"context"
	"net/http"

	"github.com/rohrpost/rohrpost"
)

// openHub is this hub, with its default Config but for the limit of connections.
func openHub() (http.Handler, func(string) error) {
	hub := rohrpost.NewHub(rohrpost.Config{MaxConnections: -1})
	hub.Allow("{group}", rohrpost.Anyone)
	return hub, func(group string) error {
		return hub.Publish(context.Background(), rohrpost.Change{
			Group: group, Type: rohrpost.Update, Object: newObject(), UpdatedFields: []string{"title"},
		})
	}
}
