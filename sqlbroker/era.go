package sqlbroker

import (
	"crypto/rand"
	"strconv"
	"strings"
	"time"
)

// An era is a time in which no message was lost. Its number goes up, so that an earlier
// one shows that the database has gone back. Its random part tells it from another era
// that was begun by the same number, after the database had gone back to before both.

// nextEra returns the name of a new era after the one with a number.
func nextEra(number uint64) string {
	return strconv.FormatUint(number+1, 10) + "-" + rand.Text()
}

// eraNumber returns the number of an era.
func eraNumber(era string) uint64 {
	digits, _, _ := strings.Cut(era, "-")
	number, _ := strconv.ParseUint(digits, 10, 64)
	return number
}

// mark is a message that a Broker knows. It is there as long as the database has not gone
// back to before the message, or to an earlier era.
type mark struct {
	seq   int64
	token string
	era   string // in which the Broker has seen it
}

// mark returns the mark of a message, in the era in which it was published.
func (m *message) mark() mark {
	era, _, _ := strings.Cut(m.Epoch, ".")
	return mark{m.Seq, m.Token, era}
}

// is reports whether it is the mark of a message.
func (m mark) is(other *message) bool { return m.seq == other.Seq && m.token == other.Token }

// newer reports whether a mark shows more than another one.
func (m mark) newer(than mark) bool {
	if m.seq == 0 || m.era == than.era {
		return m.seq > than.seq
	}
	return eraNumber(m.era) >= eraNumber(than.era)
}

// newest returns the mark of the newest message, in this era.
func (t *transaction) newest() (mark, error) {
	var rows []message
	err := t.db.Table(t.messages).Select("seq", "token").Order("seq DESC").Limit(1).Find(&rows).Error
	if err != nil || len(rows) == 0 {
		return mark{era: t.now.Era}, err
	}
	return mark{rows[0].Seq, rows[0].Token, t.now.Era}, nil
}

// wentBack reports whether messages may be lost: the server has begun anew, or the
// newest message that the Broker knows is not there. count numbers are just given.
func (t *transaction) wentBack(count int) (bool, error) {
	known := t.broker.newest()
	switch {
	case t.now.Instance != t.server:
		return true, nil
	case known.seq == 0:
		return false, nil
	case known.era != t.now.Era: // another hub has begun a later one, or all have gone back
		return eraNumber(t.now.Era) < eraNumber(known.era), nil
	case t.now.Seq-int64(count) < known.seq:
		return true, nil
	}
	var rows []message
	err := t.db.Table(t.messages).Select("seq", "token").Where("seq <= ?", known.seq).Order("seq DESC").Limit(1).Find(&rows).Error
	if err != nil || len(rows) == 0 {
		return false, err // it was dropped with all before it
	}
	return !known.is(&rows[0]), nil
}

// renew makes all streams begin anew. What the Broker knows stays, since the transaction may
// be undone; it is of an earlier era than what comes.
func (t *transaction) renew() error {
	number := max(eraNumber(t.now.Era), eraNumber(t.broker.newest().era))
	t.now.Era, t.now.Instance = nextEra(number), t.server
	return t.db.Table(t.clock).Where("id = 1").Updates(map[string]any{"era": t.now.Era, "instance": t.now.Instance}).Error
}

// present is the era that a Broker has met last.
type present struct {
	era   string
	since time.Time // zero for the first one
}

// meet notes the present era.
func (b *Broker) meet(era string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.present.era != era {
		if b.present.era != "" {
			b.present.since = time.Now()
		}
		b.present.era = era
	}
}

// eraSince returns when the Broker has met the present era, zero for its first one.
func (b *Broker) eraSince() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.present.since
}
