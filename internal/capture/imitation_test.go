package capture

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gorm.io/gorm"
)

// imitation is a transaction of the imitated database.
type imitation struct {
	gorm.Tx
	run     *orderRun
	values  map[rowID]int
	before  time.Duration // until COMMIT takes effect
	after   time.Duration // until it is answered
	outcome string
}

func (i *imitation) Commit() error {
	time.Sleep(i.before)
	i.end(i.outcome == "" || i.outcome == "lost")
	time.Sleep(i.after)
	switch i.outcome {
	case "refused":
		return numberedError{Number: 1213}
	case "lost":
		return errors.New("connection lost")
	case "panic":
		panic("COMMIT panics")
	}
	return nil
}

type numberedError struct{ Number int }

func (e numberedError) Error() string { return fmt.Sprint("number ", e.Number) }

func (i *imitation) Rollback() error {
	i.end(false)
	return nil
}

// end releases the locks.
func (i *imitation) end(commits bool) {
	i.run.mu.Lock()
	defer i.run.mu.Unlock()
	for row, value := range i.values {
		if commits {
			i.run.rows[row] = value
		}
		<-i.run.locks[row]
	}
}

// orderTx is the consumer's part: it publishes to the page at once.
type orderTx struct {
	run     *orderRun
	changes []orderChange
	calls   []func()
}

type orderChange struct {
	row   rowID
	value int
}

func (o *orderTx) Captured(*Statement) {}
func (o *orderTx) Overflowed() bool    { return false }
func (o *orderTx) Mark() int           { return len(o.changes) }
func (o *orderTx) RollBackTo(mark int) { o.changes = o.changes[:mark] }

func (o *orderTx) End(outcome Outcome) {
	if outcome != RolledBack {
		o.publish(outcome == InDoubt)
	} else {
		o.calls = nil
	}
}

func (o *orderTx) Store(context.Context, gorm.ConnPool, bool) error { return nil }

func (o *orderTx) Finish(overtaken bool) {
	if overtaken && !o.run.slow {
		o.run.problem("overtaken, although no COMMIT takes long")
	}
	if overtaken {
		o.publish(true)
	}
	for _, call := range o.calls {
		call()
	}
}

// publish applies the changes to the page. A resync loads the rows again. Publishing takes
// a moment.
func (o *orderTx) publish(resync bool) {
	time.Sleep(time.Microsecond)
	o.run.mu.Lock()
	defer o.run.mu.Unlock()
	for _, c := range o.changes {
		if o.run.page[c.row] = c.value; resync {
			o.run.page[c.row] = o.run.rows[c.row]
		}
	}
	if resync {
		o.calls = nil
	}
}
