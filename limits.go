package rohrpost

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Limits bounds a connection, or a hub. A negative limit or duration means none.
type Limits struct {
	// MaxMessageBytes is the size of the largest message that a client may send. A larger
	// one closes the connection with 1009. Defaults to 64 KiB.
	MaxMessageBytes int64

	// MaxDepth is the number of levels that the arrays and objects of a message of a client
	// may nest. The hub answers a deeper one with an error. Defaults to 64.
	MaxDepth int

	// MaxGroups is the number of groups of which a connection may be a member. A request for
	// one more is refused before Allow is asked. Defaults to 128.
	MaxGroups int

	// MaxConnections is the number of open connections. The hub refuses more with 503.
	// Where more than half of them are open, an address with more than an eighth of them is
	// refused with 429. An IPv6 address stands for its /64. Loopback and private addresses
	// are not counted, nor are clients behind a Unix socket. Defaults to 10,000.
	MaxConnections int

	// MaxUserConnections is the number of open connections of one Identity.ID; clients
	// without one are not counted. The hub refuses more with 429, or closes them with 4029
	// where a token names the user. Defaults to 128.
	MaxUserConnections int

	// MaxHandshakes is the number of handshakes, with Config.Authenticate, under way at a
	// time. One address holds an eighth of them at most, with the exceptions of
	// MaxConnections. Others wait, eight times as many. Defaults to 512.
	MaxHandshakes int

	// HandshakeTimeout is the time for a handshake, with the wait for its place and
	// Config.Authenticate, whose request has a context with this deadline. The hub refuses
	// a longer one with 503. Defaults to 5 seconds.
	HandshakeTimeout time.Duration

	// TrustedProxies are the addresses of reverse proxies. If a request comes from one, the
	// last address in its header X-Forwarded-For that is not one of them counts as that of
	// the client. Without it all clients of a proxy have its address, which is not counted
	// if it is loopback or private. Defaults to none.
	TrustedProxies []netip.Prefix

	// MaxFunctions is the number of handlers and functions of the program that run at a
	// time: those of Handle, Allow and Config.GroupOf. One user or one address, with the
	// exceptions of MaxConnections, runs an eighth of them at most. Others wait until the
	// deadline of their request. Defaults to 1,024.
	MaxFunctions int

	// MaxSendQueueBytes is the bytes that may wait for a client that reads more slowly
	// than the hub sends, where each message counts 128 more than it has. One byte more
	// closes the connection with 4008. No message may be larger. Defaults to 1 MiB.
	MaxSendQueueBytes int

	// MaxQueuedBytes is the bytes that may wait for all clients together, with those that
	// clients have sent and that are not handled yet. Above it the hub closes the clients for
	// which most waits, with 4008. It looks each time a sixteenth more was queued. Defaults
	// to 256 MiB.
	MaxQueuedBytes int

	// MaxSendQueueAge is how long a message may wait for a client that reads more slowly
	// than the hub sends. A longer wait closes the connection with 4008, except while a
	// snapshot is sent in parts. Defaults to 30 seconds.
	MaxSendQueueAge time.Duration

	// IdleTimeout is the time after which the hub aborts a connection from which it has no
	// frame, exact to a 64th, and which takes nothing of what waits for it. It should be at
	// least twice Config.PingInterval. Defaults to 60 seconds.
	IdleTimeout time.Duration

	// WriteTimeout is the time in which a client must take something of what is written
	// and, when the connection is being closed, all that is left. Then the hub aborts the
	// connection. Defaults to 10 seconds.
	WriteTimeout time.Duration

	// MaxSnapshotBytes is the size of the largest snapshot as JSON. The client gets the
	// error "snapshot_too_large" in place of a larger one; above half the size the hub
	// logs a warning. A snapshot that is an array and larger than half a send queue is
	// sent in parts to clients that ask for parts. Other clients get one that fits into
	// the send queue, else the same error. Defaults to 16 MiB.
	MaxSnapshotBytes int

	// MaxSnapshots is the number of functions given to Hub.Snapshot and Hub.SnapshotFor
	// that run at a time. Others wait for up to RequestTimeout; then their clients read
	// "UNAVAILABLE". Defaults to 32.
	MaxSnapshots int

	// RequestTimeout is the deadline of the context of a handler and of a function that
	// reads a snapshot, and the time that a handler that returns Later has for the answer.
	// Defaults to 30 seconds.
	RequestTimeout time.Duration

	// InboundBytes bounds the bytes that a client sends. Over it the hub stops reading from
	// the client, for a second in all, and then closes the connection with 4029. Defaults
	// to 256 KiB a second, and 1 MiB at once.
	InboundBytes Rate

	// Messages bounds the frames of messages that a client sends: a message has one, unless
	// the client divides it. The hub does the same over it as over InboundBytes. Defaults
	// to 100 a second, and 1,024 at once.
	Messages Rate

	// ControlFrames bounds the pings and pongs that a client sends. The hub closes the
	// connection over it with 4029. Defaults to 10 a second, and 100 at once.
	ControlFrames Rate

	// MessageTimeout is the time in which a message must come, from its first byte to its
	// last one. Then the hub closes the connection with 4029. Defaults to 10 seconds.
	MessageTimeout time.Duration

	// RefusedGroups bounds the groups that a client is refused, each counted once. The hub
	// closes the connection over it with 4029. Defaults to 1 a second, and 50 at once.
	RefusedGroups Rate

	// MaxProtocolErrors is the number of messages that are not valid requests. One of them
	// is forgotten each minute. One more closes the connection with 1008. Defaults to 10.
	MaxProtocolErrors int

	// AuthorizeTimeout is the deadline of the context of a function given to Allow. A
	// later decision is a refusal. Defaults to 5 seconds.
	AuthorizeTimeout time.Duration
}

