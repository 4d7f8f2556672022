package natsbroker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/rohrpost/rohrpost/broker"
)

// maxAsked is the number of streams whose positions one request reads.
const maxAsked = 200

// stored is a message in JetStream.
type stored struct {
	subject  string
	sequence uint64
	time     time.Time
	begin    bool // it is the mark with which the stream begins, and no message of it
	payload  []byte
}

// Follow implements broker.Broker. The position of a stream is that of its latest message.
// A stream that has none begins with an empty one, a mark.
func (b *Broker) Follow(ctx context.Context, streams []string) (positions []broker.Position, err error) {
	if len(streams) == 0 {
		return nil, nil
	}
	err = b.call(ctx, "follow streams", func(ctx context.Context) (err error) {
		if err = b.subscribe(ctx, streams); err == nil {
			positions, err = b.positions(ctx, streams, true)
		}
		return err
	})
	return positions, err
}

// Positions implements broker.Broker. It lets followed streams go on: one whose latest
// message would be dropped soon gets a mark.
func (b *Broker) Positions(ctx context.Context, streams []string) (positions []broker.Position, err error) {
	if len(streams) == 0 {
		return nil, nil
	}
	err = b.call(ctx, "read positions", func(ctx context.Context) (err error) {
		positions, err = b.positions(ctx, streams, false)
		return err
	})
	return positions, err
}

// positions returns the positions of streams, which begin if begin is true.
func (b *Broker) positions(ctx context.Context, streams []string, begin bool) (positions []broker.Position, err error) {
	err = b.inEra(ctx, func(era string) error {
		positions, err = b.positionsIn(ctx, era, streams, begin)
		return err
	})
	return positions, err
}

func (b *Broker) positionsIn(ctx context.Context, era string, streams []string, begin bool) ([]broker.Position, error) {
	subjects := make([]string, len(streams))
	for i, stream := range streams {
		subjects[i] = b.subjects.message(era, stream)
	}
	latest, err := b.latest(ctx, subjects)
	if err != nil {
		return nil, err
	}
	var marked []string
	old := time.Now().Add(-b.config.MaxAge / 2)
	for i, stream := range streams {
		m, ok := latest[subjects[i]]
		if !ok && begin || ok && m.time.Before(old) && b.follows(stream) {
			marked = append(marked, subjects[i])
		}
	}
	if err := b.mark(ctx, marked, latest); err != nil {
		return nil, err
	}
	positions := make([]broker.Position, len(streams))
	for i, stream := range streams {
		if m, ok := latest[subjects[i]]; ok {
			positions[i] = broker.Position{Epoch: epoch(era, stream), Offset: m.sequence}
		}
	}
	return positions, nil
}

// latest returns the latest message of each subject that has one.
func (b *Broker) latest(ctx context.Context, subjects []string) (map[string]stored, error) {
	found := make(map[string]stored, len(subjects))
	asked := slices.Clone(subjects)
	slices.Sort(asked)
	for some := range slices.Chunk(slices.Compact(asked), maxAsked) {
		for {
			messages, more, err := b.get(ctx, map[string]any{"multi_last": some})
			if err != nil {
				return nil, err
			}
			for _, m := range messages {
				found[m.subject] = m
			}
			if !more || len(messages) == 0 {
				break
			}
			some = slices.DeleteFunc(slices.Clone(some), func(subject string) bool { _, ok := found[subject]; return ok })
		}
	}
	return found, nil
}

// mark publishes an empty message after the latest one of each subject, and enters it into
// latest. If another hub does the same, one of them gets an error, and tries again.
func (b *Broker) mark(ctx context.Context, subjects []string, latest map[string]stored) error {
	subjects = slices.Compact(slices.Sorted(slices.Values(subjects)))
	for some := range slices.Chunk(subjects, maxBatch) {
		messages := make([]*nats.Msg, len(some))
		for i, subject := range some {
			messages[i] = nats.NewMsg(subject)
			messages[i].Header[headerLast] = []string{strconv.FormatUint(latest[subject].sequence, 10)}
		}
		sequence, err := b.publishAsOne(ctx, messages)
		if err != nil {
			return err
		}
		for i, subject := range some {
			latest[subject] = stored{subject: subject, sequence: sequence - uint64(len(some)-1-i)}
		}
	}
	return nil
}

// Read implements broker.Broker.
func (b *Broker) Read(ctx context.Context, stream string, after uint64, limit int) (h broker.History, err error) {
	err = b.call(ctx, "read a stream", func(ctx context.Context) error {
		return b.inEra(ctx, func(era string) error {
			for {
				found, whole, err := b.read(ctx, era, stream, after, limit)
				if err != nil {
					return err
				}
				if whole {
					h = found
					return nil
				}
			}
		})
	})
	return h, err
}

