package redisbroker

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestOvertakenCalls answers calls that were sent at the same time, by two servers.
func TestOvertakenCalls(t *testing.T) {
	b := &Broker{}
	first := b.known()
	require.NoError(t, b.published(first, "A"))
	require.NoError(t, b.published(first, "A"), "of the same server")
	require.ErrorIs(t, b.published(first, "B"), errMoved, "B has not seen when A has answered")

	sent := b.known()
	require.NoError(t, b.published(sent, "A"))
	b.move(sent, "B")
	assert.False(t, b.hasLeft("A"), "B has not seen that A has answered again")
	b.move(b.known(), "B")
	assert.True(t, b.hasLeft("A"))
	require.ErrorIs(t, b.published(sent, "A"), errMoved, "it is published again at B")
	require.NoError(t, b.published(b.known(), "B"))
}
