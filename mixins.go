package rohrpost

import (
	"context"
	"reflect"

	"github.com/rohrpost/rohrpost/internal/notify"
)

// The markers. A model that embeds one, by value or by pointer, directly or
// through an embedded base, is announced: every committed write of the marked
// kind becomes a message to the model's group. Markers are empty and map to no
// column; embedded first in a struct they also cost no memory.
//
// A struct tag on the marker may name the group:
//
//	rohrpost.NotifyOnChange `rohrpost:"group:project-{project_id};fields:status,title"`
//
// Its options are separated by ";":
//
//   - group names the group. {pk} stands for the primary key and {column} for
//     the value of that database column. Defaults to the type's name in lower
//     case, "-" and the primary key: "article-7".
//   - fields lists columns: an update is announced only when it sets one of
//     them. Defaults to all.
//   - depends lists the columns from which a GroupName or GroupNames method makes
//     the name: only an update that sets one of them can move a row to another
//     group, and costs the reading of the row before. Defaults to all columns.
//   - rows is the most changes of one commit that a group is told one by one;
//     above, it is told once to load its state again. Defaults to 100.
//   - always_send:false announces an update only when one of the updated fields
//     is a key of the object. Defaults to true.
type (
	// NotifyOnCreate marks a model whose creates are announced.
	NotifyOnCreate struct{}
	// NotifyOnUpdate marks a model whose updates are announced.
	NotifyOnUpdate struct{}
	// NotifyOnDelete marks a model whose deletes are announced.
	NotifyOnDelete struct{}
	// NotifyOnChange marks a model whose creates, updates and deletes are announced.
	NotifyOnChange struct{}
)

// GroupNamer may be implemented by a marked model to name the group that is
// told; it wins over the marker's tag. messageType is Create, Update or Delete.
//
// The method is called inside the transaction, with the row as the statement
// left it (a delete: as it was), never with a half-filled struct.
type GroupNamer interface {
	GroupName(messageType string) string
}

// GroupsNamer may be implemented by a marked model that belongs to several
// groups; it wins over GroupNamer and the marker's tag. A name that stands twice
// counts once, and without one nobody is told. It is called like GroupName.
type GroupsNamer interface {
	GroupNames(messageType string) []string
}

// PayloadProvider may be implemented by a marked model to choose what
// the group is told; what it returns becomes "object" in the message and must
// encode to JSON. Without it the object is {"id": <primary key>}.
//
// updatedFields holds the columns that the caller's update set, nil where
// nothing is known of them. It is called like GroupName.
type PayloadProvider interface {
	PushNotificationData(updatedFields []string, messageType string) any
}

// WithoutNotify returns a context under which writes are not announced:
//
//	db.WithContext(rohrpost.WithoutNotify(ctx)).Create(&imported)
//
// It holds wherever the context goes, also in associations, hooks and goroutines.
func WithoutNotify(ctx context.Context) context.Context { return notify.Without(ctx) }

// WithoutNotifyFor is WithoutNotify for the writes of one model, T or *T:
//
//	db.WithContext(rohrpost.WithoutNotifyFor[Comment](ctx)).Create(&articleWithComments)
func WithoutNotifyFor[T any](ctx context.Context) context.Context {
	t := reflect.TypeFor[T]()
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return notify.WithoutFor(ctx, t)
}