// read also reports whether no message was dropped meanwhile.
func (b *Broker) read(ctx context.Context, era, stream string, after uint64, limit int) (h broker.History, whole bool, err error) {
	subject := b.subjects.message(era, stream)
	latest, err := b.latest(ctx, []string{subject})
	if err != nil {
		return h, false, err
	}
	end, ok := latest[subject]
	if !ok {
		return h, true, nil
	}
	h.Position = broker.Position{Epoch: epoch(era, stream), Offset: end.sequence}
	if after >= end.sequence || limit <= 0 {
		return h, true, nil
	}
	messages, err := b.between(ctx, subject, after, end.sequence, limit)
	if err != nil || len(messages) == 0 {
		return h, err == nil, err
	}
	prev, whole, err := b.before(ctx, subject, messages[0].sequence)
	if err != nil || !whole {
		return h, false, err
	}
	h.Messages = make([]broker.Message, len(messages))
	for i, m := range messages {
		h.Messages[i] = broker.Message{Stream: stream, Payload: m.payload, Position: broker.Position{Epoch: h.Position.Epoch, Offset: m.sequence}, Prev: prev}
		prev = m.sequence
	}
	return h, true, nil
}

// between returns the messages after a sequence, up to another one, limit at most.
func (b *Broker) between(ctx context.Context, subject string, after, end uint64, limit int) (all []stored, err error) {
	for len(all) < limit && after < end {
		some, _, err := b.get(ctx, map[string]any{"seq": after + 1, "next_by_subj": subject, "batch": limit - len(all)})
		if err != nil {
			return nil, err
		}
		for _, m := range some {
			if m.sequence > end {
				return all, nil
			}
			if after = m.sequence; !m.begin {
				all = append(all, m)
			}
		}
		if len(some) == 0 {
			break
		}
	}
	return all, nil
}

// before returns the sequence before the one of a message. JetStream drops the oldest messages
// of a subject first: if the one before is there, or the message itself, nothing after it
// was dropped.
func (b *Broker) before(ctx context.Context, subject string, sequence uint64) (prev uint64, whole bool, err error) {
	if sequence > 1 {
		found, _, err := b.get(ctx, map[string]any{"multi_last": []string{subject}, "up_to_seq": sequence - 1})
		if err != nil {
			return 0, false, err
		}
		if len(found) > 0 {
			return found[0].sequence, true, nil
		}
	}
	found, _, err := b.get(ctx, map[string]any{"multi_last": []string{subject}, "up_to_seq": sequence})
	return unknownPrev(sequence), len(found) > 0, err
}

// unknownPrev is Prev of the oldest message that is kept. A hub that is not exactly there has
// missed messages, as far as the Broker knows.
func unknownPrev(sequence uint64) uint64 { return sequence - 1 }

// get asks for messages. It reports whether there are more, which were too large for one
// answer.
func (b *Broker) get(ctx context.Context, request map[string]any) (messages []stored, more bool, err error) {
	data, err := json.Marshal(request)
	if err != nil {
		return nil, false, err
	}
	inbox := b.nc.NewRespInbox()
	answers, err := b.nc.SubscribeSync(inbox)
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = answers.Unsubscribe() }()
	if err := b.nc.PublishRequest("$JS.API.DIRECT.GET."+b.subjects.stream, inbox, data); err != nil {
		return nil, false, err
	}
	for {
		answer, err := answers.NextMsgWithContext(ctx)
		if errors.Is(err, nats.ErrNoResponders) {
			return nil, false, errMissing
		}
		if err != nil {
			return nil, false, err
		}
		switch status := answer.Header.Get("Status"); status {
		case "":
			m, err := parseStored(answer)
			if err != nil {
				return nil, false, err
			}
			messages = append(messages, m)
		case "204":
			return messages, !slices.Contains([]string{"", "0"}, answer.Header.Get("Nats-Num-Pending")), nil
		case "404":
			return messages, false, nil
		case "503":
			return nil, false, errMissing
		default:
			return nil, false, fmt.Errorf("%w: status %s %s", errAnswer, status, strings.TrimSpace(answer.Header.Get("Description")))
		}
	}
}

// begins reports whether a message is the mark with which a stream begins. The position of
// all who follow the stream is that of the mark at least.
func begins(m *nats.Msg) bool { return m.Header.Get(headerLast) == "0" }

func parseStored(m *nats.Msg) (stored, error) {
	sequence, err := strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64)
	if err != nil {
		return stored{}, errors.Join(errAnswer, err)
	}
	at, err := time.Parse(time.RFC3339Nano, m.Header.Get("Nats-Time-Stamp"))
	if err != nil {
		return stored{}, errors.Join(errAnswer, err)
	}
	return stored{m.Header.Get("Nats-Subject"), sequence, at, begins(m), m.Data}, nil
}
