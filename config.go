package rohrpost

import (
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
	// refuses the connection with 401 and, for an *Error, its text. Authenticate is called
	// concurrently, while the HTTP request waits; use the context of the request.
	// Defaults to the anonymous Identity for every client.
	Authenticate func(*http.Request) (Identity, error)

	// Origins are the origins, "scheme://host" or "scheme://host:port", whose pages may
	// connect besides those of the same origin. "*" lets any page connect, which is safe
	// only where no cookie identifies the user. NewHub panics if one is not an origin.
	// Defaults to none.
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
	// An error refuses the request. It is called concurrently. Defaults to
	// handlers.GroupOf: "type-id" for {"type": "type", "id": "id"}, where the id is a string
	// or an integer, and "name" for {"group": "name"}.
	GroupOf func(data json.RawMessage) (string, error)
}

// Limits bounds a connection, or a hub. A negative limit or duration means none.
type Limits struct {
	// MaxMessageBytes is the size of the largest message that a client may send. A larger
	// one closes the connection with 1009. Defaults to 64 KiB.
	MaxMessageBytes int64

	// MaxGroups is the number of groups of which a connection may be a member.
	// Defaults to 128.
	MaxGroups int

	// MaxConnections is the number of connections at a time, including those that are
	// being opened. The hub refuses more with 503. Defaults to 10,000.
	MaxConnections int

	// MaxSendQueueBytes is the bytes that may wait for a client that reads more slowly
	// than the hub sends. One byte more closes the connection with 4008. No message may be
	// larger. Defaults to 1 MiB.
	MaxSendQueueBytes int

	// MaxSendQueueAge is how long a message may wait for a client that reads more slowly
	// than the hub sends. A longer wait closes the connection with 4008.
	// Defaults to 30 seconds.
	MaxSendQueueAge time.Duration

	// IdleTimeout is the time without a frame, exact to a 64th, after which the hub aborts
	// a connection. It should be at least twice Config.PingInterval.
	// Defaults to 60 seconds.
	IdleTimeout time.Duration

	// WriteTimeout is the time in which a client must take something of what is written
	// and, when the connection is being closed, all that is left. Then the hub aborts the
	// connection. Defaults to 10 seconds.
	WriteTimeout time.Duration

	// RequestTimeout is the deadline of a handler's context, and the time that a handler
	// that returns Later has for the answer. Defaults to 30 seconds.
	RequestTimeout time.Duration

	// AuthorizeTimeout is the deadline of the context of a function given to Allow. A
	// later decision is a refusal. Defaults to 5 seconds.
	AuthorizeTimeout time.Duration
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
		c.GroupOf = handlers.GroupOf
	}
	setDefault(&c.PingInterval, 25*time.Second)
	c.Limits = c.Limits.withDefaults()
	for _, o := range c.Origins {
		if _, ok := parseOrigin(o); !ok && o != anyOrigin {
			panic(fmt.Sprintf("rohrpost: Config.Origins: %q is not scheme://host[:port]", o))
		}
	}
	if c.Broker != nil && (c.DisableHistory || c.History != HistoryLimits{}) {
		panic("rohrpost: Config.Broker keeps the history: set neither Config.History nor Config.DisableHistory, " +
			"but configure the broker")
	}
	return c
}

func (l Limits) withDefaults() Limits {
	setDefault(&l.MaxMessageBytes, 64<<10)
	setDefault(&l.MaxGroups, 128)
	setDefault(&l.MaxConnections, 10_000)
	setDefault(&l.MaxSendQueueBytes, 1<<20)
	setDefault(&l.MaxSendQueueAge, 30*time.Second)
	setDefault(&l.IdleTimeout, 60*time.Second)
	setDefault(&l.WriteTimeout, 10*time.Second)
	setDefault(&l.RequestTimeout, 30*time.Second)
	setDefault(&l.AuthorizeTimeout, 5*time.Second)
	return l
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// over reports whether n is more than a limit allows.
func over(n, limit int) bool { return limit >= 0 && n > limit }

// checkFrame returns an error for a frame that is larger than a send queue.
func (l Limits) checkFrame(bytes int) error {
	if over(bytes, l.MaxSendQueueBytes) {
		return fmt.Errorf("a message of %d bytes is larger than Limits.MaxSendQueueBytes", bytes)
	}
	return nil
}
