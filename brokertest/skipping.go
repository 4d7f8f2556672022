package brokertest

import (
	"context"
	"errors"

	"github.com/rohrpost/rohrpost/broker"
)

// Skipping returns a broker whose offsets skip, and which adds empty messages, over one
// whose offsets are 1, 2, 3 and so on. A program that handles positions can be tested
// with it as well as with the broker b itself.
func Skipping(b broker.Broker) broker.Broker { return &skipping{b} }

type skipping struct{ broker.Broker }

var (
	_ broker.Signaler = (*skipping)(nil)
	_ broker.Limiter  = (*skipping)(nil)
)

// outward returns the offset that stands for one of the broker below: 1, 3, 4, 6, 7 and
// so on.
func outward(offset uint64) uint64 { return offset + offset/2 }

// inward returns the last offset below whose outward one is not greater.
func inward(offset uint64) uint64 { return offset/3*2 + (2*(offset%3)+1)/3 }

func outwardAll(messages []broker.Message) []broker.Message {
	all := make([]broker.Message, len(messages))
	for i, m := range messages {
		m.Offset, m.Prev = outward(m.Offset), outward(m.Prev)
		all[i] = m
	}
	return all
}

func outwardPositions(positions []broker.Position) []broker.Position {
	all := make([]broker.Position, len(positions))
	for i, at := range positions {
		all[i] = broker.Position{Epoch: at.Epoch, Offset: outward(at.Offset)}
	}
	return all
}

// Publish adds empty messages, before and after some messages.
func (s *skipping) Publish(ctx context.Context, batches []broker.Batch) error {
	marked := make([]broker.Batch, len(batches))
	for i, b := range batches {
		var messages []broker.Message
		for j, m := range b.Messages {
			mark := broker.Message{Stream: m.Stream}
			switch (b.Number + uint64(j)) % 5 {
			case 0:
				messages = append(messages, mark, m)
			case 1:
				messages = append(messages, m, mark, mark)
			default:
				messages = append(messages, m)
			}
		}
		b.Messages = messages
		marked[i] = b
	}
	return s.Broker.Publish(ctx, marked)
}

func (s *skipping) Follow(ctx context.Context, streams []string) ([]broker.Position, error) {
	positions, err := s.Broker.Follow(ctx, streams)
	return outwardPositions(positions), err
}

func (s *skipping) Read(ctx context.Context, stream string, after uint64, limit int) (broker.History, error) {
	h, err := s.Broker.Read(ctx, stream, inward(after), limit)
	h.Position.Offset, h.Messages = outward(h.Position.Offset), outwardAll(h.Messages)
	return h, err
}

func (s *skipping) Positions(ctx context.Context, streams []string) ([]broker.Position, error) {
	positions, err := s.Broker.Positions(ctx, streams)
	return outwardPositions(positions), err
}

func (s *skipping) Run(ctx context.Context, ready func(), deliver func(batch []broker.Message)) error {
	return s.Broker.Run(ctx, ready, func(batch []broker.Message) { deliver(outwardAll(batch)) })
}

func (s *skipping) Signal(ctx context.Context, messages []broker.Message) error {
	if signaler, ok := s.Broker.(broker.Signaler); ok {
		return signaler.Signal(ctx, messages)
	}
	return errors.New("the broker is no Signaler")
}

func (s *skipping) Limits() broker.Limits {
	if limiter, ok := s.Broker.(broker.Limiter); ok {
		return limiter.Limits()
	}
	return broker.Limits{}
}
