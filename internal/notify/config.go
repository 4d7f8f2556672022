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

	// Publish takes the changes of one commit, in order. It must not keep the slice.
	Publish func(changes []wire.Change) error

	// HasMembersOrHistory reports whether a client may get a change of the stream of a group
	// or of a view, now or later. A group with views stands for all of them.
	HasMembersOrHistory func(stream string) bool

	// Views returns the views of a group, nil for none.
	Views func(group string) []string

	// Markers returns the writes that a marker type announces, none for other types.
	Markers func(reflect.Type) []capture.Operation

	// PayloadTx calls the PushNotificationDataTx method of a row, whose type implements
	// PayloadTxType.
	PayloadTx     func(row any, tx *gorm.DB, q PayloadQuery) (any, error)
	PayloadTxType reflect.Type

	// Patience is how long the methods of a model may run for one statement before the
	// notifier logs it. Defaults to two seconds.
	Patience time.Duration

	Log                *slog.Logger
	Skipped, Untracked *atomic.Uint64

	JSONNames bool // see rohrpost.PluginConfig
	NetEffect bool
}

// PayloadQuery is rohrpost.PayloadQuery.
type PayloadQuery struct {
	Type          string
	UpdatedFields []string
	View          string
}
