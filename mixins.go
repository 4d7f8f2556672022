package rohrpost

import (
	"context"
	"reflect"

	"github.com/rohrpost/rohrpost/internal/notify"
)

// The markers. A model embeds one by value or by pointer, directly or through an
// embedded base. Then every committed write of the marked kind becomes a message to the
// model's group. Markers are empty and map to no column. Embedded first in a struct they
// also cost no memory.
//
// A struct tag on the marker may name the group:
//
//	rohrpost.NotifyOnChange `rohrpost:"group:project-{project_id};payload:title,state,updated_at"`
//
// Its options are separated by ";":
//
//   - group names the group. {pk} stands for the primary key and {column} for
//     the value of that database column, which is no truth and no floating-point number.
//     A row whose column is null or empty is in no group. The name is that of FormatGroup
//     for this pattern: {column:int} and {column:uuid} stand for such values only, bytes of
//     others are escaped, and text must stand between two placeholders. The columns of a
//     {pk} are joined by ":". Defaults to the type's name in lower case, "-" and the primary
//     key: "article-7".
//   - payload lists the columns of an object, which has the primary key as "id" too, encoded
//     as encoding/json encodes its field: with json:"id,string" it is a string. The columns
//     are called and encoded as encoding/json calls and encodes their fields, with the
//     option "string", but they are never left out. A create, and a row that comes into a
//     group, has all of them, and a delete only the key. An update has those that its
//     statement has set, also the automatic update time. It is Partial: clients keep the
//     values of the others. Its updated fields are those of the listed columns that the
//     caller has set. An update that sets none of them and moves no row is not announced.
//     The columns that the database makes (gorm:"->") are in every update. A column that is
//     never read, or not in the JSON, is an error, and so are the options preload and
//     always_send beside this one. A PushNotificationData method wins over it. The model
//     needs a primary key. Defaults to none: the object is the key.
//   - fields lists columns: an update is announced only when it sets one of
//     them. With payload they must be among those. Defaults to all.
//   - depends lists the columns from which a GroupName or GroupNames method makes
//     the name. Only an update that sets one of them can move a row to another
//     group, so that only then the plugin reads the row before it. Defaults to all
//     columns.
//   - preload lists associations, such as Author or Author.Team, that the plugin loads
//     before it calls the methods below, on the connection of the write. The loaded row
//     is a copy. Defaults to none: associations are empty.
//   - rows is the most changes of one commit that a group gets one by one; above, it
//     gets one resync. Defaults to 100.
//   - reread:false announces a created row, and the listed columns of an update, as they
//     are in memory. reread:true reads them again after every write, for tables with
//     triggers. Without it the plugin reads them again where the table keeps other values:
//     decimals, padded texts, dates, and keys that the database spells its own way.
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

// GroupNamer may be implemented by a marked model to name its group. It takes precedence
// over the marker's tag. messageType is Create, Update or Delete. A row whose name is
// empty is in no group.
//
// The plugin takes the name as it is. Make it with FormatGroup if it contains values: a
// value may contain what separates it from the next one, or what no name can have. The
// plugin logs and counts a malformed name, and skips the change.
//
// The plugin calls the method inside the transaction, with the row as the table keeps it,
// or before a delete as it was. Fields that are no columns, and columns that are never
// read, are empty: so are associations. It never calls the method with a half-filled struct.
// Statements that run concurrently call it concurrently. A panic is logged and counted in
// Stats, and the change is skipped.
type GroupNamer interface {
	GroupName(messageType string) string
}

// GroupsNamer may be implemented by a marked model that belongs to several
// groups. It takes precedence over GroupNamer and the marker's tag. A repeated name
// counts once. Without names the change is not sent. The plugin calls the method like
// GroupName.
type GroupsNamer interface {
	GroupNames(messageType string) []string
}

// PayloadProvider may be implemented by a marked model to choose the object of its
// changes. The returned value becomes "object" in the message and must encode to JSON.
// Without the method, and without the tag option payload, the object is
// {"id": <primary key>}, with the key as encoding/json encodes its field. A key of several
// columns is an array.
//
// updatedFields holds the columns that the caller's update set, nil where they are not
// known. The plugin calls the method like GroupName, but only if the group has members or
// a history.
//
// The method runs while the transaction of the write holds its connection. It must not use
// the program's database handle: with a single connection it would wait for itself, on
// SQLite for a locked database, and elsewhere it would not see the write. The plugin logs a
// method that runs for more than two seconds. Use PayloadProviderTx, or the tag option
// preload. The same holds for GroupName and GroupNames.
type PayloadProvider interface {
	PushNotificationData(updatedFields []string, messageType string) any
}

// WithoutNotify returns a context whose writes are not announced:
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
