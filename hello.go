package rohrpost

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"time"

	"github.com/rohrpost/rohrpost/handlers"
	"github.com/rohrpost/rohrpost/internal/excess"
	"github.com/rohrpost/rohrpost/internal/lazyctx"
	"github.com/rohrpost/rohrpost/internal/panics"
	"github.com/rohrpost/rohrpost/internal/wire"
)

const (
	// reservedPrefix begins the names of requests that the hub answers itself, besides
	// those of rohrpost-js.
	reservedPrefix = "rohrpost:"

	helloRequest     = reservedPrefix + "hello"
	heartbeatRequest = reservedPrefix + "heartbeat"
)

// wants are what a client has asked for in its hello. A connection without hello has
// none: it gets nothing that it does not know.
type wants struct {
	unsubscribed, parts, expiring, status bool
	page                                  string // its id; "": none, or malformed
}

// hello answers the first request of a connection.
func (c *Conn) hello(ctx context.Context, r *Request) (any, error) {
	hello, err := handlers.ParseHello(r.Data)
	if err != nil {
		return nil, codedError(wire.CodeMalformed, "%w", err)
	}
	switch err := c.takeToken(ctx, hello.Token); {
	case errors.Is(err, ErrClosed):
		return nil, errBeside // nobody is left to answer
	case err != nil:
		return nil, err
	}
	w := &wants{page: wire.Origin(hello.Page)}
	for _, want := range hello.Wants {
		switch want { // others are of a later version
		case "unsubscribed":
			w.unsubscribed = true
		case "parts":
			w.parts = true
		case "expiring":
			w.expiring = true
		case "status":
			w.status = true
		}
	}
	c.wants.Store(w)
	c.timer.Reset(c.nextTick())
	if w.status && c.hub.stale.Load() {
		_ = c.pushFrame(statusFrame(true)) // or the connection ends
	}
	return c.helloReply(), nil
}

func (c *Conn) helloReply() handlers.HelloReply {
	limits := &c.hub.config.Limits
	reply := handlers.HelloReply{
		Version:    handlers.Version,
		Connection: c.ID(),
		Token:      c.hub.config.AuthenticateToken != nil,
		Limits: handlers.HelloLimits{
			MaxMessageBytes: limit(limits.MaxMessageBytes),
			MaxGroups:       limit(int64(limits.MaxGroups)),
			MaxDepth:        limit(int64(limits.MaxDepth)),
		},
	}
	reply.Subtree = c.subtree
	if at := c.credentials.Load().Expires; !at.IsZero() {
		seconds := math.Max(0, math.Round(time.Until(at).Seconds()*10)/10)
		reply.ExpiresIn = &seconds
	}
	return reply
}

// limit returns nil for no limit.
func limit(n int64) *int64 {
	if n < 0 {
		return nil
	}
	return &n
}

// wanted returns what the client has asked for.
func (c *Conn) wanted() wants {
	if w := c.wants.Load(); w != nil {
		return *w
	}
	return wants{}
}

// maxHeartbeat is the length of the longest heartbeat that the reader answers.
const maxHeartbeat = 256

// answerHeartbeat answers a heartbeat on the reader, ahead of the requests that wait. It
// reports whether the message was one.
func (c *Conn) answerHeartbeat(in inbound) bool {
	if in.binary || len(in.data) > maxHeartbeat || !bytes.Contains(in.data, []byte(heartbeatRequest)) {
		return false
	}
	r, err := wire.DecodeRequest(in.data, c.hub.config.Limits.MaxDepth)
	if err != nil || r.Name != heartbeatRequest {
		return false
	}
	_ = c.pushFrame(wire.Envelope{ID: r.ID, Type: r.Type}.Frame()) // or the connection ends
	return true
}

// expiringFrame tells a client that its identity expires.
func expiringFrame(left time.Duration) wire.Frame {
	m := Message{Type: reservedPrefix + "expiring", Data: map[string]float64{"expires_in": max(0, math.Round(left.Seconds()*10)/10)}}
	payload, _ := m.encode("", "") // always encodes
	return wire.TextFrame(payload)
}

// setStale tells the clients that want it that the broker does not answer, or does again.
func (h *Hub) setStale(stale bool) {
	h.stale.Store(stale)
	frame := statusFrame(stale)
	for _, c := range h.conns.All() {
		if c.wanted().status {
			_ = c.pushFrame(frame) // or the connection ends
		}
	}
}

// statusFrame tells a client whether it may see old data.
func statusFrame(stale bool) wire.Frame {
	status := "live"
	if stale {
		status = "stale"
	}
	payload, _ := (&Message{Type: reservedPrefix + "status", Data: map[string]string{"status": status}}).encode("", "") // always encodes
	return wire.TextFrame(payload)
}

