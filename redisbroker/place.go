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
type place struct {
	life     string    // of the server; "": none is known
	answered time.Time // when a server has last taken something
	since    time.Time // when the Broker has met the server, zero for the first one
}

// errMoved is the error of a call that another one has overtaken at another server. Its
// batches are published again.
var errMoved = errors.New("the master has changed meanwhile")

// publish publishes batches as publish.lua takes them. Where the server is another one than
// that it was sent to, it has taken none, and publish reports that the Broker has moved.
func (b *Broker) publish(ctx context.Context, sent place, batches []string) (moved bool, err error) {
	life, err := publishScript.Exec(ctx, b.client, b.keys, append(b.head(sent), batches...)).ToString()
	if moved = err == nil && sent.life != "" && life != sent.life; moved {
		b.move(sent, life)
	} else if err == nil {
		err = b.published(sent, life)
	}
	if err != nil {
		return false, fmt.Errorf("redisbroker: publish: %w", explain(err))
	}
	return moved, nil
}

// head returns the first arguments of publish.lua.
func (b *Broker) head(sent place) []string {
	return []string{
		rand.Text(), strconv.Itoa(b.config.MaxMessages), strconv.Itoa(b.config.MaxBytes), milliseconds(b.config.MaxAge),
		milliseconds(remember), b.command(), sent.life, milliseconds(time.Since(sent.answered)),
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
func (b *Broker) published(sent place, life string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.place != sent && b.place.life != life {
		return errMoved
	}
	b.place.life, b.place.answered = life, time.Now()
	return nil
}

// move notes that the Broker publishes to another server from now on, unless another call has
// been answered meanwhile: that server may not have known it.
func (b *Broker) move(sent place, life string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.place == sent {
		b.place.life, b.place.since = life, time.Now()
	}
}
