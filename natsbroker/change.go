package natsbroker

import (
	"context"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// claimedFor is the time that a hub has to change the stream in JetStream. A change takes
// some milliseconds, unless the process ends meanwhile.
const claimedFor = 2 * time.Second

// change gives the stream in JetStream another configuration, and drops what is of an era
// that ends by that. It reports false if the stream is not as found any more, or if
// another hub is changing it.
//
// Hubs may not do so at the same time, as they would after a restart of the server. Of two
// updates a single server compares each with the configuration before both: it begins to
// listen to the new subjects twice, gets each message twice, and refuses every batch until
// it is restarted.
func (b *Broker) change(ctx context.Context, found *jetstream.StreamInfo, want jetstream.StreamConfig) (bool, error) {
	ended := eraName(found.Config.Metadata)
	if claimed, err := b.claim(ctx, ended, found.TimeStamp); !claimed {
		return false, err
	}
	want.Storage = found.Config.Storage // which cannot be changed
	stream, err := b.js.UpdateStream(ctx, want)
	if err != nil {
		return false, err
	}
	if ended != eraName(want.Metadata) { // nobody reads it any more, but for a claim that is late; else it ages out
		_ = stream.Purge(ctx, jetstream.WithPurgeSubject(b.subjects.kept(ended)))
	}
	return true, nil
}

// claim reports whether this hub may change the stream: in each era one at a time publishes
// a message to a subject of its own, and for some time nobody else does. now is by the
// clock of the server, as the time of that message.
func (b *Broker) claim(ctx context.Context, era string, now time.Time) (bool, error) {
	subject := b.subjects.claim(era)
	before, err := b.lastOf(ctx, subject)
	if err == nil && before.Sequence > 0 && now.Sub(before.Time).Abs() < claimedFor { // its clock may have been put back
		return false, nil
	}
	if err == nil {
		m := nats.NewMsg(subject)
		m.Header[headerLast] = []string{strconv.FormatUint(before.Sequence, 10)}
		_, err = b.publishAsOne(ctx, []*nats.Msg{m})
	}
	if again(err) {
		return false, nil // another hub was faster, or has changed the stream
	}
	return err == nil, err
}
