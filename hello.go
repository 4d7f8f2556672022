package rohrpost

import (
	"bytes"
	"context"
	"crypto/rand"
	"math"
	"strings"
	"time"

	"github.com/rohrpost/rohrpost/handlers"
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
type wants struct{ unsubscribed, parts bool }

// hello answers the first request of a connection.
func (c *Conn) hello(r *Request) (any, error) {
	hello, err := handlers.ParseHello(r.Data)
	if err != nil {
		return nil, codedError(wire.CodeMalformed, "%w", err)
	}
	w := &wants{}
	for _, want := range hello.Wants {
		switch want { // others are of a later version
		case "unsubscribed":
			w.unsubscribed = true
		case "parts":
			w.parts = true
		}
	}
	c.wants.Store(w)
	return c.helloReply(), nil
}

func (c *Conn) helloReply() handlers.HelloReply {
	if c.id == "" {
		c.id = rand.Text()
	}
	limits := &c.hub.config.Limits
	reply := handlers.HelloReply{
		Version:    handlers.Version,
		Connection: c.id,
		Limits: handlers.HelloLimits{
			MaxMessageBytes: limit(limits.MaxMessageBytes),
			MaxGroups:       limit(int64(limits.MaxGroups)),
			MaxDepth:        limit(int64(limits.MaxDepth)),
		},
	}
	reply.Subtree = c.subtree
	if at := c.identity.Expires; !at.IsZero() {
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

// heartbeat answers a heartbeat that the reader did not recognize.
func heartbeat(context.Context, *Conn, *Request) (any, error) { return nil, nil }

// isReserved reports whether a program must not use the name of a request.
func isReserved(name string) bool { return strings.HasPrefix(name, reservedPrefix) }
