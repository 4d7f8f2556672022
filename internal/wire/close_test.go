package wire

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestRetry(t *testing.T) {
	for clients, want := range map[int]time.Duration{
		0: 500 * time.Millisecond, 1: 500 * time.Millisecond, 2000: 500 * time.Millisecond,
		10_000: 2500 * time.Millisecond, 1_000_000: 10 * time.Second,
	} {
		assert.Equal(t, want, RetrySpread(clients), clients)
	}
	longest := RetryReason("service restart", ShortestRetry+10*time.Second)
	assert.Equal(t, "service restart; retry_after=10.50", longest)
	assert.LessOrEqual(t, len(longest), MaxCloseReason)
}
