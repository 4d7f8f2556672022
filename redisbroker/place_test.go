package redisbroker

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestOvertakenCalls answers calls that were sent at the same time, by two servers.
func TestOvertakenCalls(t *testing.T) {
	b := &Broker{}
	b.move(b.known(), "A", "1")
	assert.Zero(t, b.known().since, "the first era")
	first := b.known()
	require.NoError(t, b.published(first))
	require.NoError(t, b.published(first), "of the same server")

	sent := b.known()
	require.NoError(t, b.published(sent))
	b.move(sent, "B", "2")
	assert.False(t, b.hasLeft("A"), "B has not seen that A has answered again")
	b.move(b.known(), "B", "2")
	assert.True(t, b.hasLeft("A"))
	assert.NotZero(t, b.known().since)
	require.ErrorIs(t, b.published(sent), errMoved, "it is published again at B")
	sent = b.known()
	b.move(sent, "B", "3")
	require.NoError(t, b.published(sent), "B had taken it before")
	assert.Equal(t, "3", b.known().era)
}
