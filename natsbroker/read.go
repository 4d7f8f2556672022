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

// maxAsked is the number of streams whose positions one request reads, maxRead about the
// number of messages.
const (
	maxAsked = 200
	maxRead  = 1000
)

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

// latest returns the latest message of each subject that has one. Any server of a cluster may
// answer, also one that has not yet what another one has told hubs and publishers. So latest
// asks for the end of all too: every server that is not before it has that message, and says so.
func (b *Broker) latest(ctx context.Context, subjects []string) (map[string]stored, error) {
	end, err := b.end(ctx)
	if err != nil {
		return nil, err
	}
	found := make(map[string]stored, len(subjects)+1)
	asked := slices.Clone(subjects)
	slices.Sort(asked)
	for some := range slices.Chunk(slices.Compact(asked), maxAsked) {
		some = slices.Clone(some)
		if end.Sequence > 0 && !slices.Contains(some, end.Subject) {
			some = append(some, end.Subject)
		}
		for more := true; more; {
			answer, err := b.get(ctx, map[string]any{"multi_last": some})
			if err != nil {
				return nil, err
			}
			if answer.upTo < end.Sequence {
				if err := pause(ctx); err != nil {
					return nil, fmt.Errorf("wait for a server that is behind: %w", err)
				}
				continue
			}
			for _, m := range answer.messages {
				found[m.subject] = m
			}
			more = answer.more && len(answer.messages) > 0
			some = slices.DeleteFunc(some, func(subject string) bool { _, ok := found[subject]; return ok && subject != end.Subject })
		}
	}
	return found, nil
}

// end returns the last message of all, by the leader of the stream in JetStream. A single server
// is never behind.
func (b *Broker) end(ctx context.Context) (newest, error) {
	if b.replicas() == 1 {
		return newest{}, nil
	}
	return b.lastOf(ctx, ">")
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
				if err := pause(ctx); err != nil {
					return fmt.Errorf("wait for a server that has all messages: %w", err)
				}
			}
		})
	})
	return h, err
}

// read also reports whether all messages were there: none was dropped meanwhile, and no
// server that has answered was behind.
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
	messages, whole, err := b.between(ctx, subject, after, end.sequence, limit)
	if err != nil || !whole {
		return h, false, err
	}
	prev := messages[0].sequence
	if prev > after && !messages[0].begin { // nobody is at after, or that message was dropped
		if prev, whole, err = b.before(ctx, subject, prev); err != nil || !whole {
			return h, false, err
		}
	}
	for _, m := range messages {
		if m.sequence > after && !m.begin && len(h.Messages) < limit {
			h.Messages = append(h.Messages, broker.Message{Stream: stream, Payload: m.payload, Position: broker.Position{Epoch: h.Position.Epoch, Offset: m.sequence}, Prev: prev})
		}
		prev = m.sequence
	}
	return h, true, nil
}

// between returns the messages from one sequence to another one, or the first of them, more
// than limit. JetStream drops the oldest messages of a subject first: those of one answer have
// none missing between them, and the next answer, of any server, begins with the last one.
func (b *Broker) between(ctx context.Context, subject string, first, end uint64, limit int) (all []stored, whole bool, err error) {
	for last := first; last < end && len(all) <= limit; last = all[len(all)-1].sequence {
		answer, err := b.get(ctx, map[string]any{"seq": last, "next_by_subj": subject, "batch": min(limit-len(all), maxRead) + 2})
		if err != nil {
			return nil, false, err
		}
		some := slices.DeleteFunc(answer.messages, func(m stored) bool { return m.sequence > end })
		if len(all) > 0 {
			if len(some) == 0 || some[0].sequence != last {
				return nil, false, nil
			}
			some = some[1:]
		}
		if len(some) == 0 || some[len(some)-1].sequence == first {
			return nil, false, nil
		}
		all = append(all, some...)
	}
	return all, true, nil
}

// before returns the sequence before the one of a message, where one server has both.
func (b *Broker) before(ctx context.Context, subject string, sequence uint64) (prev uint64, whole bool, err error) {
	if sequence == 1 {
		return unknownPrev(sequence), true, nil
	}
	answer, err := b.get(ctx, map[string]any{"multi_last": []string{subject}, "up_to_seq": sequence - 1})
	if err != nil || len(answer.messages) == 0 {
		return unknownPrev(sequence), err == nil, err
	}
	prev = answer.messages[0].sequence
	answer, err = b.get(ctx, map[string]any{"seq": prev, "next_by_subj": subject, "batch": 2})
	if err != nil {
		return 0, false, err
	}
	both := answer.messages
	return prev, len(both) == 2 && both[0].sequence == prev && both[1].sequence == sequence, nil
}

// unknownPrev is Prev of the oldest message that is kept. A hub that is not exactly there has
// missed messages, as far as the Broker knows.
func unknownPrev(sequence uint64) uint64 { return sequence - 1 }

// answer is what a server has of what it was asked for.
type answer struct {
	messages []stored
	more     bool   // which were too large for one answer
	upTo     uint64 // the last sequence that the server has, 0 if it does not say
}

// get asks any server that has the stream in JetStream for messages.
func (b *Broker) get(ctx context.Context, request map[string]any) (a answer, err error) {
	data, err := json.Marshal(request)
	if err != nil {
		return a, err
	}
	inbox := b.nc.NewRespInbox()
	answers, err := b.nc.SubscribeSync(inbox)
	if err != nil {
		return a, err
	}
	defer func() { _ = answers.Unsubscribe() }()
	if err := b.nc.PublishRequest("$JS.API.DIRECT.GET."+b.subjects.stream, inbox, data); err != nil {
		return a, err
	}
	for {
		m, err := answers.NextMsgWithContext(ctx)
		if errors.Is(err, nats.ErrNoResponders) {
			return a, errMissing
		}
		if err != nil {
			return a, err
		}
		switch status := m.Header.Get("Status"); status {
		case "":
			one, err := parseStored(m)
			if err != nil {
				return a, err
			}
			a.messages = append(a.messages, one)
		case "204":
			a.more = !slices.Contains([]string{"", "0"}, m.Header.Get("Nats-Num-Pending"))
			a.upTo, _ = strconv.ParseUint(m.Header.Get("Nats-UpTo-Sequence"), 10, 64) // says only who was asked for several subjects
			return a, nil
		case "404":
			return a, nil
		case "503":
			return a, errMissing
		default:
			return a, fmt.Errorf("%w: status %s %s", errAnswer, status, strings.TrimSpace(m.Header.Get("Description")))
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
