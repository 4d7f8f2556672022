package rohrpost

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/rohrpost/rohrpost/handlers"
)

// Config is what a Hub can be told. The zero Config works and is safe. A limit
// or a duration that is negative means: none.
type Config struct {
	// Logger takes what nobody else gets to see: errors that were not made for
	// the other end, panics, slow consumers. Defaults to slog.Default().
	Logger *slog.Logger

	// Authenticate says who opens a connection. An error refuses it with 401
	// and, if it is an *Error, its text. It is called concurrently and while
	// the HTTP request waits; use the context of the request.
	// Defaults to everyone being anonymous.
	Authenticate func(*http.Request) (Identity, error)

	// Origins are the origins, "scheme://host" or "scheme://host:port", whose
	// pages may connect besides those of the same origin. "*" lets any page
	// connect, which is only safe where no cookie tells who the user is.
	// NewHub panics if one is not an origin. Defaults to none.
	Origins []string

	// MaxMessageBytes is the size of the largest message a connection may send;
	// a larger one closes it with 1009. Defaults to 64 KiB.
	MaxMessageBytes int64

	// PingInterval is the time between two pings of the server.
	// Defaults to 25 seconds.
	PingInterval time.Duration

	// DeadAfter is the time without a frame, exact to a 64th, after which a
	// connection is taken for dead. It should be at least twice the PingInterval.
	// Defaults to 60 seconds.
	DeadAfter time.Duration

	// WriteTimeout is the time a connection has to take at least something and,
	// when it is being closed, all that is left; after that it is cut.
	// Defaults to 10 seconds.
	WriteTimeout time.Duration

	// SendQueueAge is how long a message may wait for a connection that reads
	// slower than it is written to. Longer closes it with 4008.
	// Defaults to 30 seconds.
	SendQueueAge time.Duration

	// SendQueueBytes is how much may wait for a connection that reads slower
	// than it is written to. One byte more closes it with 4008, and no single
	// message may be larger. Defaults to 1 MiB.
	SendQueueBytes int

	// MaxGroups is the number of groups a connection may be in.
	// Defaults to 128.
	MaxGroups int

	// MaxConnections is the number of connections at a time, those being opened
	// included; more are refused with 503. Defaults to 10,000.
	MaxConnections int

	// RequestTimeout is the deadline of a handler's context, and the time a
	// request that is answered Later has for its answer.
	// Defaults to 30 seconds.
	RequestTimeout time.Duration

	// AuthorizeTimeout is the deadline of the context of a function given to
	// Allow; what it decides later is a refusal. Defaults to 5 seconds.
	AuthorizeTimeout time.Duration

	// History says how much is kept for connections that were away.
	// Defaults to the History that its fields name.
	History History

	// NoHistory keeps nothing: messages have no offset, and who was away has to load
	// the state. Defaults to false.
	NoHistory bool

	// Broker carries messages to the hubs of other processes, and keeps the history;
	// History and NoHistory are then its business. Defaults to a Memory of the hub's own.
	Broker Broker

	// GroupOf says which group the data of a subscribe or unsubscribe request
	// means; an error refuses the request. It is called concurrently.
	// Defaults to "type-id" for {"type": "type", "id": "id"}, where the id is a
	// string or an integer, and to "name" for {"group": "name"}.
	GroupOf func(data json.RawMessage) (string, error)
}

// withDefaults returns c with every zero replaced by what is documented.
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
	setDefault(&c.MaxMessageBytes, 64<<10)
	setDefault(&c.PingInterval, 25*time.Second)
	setDefault(&c.DeadAfter, 60*time.Second)
	setDefault(&c.WriteTimeout, 10*time.Second)
	setDefault(&c.SendQueueAge, 30*time.Second)
	setDefault(&c.SendQueueBytes, 1<<20)
	setDefault(&c.MaxGroups, 128)
	setDefault(&c.MaxConnections, 10_000)
	setDefault(&c.RequestTimeout, 30*time.Second)
	setDefault(&c.AuthorizeTimeout, 5*time.Second)
	for _, o := range c.Origins {
		if _, ok := parseOrigin(o); !ok && o != anyOrigin {
			panic(fmt.Sprintf("rohrpost: Config.Origins: %q is not scheme://host[:port]", o))
		}
	}
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// over reports whether n is more than a limit allows.
func over[T int | int64](n, limit T) bool { return limit >= 0 && n > limit }

// half returns half a limit.
func half(limit int) int {
	if limit < 0 {
		return limit
	}
	return limit / 2
}

// deadline returns the time after d, or none if d means none.
func deadline(d time.Duration) time.Time {
	if d < 0 {
		return time.Time{}
	}
	return time.Now().Add(d)
}
