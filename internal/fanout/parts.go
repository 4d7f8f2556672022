package fanout

import (
	"context"

	"github.com/rohrpost/rohrpost/internal/wire"
)

// sendParts sends the snapshot part by part. The worker gets the next part when the one
// before is written, so the send queue holds one. The last part goes with what has come since
// the position of the snapshot, and with the membership.
func (s *subscription) sendParts(ctx context.Context) error {
	s.member.loading.Add(1)
	defer s.member.loading.Add(-1)
	last := len(s.snapshot.Parts)
	for number := 1; number < last; number++ {
		if err := s.sendPart(ctx, number); err != nil {
			return err
		}
	}
	s.outcome.Part, s.outcome.Last, s.outcome.Snapshot = last, true, s.snapshot.Parts[last-1]
	if err := s.finishParts(ctx); err != nil {
		return err
	}
	s.member.writer.awaitDrain(ctx, 0) // until then messages wait for the last part
	return nil
}

func (s *subscription) sendPart(ctx context.Context, number int) error {
	if err := s.reauthorize(ctx); err != nil {
		return err
	}
	s.outcome.Position = s.snapshot.Position
	s.outcome.Part, s.outcome.Snapshot = number, s.snapshot.Parts[number-1]
	f, err := s.Answer(&s.outcome)
	if err != nil {
		return err
	}
	s.partial = true
	if err := s.member.takeTurn(ctx, 0); err != nil {
		return err
	}
	defer s.member.endTurn()
	if !s.member.writer.reserve(f) {
		s.member.endSlow()
		return ErrClosed
	}
	if err := s.pushPart(f); err != nil {
		s.member.writer.unreserve(reserved(f))
		return err
	}
	s.member.Wake()
	return nil
}

// pushPart hands a part to the worker unless the decision has ceased to hold: a revocation
// comes before the part, or finds it in the send queue.
func (s *subscription) pushPart(f wire.Frame) error {
	m := s.member
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := s.interrupted(); err != nil {
		return err
	}
	if m.gone {
		return ErrClosed
	}
	if s.Permit != nil && !s.Permit.Holds() {
		return errRevoked
	}
	s.underway.sent = true
	m.worker.queue(op{kind: opDirect, member: m, frame: f, label: &s.group.label})
	return nil
}

// finishParts is finish, and catches up with what has come while the parts were sent.
func (s *subscription) finishParts(ctx context.Context) error {
	for attempt := range maxAttempts {
		pauseBefore(ctx, attempt)
		if done, err := s.finishInTurn(ctx); done {
			return err
		}
		if err := s.reauthorize(ctx); err != nil {
			return err
		}
		if err := s.catchUpParts(ctx); err != nil {
			return err
		}
	}
	return ErrOutrun
}

func (s *subscription) catchUpParts(ctx context.Context) error {
	reading, cancel := s.reading(ctx)
	defer cancel()
	ready, err := s.catchUp(reading)
	if err != nil {
		return timedOut(reading, ctx, err)
	}
	if !ready {
		return ErrOutrun
	}
	return nil
}
