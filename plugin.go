package rohrpost

import (
	"context"
	"errors"
	"log/slog"
	"reflect"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/capture"
	"github.com/rohrpost/rohrpost/internal/notify"
	"github.com/rohrpost/rohrpost/internal/wire"
	"gorm.io/gorm"
)

// PluginConfig configures Plugin. The zero value is ready to use.
type PluginConfig struct {
	// Logger receives a record of every change that the plugin could not announce, with
	// model and primary key. Defaults to the hub's logger.
	Logger *slog.Logger

	// JSONNames gives updated fields the names that they have in the JSON of the
	// model's struct, in messages and for PushNotificationData. Fields that are not in
	// the JSON are left out. Defaults to false: the names of the columns.
	JSONNames bool

	// NetEffect announces for each row what a transaction has come to, instead of each
	// step: create and update are one create with the final data, two updates are one
	// with the fields of both, update and delete are one delete, delete and create are
	// an update, create and delete are nothing. The order is that of the first steps.
	// Defaults to false.
	NetEffect bool

	// Models are checked when the plugin is used: Use returns an error about a model
	// without a marker, a malformed tag, and a method with a wrong signature. It does not
	// look at tables, which may not be there yet; Check does. The plugin serves all other
	// marked models too. Defaults to none.
	Models []any
}

// Plugin returns the GORM plugin that publishes the committed changes of marked
// models to hub:
//
//	err := db.Use(rohrpost.Plugin(hub))
//
// The plugin starts nothing, and one plugin may serve several database handles. Use it
// before the handle is shared: sessions that were made earlier keep the untracked
// connection. A failure of the plugin, of a model's methods or of the hub never reaches
// the caller's write. The plugin logs it and counts it in the hub's Stats. Use returns
// an error if hub is nil, and about PluginConfig.Models. Plugin panics if it gets more than
// one config.
func Plugin(hub *Hub, config ...PluginConfig) gorm.Plugin {
	if len(config) > 1 {
		panic("rohrpost: Plugin takes one PluginConfig at most")
	}
	if hub == nil {
		return capture.New(nil, nil)
	}
	c := notify.Config{
		Hub:                 hub,
		Publish:             hub.publishCaptured,
		HasMembersOrHistory: hub.hasMembersOrHistory,
		Views:               hub.viewsOf,
		Markers:             markedOperations,
		PayloadTx:           payloadTx,
		PayloadTxType:       reflect.TypeFor[PayloadProviderTx](),
		Log:                 hub.log,
		Skipped:             &hub.counters.skipped,
		Untracked:           &hub.counters.untracked,
	}
	var models []any
	for _, given := range config {
		models = given.Models
		c.JSONNames, c.NetEffect = given.JSONNames, given.NetEffect
		if given.Logger != nil {
			c.Log = given.Logger
		}
	}
	return capture.New(notify.New(c), c.Log, models...)
}

