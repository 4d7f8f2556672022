package notify

import (
	"log/slog"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/rohrpost/rohrpost/internal/capture"
	"github.com/rohrpost/rohrpost/internal/wire"
	"gorm.io/gorm"
)

// Config configures a Notifier.
type Config struct {
	Hub any // the hub that the notifier serves, a pointer

	// Publish takes the changes of one commit, in order.
	Publish func(changes []wire.Change) error

	// HasMembersOrHistory reports whether a client may get a change of the group, now or
	// later.
	HasMembersOrHistory func(group string) bool

	// Markers returns the writes that a marker type announces, none for other types.
	Markers func(reflect.Type) []capture.Operation

	// PayloadTx calls the PushNotificationDataTx method of a row, whose type implements
	// PayloadTxType.
	PayloadTx     func(row any, tx *gorm.DB, messageType string, updatedFields []string) (any, error)
	PayloadTxType reflect.Type

	// Patience is how long the methods of a model may run for one statement before the
	// notifier logs it. Defaults to two seconds.
	Patience time.Duration

	Log                *slog.Logger
	Skipped, Untracked *atomic.Uint64

	JSONNames bool // see rohrpost.PluginConfig
	NetEffect bool
}
