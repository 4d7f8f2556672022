package rohrpost

import "time"

// sweepLater sees to it that what has become too old does not stay for ever,
// although nobody touches it any more.
func (m *Memory) sweepLater() {
	pause := m.sweepEvery()
	if pause < 0 || m.sweeping.Load() || !m.sweeping.CompareAndSwap(false, true) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed {
		m.sweeper = time.AfterFunc(pause, m.sweep)
	}
}

// sweepEvery returns the pause between two sweeps: none if nothing becomes old.
func (m *Memory) sweepEvery() time.Duration {
	pause := m.limits.Age
	if ttl := m.limits.TTL; ttl >= 0 && (pause < 0 || ttl < pause) {
		pause = ttl
	}
	if pause < 0 {
		return pause
	}
	return max(pause/4, time.Second)
}

func (m *Memory) sweep() {
	m.sweeping.Store(false)
	again := false
	for i := range m.shards {
		sh := &m.shards[i]
		sh.mu.Lock()
		m.sweepShard(sh)
		again = again || sh.quiet.Len() > 0 || sh.left.Len() > 0
		sh.mu.Unlock()
	}
	if again {
		m.sweepLater()
	}
}

// sweepShard looks at what can be too old, and no further.
func (m *Memory) sweepShard(sh *memoryShard) {
	now := m.now()
	for e := sh.left.Front(); e != nil && m.limits.TTL >= 0; e = sh.left.Front() {
		s := e.Value.(*stream)
		if now < s.until {
			break
		}
		sh.end(s)
	}
	for e := sh.quiet.Front(); e != nil; e = sh.quiet.Front() {
		s := e.Value.(*stream)
		sh.trim(s, s.excess(m.limits, now))
		if len(s.kept) > 0 {
			break
		}
	}
}

// close ends the sweeping.
func (m *Memory) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed = true; m.sweeper != nil {
		m.sweeper.Stop()
	}
}
