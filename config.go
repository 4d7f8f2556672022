package rohrpost

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/handlers"
)

// Config configures a Hub. The zero Config works and is safe.
type Config struct {
	// Logger logs what reaches no client and no caller: errors that were not made for the
	// client, panics, slow consumers. Defaults to slog.Default().
	Logger *slog.Logger

	// Authenticate returns the identity of the client that opens a connection. An error
	// refuses the connection: with 401 or, since a page cannot see that, with the close code
	// 4401 if the request has an Origin header; with the text of an *Error. Authenticate is
	// called concurrently, while the HTTP request waits; use the context of the request.
	// Defaults to the anonymous Identity for every client.
	Authenticate func(*http.Request) (Identity, error)

	// Origins are the origins, "scheme://host" or "scheme://host:port", whose pages may
	// connect besides those of the same origin. "https://*.example.com" stands for all
	// subdomains, but not for example.com itself. "*" lets any page connect, and "null"
	// pages without an origin: those of files and sandboxed frames, which any page can
	// make. Both are safe only where no cookie identifies the user. NewHub panics if an
	// origin can match no page. Defaults to none.
	Origins []string

	// PingInterval is the time between two pings of the hub. A negative one means no
	// pings. Defaults to 25 seconds.
	PingInterval time.Duration

	// Limits bounds each connection and the hub. Defaults to the values that its fields
	// name.
	Limits Limits

	// History limits what the hub keeps for clients that are disconnected. It must be
	// zero if Broker is set. Defaults to the values that its fields name.
	History HistoryLimits

	// DisableHistory makes the hub keep nothing: messages have no offset, and a client
	// that was disconnected loads its snapshot again. It must be false if Broker is set.
	// Defaults to false.
	DisableHistory bool

	// Broker carries messages to the hubs of other processes and keeps the history.
	// Defaults to a history in the memory of the hub.
	Broker broker.Broker

	// GroupOf maps the data of a subscribe or unsubscribe request to the name of a group.
	// ctx is that of the request. An error refuses the request. It is called concurrently.
	// Defaults to handlers.GroupOf: "type-id" for {"type": "type", "id": "id"}, where the id
	// is a string or an integer, and "name" for {"group": "name"}.
	GroupOf func(ctx context.Context, c *Conn, data json.RawMessage) (string, error)
}

// withDefaults replaces each zero by its default. It panics if the configuration is not
// valid.
func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Authenticate == nil {
		c.Authenticate = func(*http.Request) (Identity, error) { return Identity{}, nil }
	}
	if c.GroupOf == nil {
		c.GroupOf = func(_ context.Context, _ *Conn, data json.RawMessage) (string, error) { return handlers.GroupOf(data) }
	}
	setDefault(&c.PingInterval, 25*time.Second)
	c.Limits = c.Limits.withDefaults()
	for _, o := range c.Origins {
		if problem := originProblem(o); problem != "" {
			panic(fmt.Sprintf("rohrpost: Config.Origins: %q %s", o, problem))
		}
	}
	if c.Broker != nil && (c.DisableHistory || c.History != HistoryLimits{}) {
		panic("rohrpost: Config.Broker keeps the history: set neither Config.History nor Config.DisableHistory, " +
			"but configure the broker")
	}
	return c
}
