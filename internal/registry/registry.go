// Package registry knows the open connections of a hub.
package registry

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// ErrClosed is returned by Reserve after Close.
var ErrClosed = errors.New("closed")

// Registry holds the open connections, by user, and places for those that are being opened
// or closed.
type Registry[C comparable] struct {
	// Drained is closed when the registry is closed and no place is taken.
	Drained chan struct{}

	closed atomic.Bool // changes under mu, once

	mu     sync.Mutex // guards what follows
	open   map[C]struct{}
	users  map[string][]C // the connections that are not anonymous
	places int
}

// Init makes an empty registry.
func (r *Registry[C]) Init() {
	r.open, r.users, r.Drained = make(map[C]struct{}), make(map[string][]C), make(chan struct{})
}

// IsClosed reports whether the registry is closed.
func (r *Registry[C]) IsClosed() bool { return r.closed.Load() }

// Reserve takes a place for a connection that is about to be opened. The caller
// returns it with Release: Drained waits for that.
func (r *Registry[C]) Reserve() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed.Load() {
		return ErrClosed
	}
	r.places++
	return nil
}

// Release returns a place.
func (r *Registry[C]) Release() {
	r.mu.Lock()
	r.places--
	last := r.closed.Load() && r.places == 0
	r.mu.Unlock()
	if last {
		close(r.Drained)
	}
}

// Add adds an open connection of a user, "" for an anonymous one. It reports false if the
// registry was closed in the meantime: then the caller closes the connection.
func (r *Registry[C]) Add(c C, user string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open[c] = struct{}{}
	r.addUser(c, user)
	return !r.closed.Load()
}

// Move changes the user of an open connection.
func (r *Registry[C]) Move(c C, from, to string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.removeUser(c, from)
	r.addUser(c, to)
}

// Remove removes a connection of a user.
func (r *Registry[C]) Remove(c C, user string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, c)
	r.removeUser(c, user)
}

func (r *Registry[C]) addUser(c C, user string) {
	if user != "" {
		r.users[user] = append(r.users[user], c)
	}
}

func (r *Registry[C]) removeUser(c C, user string) {
	left := slices.DeleteFunc(r.users[user], func(other C) bool { return other == c })
	if len(left) == 0 {
		delete(r.users, user)
	} else {
		r.users[user] = left
	}
}

// Of returns the connections of a user that is not anonymous.
func (r *Registry[C]) Of(user string) []C {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.users[user])
}

// All returns the open connections.
func (r *Registry[C]) All() []C {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.open))
}

// Count returns the number of open connections.
func (r *Registry[C]) Count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.open)
}

// Close lets no connection in any more, and returns those that are open.
func (r *Registry[C]) Close() []C {
	r.mu.Lock()
	first := r.closed.CompareAndSwap(false, true)
	empty := r.places == 0
	open := slices.Collect(maps.Keys(r.open))
	r.mu.Unlock()
	if first && empty {
		close(r.Drained)
	}
	return open
}
