package rohrpost

import (
	"bytes"
	"encoding/json"
	"errors"
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
	limits   Limits
	engine   *fanout.Engine
	upstream upstream.Upstream
}

func (r *receiver) Deliver(batch []broker.Message) { r.engine.Deliver(batch) }

// Check accepts what a hub publishes: a JSON object that ends so that an offset can be
// added to its data.
func (r *receiver) Check(m *broker.Message) error {
	p := m.Payload
	switch {
	case !wire.ValidGroup(m.Stream):
		return errors.New("the stream is not a group")
	case !utf8.Valid(p) || !json.Valid(p) || !bytes.HasPrefix(p, []byte("{")) || !bytes.HasSuffix(p, []byte("}")):
		return errors.New("the payload is not a JSON object")
	case m.Offset != 0 && !bytes.HasSuffix(p, []byte("}}")):
		return errors.New("the payload does not end with an object")
	}
	return r.limits.checkFrame(wire.FramedBytes(p))
}

func (r *receiver) Resync(group string, object json.RawMessage) (broker.Message, error) {
	ch := wire.Change{Group: group, Type: Resync, Object: object}
	payload, err := ch.Encode()
	return broker.Message{Stream: group, Payload: payload}, err
}

func (r *receiver) Matching(pattern string) ([]string, error) {
	p, err := wire.ParsePattern(pattern)
	if err != nil {
		return nil, err
	}
	groups := append(r.engine.Groups(p.Matches), r.upstream.Histories(p.Matches)...)
	slices.Sort(groups)
	return slices.Compact(groups), nil
}

func (r *receiver) Positions() map[string]broker.Position { return r.engine.Positions() }

func (r *receiver) Compare(group string, was, stream broker.Position) {
	r.engine.Compare(group, was, stream)
}
