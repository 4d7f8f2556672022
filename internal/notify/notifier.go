// Package notify makes changes for groups of the rows that package capture delivers. It
// knows the names of groups, the payloads and the filters. It consumes capture for the
// hub.
package notify

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rohrpost/rohrpost/internal/capture"
)

// Notifier is the consumer that serves the hub.
type Notifier struct {
	config          Config
	warnedUntracked atomic.Bool
	warnedOutbox    atomic.Bool
	hasOutbox       atomic.Bool
	recordings      sync.Map // *Recording -> struct{}: those of whole handles
	watched         watched
}

// New returns a notifier.
func New(c Config) *Notifier {
	if c.Patience == 0 {
		c.Patience = 2 * time.Second
	}
	return &Notifier{config: c}
}

// Of returns the notifier that a plugin serves, nil if it serves none.
func Of(p *capture.Plugin) *Notifier {
	n, _ := p.Consumer().(*Notifier)
	return n
}

// Hub returns the hub that the notifier serves.
func (n *Notifier) Hub() any { return n.config.Hub }

// Interest implements capture.Consumer.
func (n *Notifier) Interest(t *capture.Table) (capture.Interest, error) {
	m, err := newModel(t, n.config)
	if m == nil {
		return nil, err
	}
	return m, nil
}

// Begin implements capture.Consumer.
func (n *Notifier) Begin(ctx context.Context, s capture.Store) capture.Transaction {
	return &Tx{notifier: n, ctx: ctx, outbox: n.outboxOf(s)}
}

// Missed implements capture.Consumer. A log line for each statement in a transaction
// that the plugin cannot see would be too many.
func (n *Notifier) Missed(t *capture.Table, op capture.Operation, err error) {
	if errors.As(err, &capture.ModelError{}) {
		n.config.Skipped.Add(1)
		return
	}
	if !errors.Is(err, capture.ErrUntracked) {
		n.skip(t.Name, "", op, err)
		return
	}
	n.config.Untracked.Add(1)
	if !n.warnedUntracked.Swap(true) {
		n.config.Log.Warn("rohrpost: changes are not announced", "model", t.Name, "error", err)
	}
}

// MessageTypes returns the types of the messages about a table.
func (n *Notifier) MessageTypes(t *capture.Table) ([]string, error) {
	m, err := newModel(t, n.config)
	if m == nil {
		return nil, errors.Join(err, errors.New("the model has no marker"))
	}
	var types []string
	for op, tag := range m.tags {
		if tag != nil && !m.netOnly[op] {
			types = append(types, capture.Operation(op).String())
		}
	}
	return types, nil
}

// skip logs and counts a change that cannot be announced.
func (n *Notifier) skip(model, key string, op capture.Operation, err error) {
	n.config.Skipped.Add(1)
	n.config.Log.Error("rohrpost: a change was not announced", "model", model, "key", key, "type", op.String(), "error", err)
}
