package natsbroker

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rohrpost/rohrpost/broker"
)

// Headers of what JetStream takes as one. The messages of one batch have its place in
// headerBatch; a mark of the Broker has none.
const (
	headerID     = "Nats-Batch-Id"
	headerPlace  = "Nats-Batch-Sequence"
	headerCommit = "Nats-Batch-Commit"
	headerLast   = "Nats-Expected-Last-Subject-Sequence"
	headerBatch  = "Rohrpost-Batch"
)

// Codes of errors of JetStream.
const (
	codeWrongLast         jetstream.ErrorCode = 10071
	codeWrongLastInFlight jetstream.ErrorCode = 10164
	codeNoMessage         jetstream.ErrorCode = 10037
	codeTooMany           jetstream.ErrorCode = 10210
	codeIncomplete        jetstream.ErrorCode = 10176 // what it says where it cannot store
)

// maxSources is the number of sources that a Broker knows.
const maxSources = 10_000

var errAnswer = errors.New("the answer of the server has another form than expected")

// last is what JetStream has taken last from a source.
type last struct {
	era      string
	number   uint64
	sequence uint64 // of the number, 0 if there is none
}

// Publish implements broker.Broker. It takes one round trip if the batches have one source
// and not more than 999 messages.
func (b *Broker) Publish(ctx context.Context, batches []broker.Batch) error {
	return b.call(ctx, "publish", func(ctx context.Context) error {
		for len(batches) > 0 {
			some, err := b.cut(batches)
			if len(some) > 0 {
				if err := b.take(ctx, some); err != nil {
					return err
				}
			}
			if err != nil {
				return err
			}
			batches = batches[len(some):]
		}
		return nil
	})
}

// cut returns the first batches that can be published as one: of one source, and not too
// many. The error is that of the batch after them.
func (b *Broker) cut(batches []broker.Batch) ([]broker.Batch, error) {
	messages := 0
	for i := range batches {
		if err := b.refuse(&batches[i]); err != nil {
			return batches[:i], err
		}
		messages += len(batches[i].Messages)
		if messages > maxBatch || batches[i].Source != batches[0].Source {
			return batches[:i], nil
		}
	}
	return batches, nil
}

// refuse returns the error for a batch that JetStream does not take.
func (b *Broker) refuse(batch *broker.Batch) error {
	var err error
	if len(batch.Messages) > maxBatch {
		err = fmt.Errorf("the batch has %d messages, at most %d are taken", len(batch.Messages), maxBatch)
	}
	for i := range batch.Messages {
		if n := len(batch.Messages[i].Payload); n > b.payload {
			err = fmt.Errorf("a payload has %d bytes, at most %d are taken: raise max_payload of the server", n, b.payload)
		}
	}
	if err == nil {
		return nil
	}
	return &broker.RefusedError{Source: batch.Source, Number: batch.Number, Err: err}
}

// take publishes batches of one source as one. The number of the source guards them: if
// another has published from it, JetStream takes nothing, and take looks what is left.
func (b *Broker) take(ctx context.Context, batches []broker.Batch) error {
	source := batches[0].Source
	return b.inEra(ctx, func(era string) error {
		before, err := b.taken(ctx, era, source)
		if err != nil {
			return err
		}
		untried, refused := broker.Untried(batches, b.eraSince())
		rest := untaken(untried, before.number)
		if len(rest) == 0 {
			return refused
		}
		after, err := b.commit(ctx, before, rest)
		if err != nil {
			b.forget(source)
			return err
		}
		b.know(source, after)
		return refused
	})
}

// untaken returns the batches whose numbers go up from the last one that was taken.
func untaken(batches []broker.Batch, number uint64) []*broker.Batch {
	var rest []*broker.Batch
	for i := range batches {
		if batches[i].Number > number {
			rest = append(rest, &batches[i])
			number = batches[i].Number
		}
	}
	return rest
}

