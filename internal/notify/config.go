package notify

import (
	"log/slog"
	"reflect"
	"sync/atomic"

	"github.com/rohrpost/rohrpost/internal/capture"
	"github.com/rohrpost/rohrpost/internal/wire"
)

// Config configures a Notifier.
type Config struct {
	// Publish takes the changes of one commit, in order.
	Publish func(changes []wire.Change) error

	// HasMembersOrHistory reports whether a client may get a change of the group, now or
	// later.
	HasMembersOrHistory func(group string) bool

	// Markers returns the writes that a marker type announces, none for other types.
	Markers func(reflect.Type) []capture.Operation

	Log                *slog.Logger
	Skipped, Untracked *atomic.Uint64

	JSONNames bool // see rohrpost.PluginConfig
	NetEffect bool
}
