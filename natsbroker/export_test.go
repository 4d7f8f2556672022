package natsbroker

import (
	"context"
	"time"
)

// SetMaxAge lets a test keep messages for less than New allows.
func (b *Broker) SetMaxAge(d time.Duration) { b.config.MaxAge = d }

// Era returns the name of the era that the Broker knows.
func (b *Broker) Era() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.era.name
}

// Claim does what comes before the stream in JetStream is changed.
func (b *Broker) Claim(ctx context.Context, era string) (bool, error) {
	return b.claim(ctx, era, time.Now())
}