// Rate bounds something that clients do: PerSecond in the long run, and Burst at once. If
// one of them is negative, there is no limit. If both are 0, the default applies; if one
// is, it is that of the default.
type Rate struct{ PerSecond, Burst int }

func (r *Rate) setDefault(perSecond, burst int) {
	r.PerSecond = cmp.Or(r.PerSecond, perSecond)
	r.Burst = cmp.Or(r.Burst, burst)
}

func (l Limits) withDefaults() Limits {
	l.MaxMessageBytes = cmp.Or(l.MaxMessageBytes, 64<<10)
	l.MaxDepth = cmp.Or(l.MaxDepth, 64)
	l.MaxGroups = cmp.Or(l.MaxGroups, 128)
	l.MaxConnections = cmp.Or(l.MaxConnections, 10_000)
	l.MaxUserConnections = cmp.Or(l.MaxUserConnections, 128)
	l.MaxHandshakes = cmp.Or(l.MaxHandshakes, 512)
	l.HandshakeTimeout = cmp.Or(l.HandshakeTimeout, 5*time.Second)
	l.MaxFunctions = cmp.Or(l.MaxFunctions, 1024)
	l.MaxSendQueueBytes = cmp.Or(l.MaxSendQueueBytes, 1<<20)
	l.MaxQueuedBytes = cmp.Or(l.MaxQueuedBytes, 256<<20)
	l.MaxSendQueueAge = cmp.Or(l.MaxSendQueueAge, 30*time.Second)
	l.IdleTimeout = cmp.Or(l.IdleTimeout, 60*time.Second)
	l.WriteTimeout = cmp.Or(l.WriteTimeout, 10*time.Second)
	l.MaxSnapshotBytes = cmp.Or(l.MaxSnapshotBytes, 16<<20)
	l.MaxSnapshots = cmp.Or(l.MaxSnapshots, 32)
	l.RequestTimeout = cmp.Or(l.RequestTimeout, 30*time.Second)
	l.AuthorizeTimeout = cmp.Or(l.AuthorizeTimeout, 5*time.Second)
	l.InboundBytes.setDefault(256<<10, 1<<20)
	l.Messages.setDefault(100, 1024)
	l.ControlFrames.setDefault(10, 100)
	l.RefusedGroups.setDefault(1, 50)
	l.MaxProtocolErrors = cmp.Or(l.MaxProtocolErrors, 10)
	l.MessageTimeout = cmp.Or(l.MessageTimeout, 10*time.Second)
	return l
}

// over reports whether n is more than a limit allows.
func over(n, limit int) bool { return limit >= 0 && n > limit }

// checkFrame returns an error for a frame that is larger than a send queue.
func (l Limits) checkFrame(bytes int) error {
	if over(bytes, l.MaxSendQueueBytes) {
		return fmt.Errorf("%w: %d bytes", errFrameSize, bytes)
	}
	return nil
}

var errFrameSize = errors.New("a message is larger than Limits.MaxSendQueueBytes")
