package natsbroker

import "time"

// SetMaxAge lets a test keep messages for less than New allows.
func (b *Broker) SetMaxAge(d time.Duration) { b.config.MaxAge = d }
