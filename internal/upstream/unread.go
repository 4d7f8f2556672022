package upstream

import (
	"errors"
	"sync"

	"github.com/rohrpost/rohrpost/broker"
)

// maxUnread is the number of streams of which unread remembers a message.
const maxUnread = 1000

// unread knows which messages that the hub cannot read are counted: every page that resumes
// reads them again.
type unread struct {
	mu     sync.Mutex
	latest map[string]broker.Position // of the latest one that was counted, by stream
}

// isNew reports whether a message comes after those that were counted. A signal always does.
func (u *unread) isNew(m *broker.Message) bool {
	if m.Epoch == "" {
		return true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if at := u.latest[m.Stream]; at.Epoch == m.Epoch && m.Offset <= at.Offset {
		return false
	}
	if u.latest == nil || len(u.latest) >= maxUnread {
		u.latest = make(map[string]broker.Position)
	}
	u.latest[m.Stream] = m.Position
	return true
}

// countUnread counts and logs a message that the hub cannot read.
func (r *remote) countUnread(m *broker.Message, err error) {
	if !r.unread.isNew(m) {
		return
	}
	if errors.Is(err, errVersion) {
		r.Foreign.Add(1)
	} else {
		r.Skipped.Add(1)
	}
	r.Logger.Error("rohrpost: read a message of the broker", "stream", m.Stream, "bytes", len(m.Payload), "error", err)
}
