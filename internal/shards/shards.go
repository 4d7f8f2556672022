// Package shards divides names among a fixed number of locks, so that work on
// different names rarely meets at one lock.
package shards

import (
	"hash/maphash"
	"sync"
)

// Count is the number of shards.
const Count = 64

// Hash maps names to shards. Copies of a Hash map alike; two results of New do not.
type Hash struct{ seed maphash.Seed }

// New returns a Hash with a random seed.
func New() Hash { return Hash{maphash.MakeSeed()} }

// Index returns the shard of a name, from 0 to Count-1.
func (h Hash) Index(name string) int { return int(maphash.String(h.seed, name) % Count) }

// Locks holds the locks of several shards by their index; nil stands for a shard
// that is not needed. All callers lock in the same order, so that they cannot
// deadlock.
type Locks [Count]*sync.Mutex

// Lock takes all locks, the lowest index first.
func (l *Locks) Lock() {
	for _, mu := range l {
		if mu != nil {
			mu.Lock()
		}
	}
}

// Unlock releases all locks.
func (l *Locks) Unlock() {
	for _, mu := range l {
		if mu != nil {
			mu.Unlock()
		}
	}
}

// Share returns the part of a limit that belongs to one shard, rounded up. A
// negative limit means none, and stays negative.
func Share(limit int) int {
	if limit < 0 {
		return limit
	}
	return (limit + Count - 1) / Count
}
