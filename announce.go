package rohrpost

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"

	"gorm.io/gorm"
)

type silentKey struct{}

// Silent returns a context under which writes are not announced:
//
//	db.WithContext(rohrpost.Silent(ctx)).Create(&imported)
//
// It holds wherever the context goes, hooks and associations included.
func Silent(ctx context.Context) context.Context {
	return context.WithValue(ctx, silentKey{}, true)
}

func isSilent(ctx context.Context) bool {
	return ctx != nil && ctx.Value(silentKey{}) != nil
}

// announce lets the changes of a statement wait for the end of its transaction,
// and releases them at once where there is none. w is nil for a plain create.
func (p *plugin) announce(db *gorm.DB, w *write, m *model) (err error) {
	defer recovered(&err)
	tx, err := transactionOf(db.Statement.ConnPool)
	if err != nil {
		p.untracked(m)
		return nil
	}
	var one [1]reflect.Value // most statements write one row
	var rows []reflect.Value
	if w == nil || w.op == creating {
		rows, err = created(one[:0], db, w, m)
	} else {
		rows, err = w.written(db)
	}
	var alone transaction // nothing to wait for
	if tx == nil {
		tx = &alone
	}
	for _, value := range rows {
		p.hold(db.Statement.Context, tx, w, m, value)
	}
	p.release(db.Statement.Context, alone.waiting)
	return err
}

// hold builds the change of one row. What cannot be announced is logged,
// counted and left out.
func (p *plugin) hold(ctx context.Context, tx *transaction, w *write, m *model, value reflect.Value) {
	row := writtenRow{model: m, value: value, op: creating}
	row.key, row.keyErr = keyOf(ctx, m.schema, value)
	if w != nil {
		row.op, row.fields = w.op, w.fields
		if w.upserts != nil && !w.upserts.judge(&row) {
			return
		}
	}
	if m.groups[row.op] == nil {
		return
	}
	change, err := row.change(ctx)
	if err != nil {
		p.skip(m, row.key, row.op, err)
		return
	}
	tx.hold(held{change: change, model: m.name, key: row.key.text})
}

// created returns the rows of a create, in one where they fit. They are in
// memory, unless the statement left fields out, met existing rows or came from
// maps.
func created(one []reflect.Value, db *gorm.DB, w *write, m *model) (rows []reflect.Value, err error) {
	stmt := db.Statement
	upserts := w != nil && w.upserts != nil
	if upserts && w.upserts.err != nil {
		return nil, w.upserts.err
	}
	rows = elements(one, stmt.ReflectValue)
	fromMap := stmt.ReflectValue.Kind() == reflect.Map || len(rows) == 0
	if fromMap {
		if rows, err = mapElements(stmt.Context, m.schema, stmt.Dest); err != nil {
			return nil, err
		}
	}
	differs := fromMap || upserts || m.unwritten || len(stmt.Selects) > 0 || len(stmt.Omits) > 0
	if upserts && w.upserts.nothing || m.needsRow(creating) && differs {
		return selectRows(db, m, rows)
	}
	return rows, nil
}

// writtenRow is one row that a statement changed, about to be announced.
type writtenRow struct {
	model  *model
	value  reflect.Value // of the struct, addressable
	key    rowKey
	keyErr error // why there is no key; matters only where one is used
	op     operation
	fields []string
}

// change builds what is announced. The model's methods are the user's code: a
// panic in them becomes an error.
func (r *writtenRow) change(ctx context.Context) (change Change, err error) {
	defer recovered(&err)
	change = Change{Type: writes[r.op], UpdatedFields: r.fields}
	if change.Group, err = r.group(ctx); err != nil {
		return change, fmt.Errorf("name the group: %w", err)
	}
	if err = change.check(); err != nil {
		return change, err
	}
	if change.Object, err = r.object(); err != nil {
		return change, fmt.Errorf("build the payload: %w", err)
	}
	return change, nil
}

func (r *writtenRow) group(ctx context.Context) (string, error) {
	if r.model.namesGroup {
		return r.value.Addr().Interface().(GroupNamer).GroupName(writes[r.op]), nil
	}
	name := make([]byte, 0, 64)
	parts := r.model.groups[r.op].parts
	if parts == nil {
		name = append(append(name, r.model.name...), '-')
		parts = []groupPart{{}}
	}
	for _, part := range parts {
		switch {
		case part.text != "":
			name = append(name, part.text...)
		case part.field != nil:
			value, _ := part.field.ValueOf(ctx, r.value)
			column, _, err := keyText(value)
			if err != nil {
				return "", fmt.Errorf("column %s: %w", part.field.DBName, err)
			}
			name = append(name, column...)
		case r.keyErr != nil:
			return "", r.keyErr
		default:
			name = append(name, r.key.text...)
		}
	}
	return string(name), nil
}

// object is encoded here and now: what the user's value refers to may change
// before the commit.
func (r *writtenRow) object() (json.RawMessage, error) {
	if r.model.pushesData {
		payload := r.value.Addr().Interface().(PushNotifier).PushNotificationData(r.fields, writes[r.op])
		return encodeObject(payload)
	}
	if r.keyErr != nil {
		return nil, r.keyErr
	}
	return r.key.object(), nil
}
