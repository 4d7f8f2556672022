package upstream

import (
	"context"
	"errors"
	"sync"

	"github.com/rohrpost/rohrpost/broker"
)

// maxSignals is the number of signals that may wait for a broker.
const maxSignals = 10_000

var (
	errNoSignaler  = errors.New("the broker carries only messages that it keeps: publish a change instead")
	errLargeSignal = errors.New("a message is larger than the broker takes")
	errManySignals = errors.New("too many messages wait for the broker")
)

// signalQueue hands signals to a broker. It drops those that the broker does not take at
// once.
type signalQueue struct {
	remote   *remote
	signaler broker.Signaler // nil: the broker is none

	mu      sync.Mutex // guards what follows
	waiting []broker.Message
	running chan struct{} // closed when the goroutine ends; nil: there is none
}

func (q *signalQueue) init(r *remote) {
	q.remote = r
	q.signaler = r.Broker.(guarded).signaler()
}

func (q *signalQueue) add(m broker.Message) error {
	if q.signaler == nil {
		return errNoSignaler
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) >= maxSignals {
		return errManySignals
	}
	q.waiting = append(q.waiting, m)
	if q.running == nil {
		running := make(chan struct{})
		q.running = running
		q.remote.Tasks.Go(func(ctx context.Context) {
			defer close(running)
			q.signalAll(ctx)
		})
	}
	return nil
}

func (q *signalQueue) signalAll(ctx context.Context) {
	for {
		messages := q.next()
		if messages == nil || ctx.Err() != nil {
			return
		}
		err := q.remote.call(ctx, func(ctx context.Context) error { return q.signaler.Signal(ctx, messages) })
		if err != nil && ctx.Err() == nil {
			q.remote.Logger.Error("rohrpost: send signals to the broker", "messages", len(messages), "error", err)
		}
	}
}

func (q *signalQueue) next() []broker.Message {
	q.mu.Lock()
	defer q.mu.Unlock()
	some := q.waiting[:min(len(q.waiting), maxCallMessages)]
	if len(some) == 0 {
		q.waiting, q.running = nil, nil
		return nil
	}
	q.waiting = q.waiting[len(some):]
	return some
}

func (q *signalQueue) flush(ctx context.Context) error {
	q.mu.Lock()
	running := q.running
	q.mu.Unlock()
	return wait(ctx, running)
}
