package rohrpost

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rohrpost/rohrpost/internal/sqlitetest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
)

// poster counts how often its data are made.
type poster struct {
	NotifyOnChange
	ID uint
}

// postersMade counts payloads. A payload is made of the columns alone, so that no field of
// the model could count them.
var postersMade atomic.Int32

func (p poster) PushNotificationData([]string, string) any {
	postersMade.Add(1)
	return map[string]any{"id": p.ID}
}

// TestUnrenderedChanges: for a group without members no payload is made. A client that
// joins before the COMMIT is told to load its snapshot.
func TestUnrenderedChanges(t *testing.T) {
	db := sqlitetest.Open(t, gorm.Config{})
	hub := NewHub(Config{})
	require.NoError(t, db.Use(Plugin(hub)))
	require.NoError(t, db.AutoMigrate(&poster{}))
	c, socket := connect(t, hub, false)
	defer func() {
		c.member.Abort()
		shutDown(t, hub)
	}()

	postersMade.Store(0)
	require.NoError(t, db.Create(&poster{ID: 1}).Error)
	assert.Zero(t, postersMade.Load(), "nobody listens")

	require.NoError(t, db.Transaction(func(tx *gorm.DB) error {
		require.NoError(t, tx.Create(&poster{ID: 2}).Error)
		return c.Join("poster-2")
	}))
	assert.Zero(t, postersMade.Load(), "nobody listened when it was made")
	got := func() string {
		quietNow(t, hub, []*Conn{c})
		messages, _ := socket.frames(t)
		return strings.Join(messages, "\n")
	}
	assert.Contains(t, got(), `"data":{"type":"resync","group":"poster-2","object":{"reason":"late","spread":0},"offset":1}`)

	require.NoError(t, c.Join("poster-3"))
	require.NoError(t, db.Create(&poster{ID: 3}).Error)
	assert.EqualValues(t, 1, postersMade.Load())
	assert.Contains(t, got(), `"object":{"id":3}`)
}