// commit publishes batches, and the number of the last one.
func (b *Broker) commit(ctx context.Context, before last, batches []*broker.Batch) (last, error) {
	var all []*nats.Msg
	for i, batch := range batches {
		place := strconv.Itoa(i)
		for j := range batch.Messages {
			m := nats.NewMsg(b.subjects.message(before.era, batch.Messages[j].Stream))
			m.Data = batch.Messages[j].Payload
			m.Header[headerBatch] = []string{place}
			all = append(all, m)
		}
	}
	after := batches[len(batches)-1]
	end := nats.NewMsg(b.subjects.number(before.era, after.Source))
	end.Data = strconv.AppendUint(nil, after.Number, 10)
	end.Header[headerLast] = []string{strconv.FormatUint(before.sequence, 10)}
	sequence, err := b.publishAsOne(ctx, append(all, end))
	return last{before.era, after.Number, sequence}, err
}

// publishAsOne publishes messages, all or none, and returns the sequence of the last one.
func (b *Broker) publishAsOne(ctx context.Context, messages []*nats.Msg) (uint64, error) {
	id := rand.Text()
	final := messages[len(messages)-1]
	for i, m := range messages {
		m.Header[headerID] = []string{id}
		m.Header[headerPlace] = []string{strconv.Itoa(i + 1)}
		if m == final {
			break
		}
		if err := b.nc.PublishMsg(m); err != nil {
			return 0, err
		}
	}
	final.Header[headerCommit] = []string{"1"}
	answer, err := b.nc.RequestMsgWithContext(ctx, final)
	if errors.Is(err, nats.ErrNoResponders) {
		return 0, errMissing
	}
	if err != nil {
		return 0, err
	}
	var ack struct {
		Sequence uint64              `json:"seq"`
		Error    *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(answer.Data, &ack); err != nil {
		return 0, errors.Join(errAnswer, err)
	}
	if ack.Error != nil {
		return 0, ack.Error
	}
	return ack.Sequence, nil
}

// Taken implements broker.Broker.
func (b *Broker) Taken(ctx context.Context, source string) (number uint64, err error) {
	b.forget(source)
	err = b.call(ctx, "read the number of a source", func(ctx context.Context) error {
		return b.inEra(ctx, func(era string) error {
			found, err := b.taken(ctx, era, source)
			number = found.number
			return err
		})
	})
	return number, err
}

// taken returns what was taken last from a source: what the Broker knows, or the server.
func (b *Broker) taken(ctx context.Context, era, source string) (last, error) {
	b.mu.Lock()
	known, ok := b.sources[source]
	b.mu.Unlock()
	if ok && known.era == era {
		return known, nil
	}
	found, err := b.readTaken(ctx, era, source)
	if err == nil {
		b.know(source, found)
	}
	return found, err
}

func (b *Broker) readTaken(ctx context.Context, era, source string) (last, error) {
	found, err := b.lastOf(ctx, b.subjects.number(era, source))
	if err != nil || found.Sequence == 0 {
		return last{era: era}, err
	}
	number, err := strconv.ParseUint(string(found.Data), 10, 64)
	if err != nil {
		return last{}, errors.Join(errAnswer, err)
	}
	return last{era, number, found.Sequence}, nil
}

// newest is the latest message of a subject. Its Sequence is 0 if there is none.
type newest struct {
	Subject  string    `json:"subject"`
	Sequence uint64    `json:"seq"`
	Data     []byte    `json:"data"`
	Time     time.Time `json:"time"`
}

// lastOf asks the leader of the stream, which knows what was taken a moment ago.
func (b *Broker) lastOf(ctx context.Context, subject string) (newest, error) {
	request, err := json.Marshal(map[string]string{"last_by_subj": subject})
	if err != nil {
		return newest{}, err
	}
	answer, err := b.nc.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+b.subjects.stream, request)
	if err != nil {
		return newest{}, err
	}
	var found struct {
		Error   *jetstream.APIError `json:"error"`
		Message newest              `json:"message"`
	}
	if err := json.Unmarshal(answer.Data, &found); err != nil {
		return newest{}, errors.Join(errAnswer, err)
	}
	switch {
	case found.Error != nil && found.Error.ErrorCode == codeNoMessage:
		return newest{}, nil
	case found.Error != nil && found.Error.ErrorCode == jetstream.JSErrCodeStreamNotFound:
		return newest{}, errMissing
	case found.Error != nil:
		return newest{}, found.Error
	}
	return found.Message, nil
}

func (b *Broker) know(source string, taken last) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.sources) >= maxSources {
		clear(b.sources)
	}
	b.sources[source] = taken
}

func (b *Broker) forget(source string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.sources, source)
}
