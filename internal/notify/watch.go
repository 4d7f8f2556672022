package notify

import (
	"sync"
	"time"
)

// watched are the methods of models that run. A method that uses the program's handle may
// wait for the connection of the transaction in which it is called. One timer serves all: a
// timer for each would wake the thread that waits for the network.
type watched struct {
	mu    sync.Mutex // guards what follows
	calls map[*watchedCall]struct{}
	timed bool // the timer is set
}

// watchedCall is the time in which the methods of a model run for one statement.
type watchedCall struct {
	model  *model
	began  time.Time
	logged bool
}

// watch logs a call that runs for long, until endWatch.
func (n *Notifier) watch(m *model) *watchedCall {
	c := &watchedCall{model: m, began: time.Now()}
	w := &n.watched
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.calls == nil {
		w.calls = make(map[*watchedCall]struct{})
	}
	w.calls[c] = struct{}{}
	if !w.timed {
		w.timed = true
		time.AfterFunc(n.config.Patience, n.logLate)
	}
	return c
}

func (n *Notifier) endWatch(c *watchedCall) {
	n.watched.mu.Lock()
	defer n.watched.mu.Unlock()
	delete(n.watched.calls, c)
}

// logLate logs the calls that have run for long, and looks again when the next one will
// have.
func (n *Notifier) logLate() {
	for _, c := range n.lateCalls(time.Now()) {
		n.config.Log.Warn("rohrpost: a method of the model still runs; if it waits for a connection to the database, "+
			"use PushNotificationDataTx or the tag option preload", "model", c.model.table.Name)
	}
}

func (n *Notifier) lateCalls(now time.Time) (late []*watchedCall) {
	w := &n.watched
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timed = false
	next := n.config.Patience
	for c := range w.calls {
		switch left := c.began.Add(n.config.Patience).Sub(now); {
		case c.logged:
		case left <= 0:
			c.logged = true
			late = append(late, c)
		default:
			next, w.timed = min(next, left), true
		}
	}
	if w.timed {
		time.AfterFunc(next, n.logLate)
	}
	return late
}
