package rohrpost

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/handlers"
	"github.com/rohrpost/rohrpost/internal/origin"
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

	// AuthenticateToken returns the identity of the client that has a token. Clients send it
	// in hello, or with each request as "auth_jwt", when they connect and whenever they
	// renew it. The hub calls it once for each token of a connection, with
	// Limits.AuthorizeTimeout as deadline, before the request is handled. After an error the
	// hub closes the connection with 4401 and the text of an *Error. For ErrUnavailable, or
	// without a decision in time, the client reads "UNAVAILABLE" and the connection stays as
	// it is. If the token names another ID than the one before, the hub closes with 4001; if
	// it names another one than Authenticate, with 4403. AuthenticateToken is called
	// concurrently. The hub keeps a hash of the token, and logs neither. Defaults to none: then
	// a function of Allow may read "auth_jwt" of RequestFromContext.
	AuthenticateToken func(ctx context.Context, token string) (Identity, error)

	// RequireIdentity closes a connection with 4401 that is still anonymous 10 seconds after
	// it was opened. Defaults to false.
	RequireIdentity bool

	// RecheckInterval is the time after which the hub calls Allow again for the memberships
	// of a connection, give or take a fifth: once for each user, token and group, 16 calls at
	// a time, and not for Anyone. It ends those that Allow refuses, as Hub.Recheck does. A
	// negative one means never. Defaults to 5 minutes.
	RecheckInterval time.Duration

	// OnConnect is called for each connection that is open, before the hub handles its first
	// request. It may call Join and Send. ctx ends with the connection, and after
	// Limits.RequestTimeout. The identity is that of Authenticate: a token comes later. After
	// an *Error the hub closes the connection with 4403 and its text, after ErrUnavailable
	// with 1013, and after any other error, which it logs, with 1011. It is called
	// concurrently. Defaults to none.
	OnConnect func(ctx context.Context, c *Conn) error

	// OnDisconnect is called once for each connection for which OnConnect has returned nil,
	// when all its handlers have returned, with the close code and reason; 1006 if the
	// connection ended without. Shutdown waits for it. It is called concurrently. Defaults to
	// none.
	OnDisconnect func(c *Conn, code int, reason string)

	// Origins are the origins, "scheme://host" or "scheme://host:port", whose pages may
	// connect besides those of the same origin. "https://*.example.com" stands for all
	// subdomains, but not for example.com itself. "*" lets any page connect, and "null"
	// pages without an origin: those of files and sandboxed frames, which any page can
	// make. Both are safe only where no cookie identifies the user. NewHub panics if an
	// origin can match no page. Defaults to none.
	Origins []string

	// Hosts are the names that the Host header of a request may have, without a port.
	// "*.example.com" stands for all subdomains. A page of another name whose address was
	// changed to that of the hub (DNS rebinding) is refused with 421: set Hosts where the
	// address is all that protects a hub, as on a developer's machine. NewHub panics if an
	// entry has a scheme, a port or a path. Defaults to any host.
	Hosts []string

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

	// Broker carries messages to the hubs of other processes and keeps the history. Each
	// hub needs a value of its own. Defaults to a history in the memory of the hub.
	Broker broker.Broker

	// BrokerKey signs what the hub publishes to the Broker, with HMAC-SHA256, where
	// strangers can publish to the same engine. In place of a message that is not signed
	// with it, the group gets a resync. All hubs of the program need the same key. Defaults
	// to none: the hub believes all messages.
	BrokerKey []byte

	// GroupOf maps the data of a subscribe or unsubscribe request to the name of a group.
	// ctx is that of the request. An error refuses the request. It is called concurrently.
	// Defaults to handlers.GroupOf: "type-id" for {"type": "type", "id": "id"}, where the id
	// is a string or an integer, and "name" for {"group": "name"}.
	GroupOf func(ctx context.Context, c *Conn, data json.RawMessage) (string, error)

	authenticated bool // Handle is closed to anonymous connections
}

// withDefaults replaces each zero by its default. It panics if the configuration is not
// valid.
func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.authenticated = c.Authenticate != nil || c.AuthenticateToken != nil || c.RequireIdentity
	if c.Authenticate == nil {
		c.Authenticate = func(*http.Request) (Identity, error) { return Identity{}, nil }
	}
	if c.GroupOf == nil {
		c.GroupOf = func(_ context.Context, _ *Conn, data json.RawMessage) (string, error) { return handlers.GroupOf(data) }
	}
	c.PingInterval = cmp.Or(c.PingInterval, 25*time.Second)
	c.RecheckInterval = cmp.Or(c.RecheckInterval, 5*time.Minute)
	c.Limits = c.Limits.withDefaults()
	for _, o := range c.Origins {
		if problem := origin.Problem(o); problem != "" {
			panic(fmt.Sprintf("rohrpost: Config.Origins: %q %s", o, problem))
		}
	}
	for _, h := range c.Hosts {
		if problem := origin.HostProblem(h); problem != "" {
			panic(fmt.Sprintf("rohrpost: Config.Hosts: %q %s", h, problem))
		}
	}
	if c.Broker != nil && (c.DisableHistory || c.History != HistoryLimits{}) {
		panic("rohrpost: Config.Broker keeps the history: set neither Config.History nor Config.DisableHistory, " +
			"but configure the broker")
	}
	return c
}
