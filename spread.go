package rohrpost

import (
	"hash/maphash"
	"sync"
)

const shardCount = 64

// spread divides names among shards with a lock each.
type spread struct{ seed maphash.Seed }

func newSpread() spread { return spread{maphash.MakeSeed()} }

func (s spread) index(name string) int { return int(maphash.String(s.seed, name) % shardCount) }

// locks are those of some shards. They are always taken in the same order.
type locks [shardCount]*sync.Mutex

func (l *locks) lock() {
	for _, mu := range l {
		if mu != nil {
			mu.Lock()
		}
	}
}

func (l *locks) unlock() {
	for _, mu := range l {
		if mu != nil {
			mu.Unlock()
		}
	}
}
