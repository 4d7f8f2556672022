package sqlbroker

import (
	"crypto/rand"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/rohrpost/rohrpost/broker"
)

// abandoned is how much longer a stream is unused when a publisher ends it than when a hub does.
// It is more than the time between two times that a hub lets its streams go on.
const abandoned = 5 * time.Minute

// publish appends batches, and returns the newest message.
func (t *transaction) publish(batches []broker.Batch) (newest mark, err error) {
	var sources, names []string
	count := int64(0)
	for i := range batches {
		sources = append(sources, batches[i].Source)
		count += int64(len(batches[i].Messages))
		for j := range batches[i].Messages {
			names = append(names, batches[i].Messages[j].Stream)
		}
	}
	taken, err := t.numbers(compact(sources))
	if err != nil {
		return newest, err
	}
	streams, err := t.streamsOf(compact(names))
	if err != nil {
		return newest, err
	}
	if err := t.endUnused(streams); err != nil {
		return newest, err
	}
	a := appender{transaction: t, streams: streams, seq: t.now.Seq - count, changed: map[string]bool{}, token: rand.Text()}
	numbers := map[string]int64{}
	for i := range batches {
		if b := &batches[i]; int64(b.Number) > taken[b.Source] {
			taken[b.Source], numbers[b.Source] = int64(b.Number), int64(b.Number)
			a.append(b.Messages)
		}
	}
	return a.newest(), a.save(numbers)
}

// endUnused ends the streams that no hub has followed for long, if one of those that are
// published to has not been for the time of abandoned more: no hub runs that would do it, nor
// drop their messages. What hubs have followed together ends together, also what they order by.
func (t *transaction) endUnused(published map[string]*stream) error {
	keep := t.broker.config.KeepUnused
	if keep < 0 {
		return nil
	}
	old, found := t.ms-(keep+cleanInterval).Milliseconds(), false
	for _, s := range published {
		found = found || s.Touched < old-abandoned.Milliseconds()
	}
	if !found {
		return nil
	}
	maps.DeleteFunc(published, func(_ string, s *stream) bool { return s.Touched < old })
	return t.db.Exec("DELETE FROM "+t.streams+" WHERE touched < ?", old).Error
}

// appender makes the rows of messages.
type appender struct {
	*transaction
	streams map[string]*stream
	seq     int64 // the last number that was used
	token   string
	rows    []message
	changed map[string]bool // the streams that have messages
}

func (a *appender) append(messages []broker.Message) {
	first := len(a.rows)
	for i := range messages {
		s := a.streams[messages[i].Stream]
		if s == nil {
			continue
		}
		a.seq++
		a.rows = append(a.rows, message{
			Seq: a.seq, Stream: s.Name, Epoch: s.Epoch, Prev: s.Seq, Token: a.token + strconv.Itoa(len(a.rows)),
			Payload: notNil(messages[i].Payload), Created: a.ms,
		})
		s.Seq = a.seq
		a.changed[string(s.Name)] = true
	}
	if len(a.rows) > first {
		a.rows[len(a.rows)-1].Last = true
	}
}

func notNil(payload []byte) []byte {
	if payload == nil {
		return []byte{}
	}
	return payload
}

func (a *appender) newest() mark {
	if len(a.rows) == 0 {
		return mark{}
	}
	return a.rows[len(a.rows)-1].mark()
}

func (a *appender) save(numbers map[string]int64) error {
	var sources []source
	for name, number := range numbers {
		sources = append(sources, source{Name: []byte(name), Number: number, Touched: a.ms})
	}
	if len(sources) > 0 {
		if err := a.transaction.save(a.sources, sources, "number", "touched"); err != nil {
			return err
		}
	}
	for rest := a.rows; len(rest) > 0; {
		n := oneStatement(rest)
		if err := a.db.Table(a.messages).Create(rest[:n]).Error; err != nil {
			return err
		}
		rest = rest[n:]
	}
	var streams []stream
	for name := range a.changed {
		streams = append(streams, *a.streams[name])
	}
	for some := range slices.Chunk(streams, 500) {
		if err := a.transaction.save(a.tables.streams, some, "seq"); err != nil {
			return err
		}
	}
	if len(a.rows) > 0 && a.broker.config.Listen != "" {
		return a.db.Exec("SELECT pg_notify(?, '')", a.broker.channel()).Error
	}
	return nil
}

// oneStatement returns how many of the first rows one INSERT takes: MySQL and MariaDB refuse,
// for ever, a statement that is larger than max_allowed_packet, which is 4 MiB or more.
func oneStatement(rows []message) int {
	bytes := 0
	for n := range rows {
		if bytes += len(rows[n].Payload); n == 200 || n > 0 && bytes > maxPayload {
			return n
		}
	}
	return len(rows)
}

func compact(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}
