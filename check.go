package rohrpost

import (
	"errors"
	"log/slog"
	"reflect"

	"github.com/rohrpost/rohrpost/internal/capture"
	"github.com/rohrpost/rohrpost/internal/notify"
	"gorm.io/gorm"
)

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