// heartbeat answers a heartbeat that the reader did not recognize.
func heartbeat(context.Context, *Conn, *Request) (any, error) { return nil, nil }

// isReserved reports whether a program must not use the name of a request.
func isReserved(name string) bool { return strings.HasPrefix(name, reservedPrefix) }

// tokenField is the field in which rohrpost-js sends a token with each request.
const tokenField = "auth_jwt"

// takeToken authenticates the client by the token in its request, unless the connection
// knows the token. It returns the error for the client, or ErrClosed if it has ended the
// connection. It belongs to dispatch.
func (c *Conn) takeToken(ctx context.Context, field json.RawMessage) error {
	var token string
	if len(field) == 0 || json.Unmarshal(field, &token) != nil || token == "" {
		return nil
	}
	hash := sha256.Sum256([]byte(token))
	if c.hub.config.AuthenticateToken == nil || c.credentials.Load().token == hash {
		return nil
	}
	c.member.Wake() // replies are held, and it may take long
	began := c.hub.ledger.Now()
	identity, err := c.hub.authenticateToken(ctx, token)
	switch {
	case c.ctx.Err() != nil:
		return ErrClosed
	case errors.Is(err, ErrUnavailable):
		c.hub.log.Error("rohrpost: authenticate a token", "user", c.user(), "error", scrubbed(err, token))
		return ErrUnavailable
	case err != nil:
		c.hub.counters.refused.add(wire.CodeUnauthorized)
		c.hub.warn(&c.hub.throttles.unauthorized, "rohrpost: close a connection whose token is refused",
			"user", c.user(), "remote", c.remote(), "error", scrubbed(err, token))
		c.member.End(wire.CloseUnauthorized, unauthorizedReason(err), true)
		return ErrClosed
	}
	return c.identify(newCredentials(identity, hash), began)
}

// authenticateToken calls Config.AuthenticateToken. A decision that comes too late is
// none.
func (h *Hub) authenticateToken(parent context.Context, token string) (identity Identity, err error) {
	ctx := lazyctx.New(parent, h.config.Limits.AuthorizeTimeout)
	defer ctx.End()
	err = panics.Isolate(func() (err error) {
		identity, err = h.config.AuthenticateToken(ctx, token)
		return err
	})
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return identity, errors.Join(ErrUnavailable, err)
	case err != nil:
		return identity, err
	}
	return current(identity)
}

// identify gives the connection another identity of the same user, or the first one of an
// anonymous connection. A token of another user ends it: with 4001 where it renews one, so
// that the client connects anew, and with 4403 where it contradicts the HTTP request.
func (c *Conn) identify(now *credentials, began uint64) error {
	before := c.credentials.Load()
	if before.ID != "" && before.ID != now.ID {
		code := wire.CloseForbidden
		if before.token != (tokenHash{}) {
			code = wire.CloseExpired
		}
		c.hub.counters.refused.add(wire.CodeOtherIdentity)
		c.hub.warn(&c.hub.throttles.unauthorized, "rohrpost: close a connection whose token names another user",
			"user", before.ID, "token names", now.ID, "code", code)
		c.member.End(code, "another identity", true)
		return ErrClosed
	}
	if c.place.SetUser(now.ID) != nil {
		_ = c.cut(excess.UserConnections)
		return ErrClosed
	}
	c.hub.conns.Move(c, before.ID, now.ID)
	c.credentials.Store(now)
	if c.endIfDisconnected(began) {
		return ErrClosed
	}
	c.timer.Reset(c.nextTick())
	if len(c.member.Subscribed()) > 0 {
		c.tasks.Go(func() { _ = c.hub.enforcer.RecheckConn(c.ctx, (*subject)(c)) }) // what is not decided is asked again
	}
	return nil
}

// endIfDisconnected ends a connection that was being authenticated while Hub.Disconnect
// ended those of its user.
func (c *Conn) endIfDisconnected(began uint64) bool {
	d, ok := c.hub.ledger.DisconnectedSince(began, c.user())
	if !ok {
		return false
	}
	if d.Code == 0 {
		d.Code = wire.CloseExpired
	}
	c.member.End(d.Code, d.Reason, true)
	return true
}

// keepToken keeps the token of a subscribe request for a program that reads tokens
// itself: Allow is asked again with it. It belongs to dispatch.
func (c *Conn) keepToken(field json.RawMessage) {
	before := c.credentials.Load()
	if c.hub.config.AuthenticateToken != nil || len(field) == 0 || string(field) == "null" || bytes.Equal(field, before.field) {
		return
	}
	now := &credentials{Identity: before.Identity, token: sha256.Sum256(field), field: bytes.Clone(field), notice: before.notice}
	now.noticed.Store(before.noticed.Load())
	c.credentials.Store(now)
}
