package rohrpost

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"unicode/utf8"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/fanout"
	"github.com/rohrpost/rohrpost/internal/upstream"
	"github.com/rohrpost/rohrpost/internal/wire"
)

var _ upstream.Receiver = (*receiver)(nil)

// receiver is a hub as its upstream sees it. engine and upstream are set before the
// first message.
type receiver struct {
	log      *slog.Logger
	enforcer enforcer
	limits   Limits
	engine   *fanout.Engine
	upstream upstream.Upstream
	setStale func(stale bool)
}

// enforcer is the access.Enforcer of a hub.
type enforcer interface {
	Disconnect(ctx context.Context, user string, code int, reason string) error
	Revoke(ctx context.Context, user, pattern string, match func(group string) bool) error
	Recheck(ctx context.Context, user, pattern string, match func(group string) bool) error
	Remember(user, pattern string, match func(group string) bool)
}

func (r *receiver) Deliver(batch []broker.Message) { r.engine.Deliver(batch) }
func (r *receiver) Start()                         { r.engine.Start() }
func (r *receiver) Publish()                       { r.engine.Publish() }

func (r *receiver) Signal(group string, frame []byte) { r.engine.Signal(group, frame) }

// Check accepts what a hub publishes: a JSON object that ends so that an offset can be
// added to its data.
func (r *receiver) Check(m *broker.Message) error {
	return checkPayload(r.limits, m, m.Epoch != "")
}

func checkPayload(limits Limits, m *broker.Message, isChange bool) error {
	p := m.Payload
	switch {
	case !wire.ValidStream(m.Stream):
		return errors.New("the stream is not a group")
	case !utf8.Valid(p) || !json.Valid(p) || !bytes.HasPrefix(p, []byte("{")) || !bytes.HasSuffix(p, []byte("}")):
		return errors.New("the payload is not a JSON object")
	case isChange && !bytes.HasSuffix(p, []byte("}}")):
		return errors.New("the payload does not end with an object")
	}
	return limits.checkFrame(wire.FramedBytes(p))
}

func (r *receiver) Resync(stream string, object json.RawMessage) (broker.Message, error) {
	ch := wire.Change{Group: wire.GroupOf(stream), Type: Resync, Object: object}
	payload, err := ch.Encode()
	return broker.Message{Stream: stream, Payload: payload}, err
}

func (r *receiver) Obey(ctx context.Context, o upstream.Order) {
	if err := obey(ctx, r.enforcer, o); err != nil {
		r.log.Error("rohrpost: obey another hub", "order", o.Kind, "user", o.User, "pattern", o.Pattern, "error", err)
	}
}

func (r *receiver) Remember(o upstream.Order) {
	match, err := matcher(o.Pattern)
	if err != nil {
		r.log.Error("rohrpost: remember an order", "order", o.Kind, "user", o.User, "pattern", o.Pattern, "error", err)
		return
	}
	if o.Kind == upstream.OrderRevoke || o.Kind == upstream.OrderRecheck && o.User != "" {
		r.enforcer.Remember(o.User, o.Pattern, match)
	}
}

func (r *receiver) Recheck(ctx context.Context) {
	r.Obey(ctx, upstream.Order{Kind: upstream.OrderRecheck})
}

// obey does what this hub, or another one, has ordered.
func obey(ctx context.Context, e enforcer, o upstream.Order) error {
	match, err := matcher(o.Pattern)
	if err != nil {
		return err
	}
	switch o.Kind {
	case upstream.OrderDisconnect:
		if err := wire.CheckClose(o.Code, o.Reason); err != nil {
			return err
		}
		return e.Disconnect(ctx, o.User, o.Code, o.Reason)
	case upstream.OrderRevoke:
		return e.Revoke(ctx, o.User, o.Pattern, match)
	case upstream.OrderRecheck:
		return e.Recheck(ctx, o.User, o.Pattern, match)
	}
	return nil // of a later version
}

// matcher returns a function that reports whether the group of a stream matches a pattern,
// "" for all.
func matcher(pattern string) (func(stream string) bool, error) {
	if pattern == "" {
		return func(string) bool { return true }, nil
	}
	p, err := wire.ParsePattern(pattern)
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", pattern, err)
	}
	return func(stream string) bool {
		_, ok := p.Match(wire.GroupOf(stream))
		return ok
	}, nil
}

func (r *receiver) Matcher(pattern string) (func(group string) bool, error) { return matcher(pattern) }

func (r *receiver) Matching(pattern string) ([]string, error) {
	p, err := wire.ParsePattern(pattern)
	if err != nil {
		return nil, err
	}
	match := func(stream string) bool { return p.Matches(wire.GroupOf(stream)) }
	streams := append(r.engine.Groups(match), r.upstream.Histories(match)...)
	slices.Sort(streams)
	return slices.Compact(streams), nil
}

func (r *receiver) Stale(stale bool) { r.setStale(stale) }

func (r *receiver) Positions() map[string]broker.Position { return r.engine.Positions() }

func (r *receiver) Compare(group string, was, stream broker.Position) {
	r.engine.Compare(group, was, stream)
}
