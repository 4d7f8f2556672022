package redisbroker

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// place is where a Broker has published last. A master that was away goes on as another one
// beside its promoted replica, and loses what it takes when it becomes a replica: to the
// pages that follow the other one nothing is missing. So the Broker stores nothing at another
// place than the one that it knows, and first ends the era there, unless that has begun after
// everything that it has published. Both ages are measured by one clock each.
//
// It stores nothing in another era than the one that it knows either, which a server may begin
// while it goes on: what was tried before may have been delivered.
type place struct {
	life     string    // of the server; "": none is known
	era      string    // of the server; "": nothing was published
	answered time.Time // when a server has last taken something
	since    time.Time // when the Broker has met the era, zero for the first one
}

// errMoved is the error of a call that another one has overtaken at another server. Its
// batches are published again.
var errMoved = errors.New("the master has changed meanwhile")

// publish publishes batches as publish.lua takes them. Where the era is another one than that
// it was sent to, the server has taken none, and publish reports that the Broker has moved.
func (b *Broker) publish(ctx context.Context, sent place, batches []string) (moved bool, err error) {
	at, err := publishScript.Exec(ctx, b.client, b.keys, append(b.head(sent), batches...)).AsStrSlice()
	switch {
	case err != nil:
	case len(at) != 2:
		err = errAnswer
	case at[1] != sent.era:
		b.move(sent, at[0], at[1])
		return true, nil
	default:
		err = b.published(sent)
	}
	if err != nil {
		return false, fmt.Errorf("redisbroker: publish: %w", explain(err))
	}
	return false, nil
}

// head returns the first arguments of publish.lua.
func (b *Broker) head(sent place) []string {
	return []string{
		rand.Text(), strconv.Itoa(b.config.MaxMessages), strconv.Itoa(b.config.MaxBytes), milliseconds(b.config.MaxAge),
		milliseconds(remember), b.command(), sent.life, milliseconds(time.Since(sent.answered)), sent.era,
	}
}

func (b *Broker) known() place {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.place
}

// hasLeft reports whether a server is not the one that the Broker knows.
func (b *Broker) hasLeft(life string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.place.life = cmp.Or(b.place.life, life)
	return b.place.life != life
}

// published notes that a server has taken something.
func (b *Broker) published(sent place) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.place.life != sent.life {
		return errMoved
	}
	b.place.answered = time.Now()
	return nil
}

// move notes that the Broker publishes to another server, or in another era, from now on,
// unless another call has been answered meanwhile: that server may not have known it.
func (b *Broker) move(sent place, life, era string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.place != sent {
		return
	}
	if sent.era != "" {
		b.place.since = time.Now()
	}
	b.place.life, b.place.era = life, era
}
