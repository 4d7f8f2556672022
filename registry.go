package rohrpost

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

var errFull = errors.New("too many connections")

// registry holds the open connections, by user, and places for those that are being opened
// or closed.
type registry[C comparable] struct {
	max     int
	closed  atomic.Bool   // changes under mu, once
	drained chan struct{} // closed when closed and no place is taken

	mu     sync.Mutex // guards what follows
	open   map[C]struct{}
	users  map[string][]C // the connections that are not anonymous
	places int
}

func (r *registry[C]) init(max int) {
	r.max, r.open, r.users, r.drained = max, make(map[C]struct{}), make(map[string][]C), make(chan struct{})
}

func (r *registry[C]) isClosed() bool { return r.closed.Load() }

// reserve takes a place for a connection that is about to be opened. The caller
// returns it with release: close waits for that.
func (r *registry[C]) reserve() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed.Load() {
		return ErrClosed
	}
	if over(r.places+1, r.max) {
		return errFull
	}
	r.places++
	return nil
}

func (r *registry[C]) release() {
	r.mu.Lock()
	r.places--
	last := r.closed.Load() && r.places == 0
	r.mu.Unlock()
	if last {
		close(r.drained)
	}
}

// add adds an open connection of a user, "" for an anonymous one. It reports false if the
// registry was closed in the meantime: then the caller closes the connection.
func (r *registry[C]) add(c C, user string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open[c] = struct{}{}
	r.addUser(c, user)
	return !r.closed.Load()
}

// move changes the user of an open connection.
func (r *registry[C]) move(c C, from, to string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.removeUser(c, from)
	r.addUser(c, to)
}

func (r *registry[C]) remove(c C, user string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, c)
	r.removeUser(c, user)
}

func (r *registry[C]) addUser(c C, user string) {
	if user != "" {
		r.users[user] = append(r.users[user], c)
	}
}

func (r *registry[C]) removeUser(c C, user string) {
	left := slices.DeleteFunc(r.users[user], func(other C) bool { return other == c })
	if len(left) == 0 {
		delete(r.users, user)
	} else {
		r.users[user] = left
	}
}

// of returns the connections of a user that is not anonymous.
func (r *registry[C]) of(user string) []C {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.users[user])
}

func (r *registry[C]) all() []C {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.open))
}

func (r *registry[C]) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.open)
}

// close lets no connection in any more, and returns those that are open.
func (r *registry[C]) close() []C {
	r.mu.Lock()
	first := r.closed.CompareAndSwap(false, true)
	empty := r.places == 0
	open := slices.Collect(maps.Keys(r.open))
	r.mu.Unlock()
	if first && empty {
		close(r.drained)
	}
	return open
}