// Check returns an error about everything that keeps the writes of marked models from being
// announced one by one. Call it at start-up or in a test, after the migrations:
//
//	err := rohrpost.Check(db, &Article{}, &Comment{})
//
// It looks for a missing marker, a malformed tag, a method with a wrong signature, and a
// group or an object that needs a primary key where there is none. It compares the models
// with their tables: columns that are missing or called otherwise, text keys with a
// collation that ignores differences, unique indexes that the model does not declare, and
// rows that the model cannot hold, among the first hundred. With a difference of the table
// the plugin still announces the writes, but reads more, or sends a resync.
//
// Check works on a handle with and without the plugin. It runs queries and changes nothing.
func Check(db *gorm.DB, models ...any) error {
	p := capture.PluginOf(db)
	if p == nil {
		p = capture.New(notify.New(notify.Config{Markers: markedOperations, PayloadTx: payloadTx, PayloadTxType: reflect.TypeFor[PayloadProviderTx]()}), slog.New(slog.DiscardHandler))
	}
	var problems []error
	for _, model := range models {
		t, err := p.CheckModel(db, model)
		if err == nil {
			err = capture.CheckTable(db, t, model)
		}
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

// PayloadProviderTx may be implemented by a marked model whose object needs other rows. It
// takes precedence over PayloadProvider, and is called like it. tx is a handle on the
// connection and in the transaction of the write. It must not be used after the return.
//
// For a group with views, see Hub.AllowViews, the method is called once for each view that
// has members or a history. nil, or what encodes to null, hides the row from the view: the
// view gets no create, and in place of an update a delete with the object {"id": <primary
// key>}. The updated fields in a message to a view are only those that its object has.
//
// The method should return the errors of its queries. After an error the group gets a
// Resync in the place of the change, and the caller's transaction goes on: on PostgreSQL a
// savepoint is set around the call. If the server has ended the transaction, by a deadlock
// on MySQL, the caller's write returns the error.
type PayloadProviderTx interface {
	PushNotificationDataTx(tx *gorm.DB, q PayloadQuery) (any, error)
}

// PayloadQuery describes the change for which an object is needed.
type PayloadQuery struct {
	Type          string   // Create, Update or Delete
	UpdatedFields []string // the columns that the caller's update set, nil where they are not known
	View          string   // the view of the group, "" for a group without views
}

// payloadTx calls the method of a PayloadProviderTx.
func payloadTx(row any, tx *gorm.DB, q notify.PayloadQuery) (any, error) {
	return row.(PayloadProviderTx).PushNotificationDataTx(tx, PayloadQuery(q))
}

// markedOperations returns the writes that a marker announces, none for other types.
func markedOperations(marker reflect.Type) []capture.Operation {
	switch marker {
	case reflect.TypeFor[NotifyOnCreate]():
		return []capture.Operation{capture.Create}
	case reflect.TypeFor[NotifyOnUpdate]():
		return []capture.Operation{capture.Update}
	case reflect.TypeFor[NotifyOnDelete]():
		return []capture.Operation{capture.Delete}
	case reflect.TypeFor[NotifyOnChange]():
		return []capture.Operation{capture.Create, capture.Update, capture.Delete}
	}
	return nil
}

// Outbox stores the changes of a commit in the database, in the transaction that makes
// them. Whatever process then dies, relays publish them by Hub.PublishBatches. Package
// outbox, a module of its own, has one. The methods may be called concurrently.
type Outbox interface {
	// Write stores the messages of one commit, right before COMMIT and on the connection of
	// the transaction. An error refuses the COMMIT. Outside of a transaction conn is nil: then
	// Write stores the messages in a transaction of its own. The Stream of a message is its
	// group, or for a Resync a pattern of groups.
	Write(ctx context.Context, conn gorm.ConnPool, messages []broker.Message) error

	// Written is called when messages may have committed. It does not wait.
	Written()

	// Turn is called before the program begins a transaction, and before a statement outside
	// of one. It may wait until a relay has ended its own, where the database has only one
	// writer. The program ends its turn by the function that Turn returns, which may be nil.
	Turn(ctx context.Context) (end func())
}

// UseOutbox makes the plugin on db, which must serve the hub, store the changes of db in an
// outbox from now on. It is for implementations of Outbox: outbox.New calls it.
func UseOutbox(db *gorm.DB, hub *Hub, o Outbox) error {
	p := capture.PluginOf(db)
	switch {
	case p == nil:
		return errors.New("rohrpost: the outbox needs the plugin: call db.Use(rohrpost.Plugin(hub)) before")
	case notify.Of(p) == nil || notify.Of(p).Hub() != any(hub):
		return errors.New("rohrpost: the outbox and the plugin of the database handle need the same hub")
	case !p.SetStore(db, outboxOf{o, hub}):
		return errors.New("rohrpost: the database handle has an outbox already")
	}
	return nil
}

// outboxOf encodes changes for an Outbox.
type outboxOf struct {
	Outbox
	hub *Hub
}

// Write implements notify.Outbox.
func (o outboxOf) Write(ctx context.Context, conn gorm.ConnPool, changes []wire.Change) error {
	messages := make([]broker.Message, len(changes))
	for i := range changes {
		messages[i] = o.hub.encodeStored(&changes[i])
	}
	return o.Outbox.Write(ctx, conn, messages)
}
