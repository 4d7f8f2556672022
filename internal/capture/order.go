package capture

import (
	"slices"
	"strings"
	"sync"
	"time"

	"gorm.io/gorm"
)

// maxWait is the longest that a committed transaction waits for earlier ones.
const maxWait = time.Second

const manyRows = 1000 // of one transaction: worth a new map

// commitOrder lets transactions publish the changes of each row in the order of their
// commits. A transaction enters just before its COMMIT is sent. The database holds the
// lock of a row until COMMIT takes effect, so that whoever writes the row next enters
// later. After COMMIT a transaction waits for those that entered before it for one of
// its rows, publishes, and leaves. Entering is one step for all rows, and who waits
// holds no row: there is no deadlock.
type commitOrder struct {
	mu   sync.Mutex      // guards last, and the fields of all turns
	last map[rowID]*turn // the last transaction that entered for the row and has not left
}

// rowID is one row of a table. The zero rowID stands for any row.
type rowID struct{ table, key string }

// appendIDs appends the rows of the statement. A row whose key is not known is any row, and
// so are those beyond maxRows.
func (s *Statement) appendIDs(ids []rowID) []rowID {
	if len(s.Rows) > 1 {
		ids = slices.Grow(ids, min(len(s.Rows), maxRows)+1)
	}
	if s.Unknown != nil || s.rowless || len(s.Keyless) > 0 || s.tableName == "" {
		ids = appendID(ids, rowID{})
	}
	for i := range s.Rows {
		key := s.Rows[i].Key
		if key.json == "" {
			ids = appendID(ids, rowID{})
			continue
		}
		ids = appendID(ids, rowID{s.tableName, key.text})
	}
	return ids
}

// orderName returns the name of the statement's table in the order of commits, "" if it is
// not known. One table has one name there, also where the statement has an alias for it, or
// where one model qualifies the name and another does not. Tables of one name in two
// schemas share it.
func orderName(stmt *gorm.Statement) string {
	name := tableName(stmt)
	return strings.ToLower(name[strings.LastIndexByte(name, '.')+1:])
}

func appendID(ids []rowID, id rowID) []rowID {
	if len(ids) >= maxRows {
		id = rowID{}
	}
	if last := len(ids) - 1; last >= 0 && ids[last] == id {
		return ids
	}
	return append(ids, id)
}

// turn is the place of one transaction in the order. Its zero value has not entered.
type turn struct {
	rows      []rowID
	earlier   []*turn       // those that entered before it for one of its rows
	follower  *turn         // the last turn that lists this one in earlier
	left      chan struct{} // closed when it leaves; nil while nobody may wait for it
	inside    bool
	overtaken bool // a later transaction did not wait any longer
}

// enter takes the place of a transaction that has written rows.
func (o *commitOrder) enter(t *turn, rows []rowID) {
	if len(rows) == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.last == nil || len(o.last) == 0 && len(rows) > manyRows {
		o.last = make(map[rowID]*turn, len(rows))
	}
	t.rows, t.inside = rows, true
	t.follow(o.last[rowID{}])
	for _, row := range rows {
		if row == (rowID{}) {
			for _, earlier := range o.last {
				t.follow(earlier)
			}
		}
		t.follow(o.last[row])
		o.last[row] = t
	}
}

// follow makes t wait for an earlier transaction.
func (t *turn) follow(earlier *turn) {
	if earlier == nil || earlier == t || earlier.follower == t {
		return
	}
	earlier.follower = t
	t.earlier = append(t.earlier, earlier)
	if earlier.left == nil {
		earlier.left = make(chan struct{})
	}
}

// wait returns when all earlier transactions have left, or after maxWait. Those that are
// then still inside are overtaken.
func (o *commitOrder) wait(t *turn) {
	if len(t.earlier) == 0 {
		return
	}
	late := time.NewTimer(maxWait)
	defer late.Stop()
	for _, earlier := range t.earlier {
		select {
		case <-earlier.left:
		case <-late.C:
			o.mu.Lock()
			defer o.mu.Unlock()
			o.overtake(t.earlier)
			return
		}
	}
}

// overtake tells transactions that a later one publishes before them, and those for which
// they wait themselves. No other transaction waits for them any more.
func (o *commitOrder) overtake(turns []*turn) {
	for _, t := range turns {
		if t.inside && !t.overtaken {
			t.overtaken = true
			o.remove(t)
			o.overtake(t.earlier)
		}
	}
}

// leave ends the turn. It reports whether a later transaction may have published first.
func (o *commitOrder) leave(t *turn) (overtaken bool) {
	if len(t.rows) == 0 {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.remove(t)
	if len(o.last) == 0 && len(t.rows) > manyRows {
		o.last = nil // a map never shrinks
	}
	if t.left != nil {
		close(t.left)
	}
	t.rows, t.earlier, t.follower, t.inside = nil, nil, nil, false
	return t.overtaken
}

// remove takes the transaction out of the map, where no later one stands in its place.
func (o *commitOrder) remove(t *turn) {
	for _, row := range t.rows {
		if o.last[row] == t {
			delete(o.last, row)
		}
	}
}
