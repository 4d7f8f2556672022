package sqlbroker

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"

	"github.com/rohrpost/rohrpost/broker"
)

// TestClean drops what is old and what is too much, but never the newest message.
func TestClean(t *testing.T) {
	db, err := gorm.Open(sqlite.Open("file:" + t.TempDir() + "/broker.db"))
	require.NoError(t, err)
	b, err := New(db, Config{App: "a", MaxMessages: 1500})
	require.NoError(t, err)
	_, err = b.Follow(t.Context(), []string{"g", "h"})
	require.NoError(t, err)
	send := func(number uint64, count int) {
		batch := broker.Batch{Source: "s", Number: number}
		for i := range count {
			batch.Messages = append(batch.Messages, broker.Message{Stream: "g", Payload: fmt.Append(nil, i)})
		}
		require.NoError(t, b.Publish(t.Context(), []broker.Batch{batch}))
	}
	kept := func() (n int64) {
		require.NoError(t, db.Table(b.tables.messages).Count(&n).Error)
		return n
	}
	for n := range uint64(3) {
		send(n+1, 1000)
	}
	require.NoError(t, b.clean(t.Context()))
	assert.EqualValues(t, 1501, kept(), "of 3,000")
	require.NoError(t, db.Exec("UPDATE rohrpost_a_messages SET created = 0").Error)
	require.NoError(t, b.clean(t.Context()))
	assert.EqualValues(t, 1, kept(), "the newest stays")
	send(4, 10)
	require.NoError(t, b.clean(t.Context()))
	assert.EqualValues(t, 11, kept(), "no newer one is old")
	old := time.Now().Add(-time.Hour).UnixMilli()
	require.NoError(t, db.Exec("UPDATE rohrpost_a_streams SET touched = ? WHERE name = ?", old, []byte("h")).Error)
	require.NoError(t, b.clean(t.Context()))
	positions, err := b.Positions(t.Context(), []string{"g", "h"})
	require.NoError(t, err)
	assert.NotZero(t, positions[0])
	assert.Zero(t, positions[1])
}
