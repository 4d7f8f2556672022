package rohrpost

import (
	"context"
	"errors"
	"reflect"
	"slices"

	"github.com/rohrpost/rohrpost/internal/panics"
	"github.com/rohrpost/rohrpost/internal/wire"
	"gorm.io/gorm"
)

// announce lets the changes of a statement wait for the end of its transaction,
// and releases them at once where there is none. w is nil for a plain create.
func (p *plugin) announce(db *gorm.DB, w *write, m *model) (err error) {
	defer panics.Recover(&err)
	pool := db.Statement.ConnPool
	if w != nil {
		pool = w.ConnPool
	}
	tx, err := transactionOf(pool)
	if err != nil {
		p.untracked(m)
		return nil
	}
	alone := tx == nil // nothing to wait for
	if alone {
		tx = &transaction{}
	}
	a := announcement{plugin: p, ctx: db.Statement.Context, tx: tx, model: m}
	a.statement(db, w)
	if alone {
		p.release(a.ctx, tx.take())
	}
	return nil
}

// announcement is what the changes of one statement have in common.
type announcement struct {
	plugin *plugin
	ctx    context.Context
	tx     *transaction
	model  *model
}

// statement announces what a statement did. Where that cannot be told, all whom
// it may concern are told to load their state again: nothing is lost in silence.
func (a *announcement) statement(db *gorm.DB, w *write) {
	var err error
	switch {
	case a.tx.isFlooded():
		err = errManyRows
	case w == nil:
		err = a.created(db, db.Statement.ConnPool)
	case w.unheard:
	case w.failed != nil:
		err = w.failed
	case w.upsert != nil:
		err = w.upsert.announce(a, w)
	case w.op == creating:
		err = a.created(db, w.ConnPool)
	case w.moves:
		err = a.moved(w)
	default:
		err = a.changed(w)
	}
	switch {
	case errors.Is(err, errManyRows):
		a.tx.stale(a.model, "rows")
	case err != nil:
		a.tx.stale(a.model, "unknown")
	}
}

// created announces a create that met no rows. They are in memory, unless it
// left fields out or came from maps.
func (a *announcement) created(db *gorm.DB, pool gorm.ConnPool) error {
	var one [1]reflect.Value // most statements write one row
	values, err := createdValues(one[:0], db, a.model)
	if err != nil {
		return err
	}
	if !createdDiffers(db, a.model) {
		for _, value := range values {
			r := newRow(a.ctx, a.model.schema, value)
			a.came(&r)
		}
		return nil
	}
	keyed := make([]row, len(values))
	for i, value := range values {
		keyed[i] = newRow(a.ctx, a.model.schema, value)
	}
	rows, err := selectRows(db, pool, a.model, keyed)
	for i := range rows {
		a.came(&rows[i])
	}
	return err
}

// came announces a created row, unless it was created soft-deleted.
func (a *announcement) came(r *row) {
	if a.model.live(a.ctx, r) {
		a.row(creating, nil, r)
	}
}

func createdValues(values []reflect.Value, db *gorm.DB, m *model) ([]reflect.Value, error) {
	values = elements(values, db.Statement.ReflectValue)
	if len(values) == 0 {
		return mapElements(db.Statement)
	}
	return values, nil
}

// createdDiffers reports whether more of a created row must be known than the
// value in memory tells.
func createdDiffers(db *gorm.DB, m *model) bool {
	stmt := db.Statement
	return m.needsRow(creating) && (m.unwritten || len(stmt.Selects) > 0 || len(stmt.Omits) > 0 ||
		stmt.ReflectValue.Kind() == reflect.Map || isMaps(stmt.Dest) ||
		m.defaults && !engineOf(db).insert)
}

func isMaps(dest any) bool {
	switch dest.(type) {
	case []map[string]any, *[]map[string]any, *map[string]any:
		return true
	}
	return false
}

// changed announces an update or a delete that moves no row.
func (a *announcement) changed(w *write) (err error) {
	rows := w.one[:]
	switch {
	case w.returning:
		rows = w.after
	case w.reads:
		rows = w.before
	default:
		rows[0] = newRow(a.ctx, a.model.schema, w.db.Statement.ReflectValue)
	}
	if w.reads && w.db.RowsAffected > int64(len(rows)) {
		return errors.New("the statement changed rows that were not there before it")
	}
	if w.rereads {
		if rows, err = selectRows(w.db, w.ConnPool, a.model, rows); err != nil {
			return err
		}
	}
	rows = sorted(rows)
	if w.op == updating && w.db.Statement.Unscoped {
		rows = slices.DeleteFunc(rows, func(r row) bool { return !a.model.live(a.ctx, &r) })
	}
	a.tx.expect(len(rows))
	for i := range rows {
		r := &rows[i]
		if w.op == deleting && r.value.IsValid() && !a.wasLive(w, r) {
			continue
		}
		a.row(w.op, w.fields, r)
	}
	return nil
}

// wasLive reports whether the application lost the row by a delete, and shows it
// as it was before.
func (a *announcement) wasLive(w *write, r *row) bool {
	if w.db.Statement.Unscoped {
		return a.model.live(a.ctx, r)
	}
	if w.returning {
		for _, field := range a.model.soft {
			field.ReflectValueOf(a.ctx, r.value).SetZero()
		}
	}
	return true
}

// moved announces an update that may have changed the groups of rows, or whether
// they are there, by comparing before and after.
func (a *announcement) moved(w *write) (err error) {
	after := w.after
	if w.rereads {
		if after, err = selectRows(w.db, w.ConnPool, a.model, w.before); err != nil {
			return err
		}
	}
	before := sorted(w.before)
	for _, r := range sorted(after) {
		var old *row
		for len(before) > 0 && before[0].key.compare(r.key) < 0 {
			a.gone(w, &before[0])
			before = before[1:]
		}
		if len(before) > 0 && before[0].key.compare(r.key) == 0 {
			old, before = &before[0], before[1:]
		}
		if old == nil && !w.setsKey {
			err = errors.New("the statement changed rows that were not there before it")
			continue
		}
		a.pair(w, old, &r)
	}
	for i := range before {
		a.gone(w, &before[i])
	}
	if w.db.RowsAffected > int64(len(w.before)) {
		err = errors.New("the statement changed rows that were not there before it")
	}
	return err
}

// gone announces a row whose key an update has changed. Without that, the
// database has kept the row as it was.
func (a *announcement) gone(w *write, old *row) {
	if w.setsKey {
		a.pair(w, old, nil)
	}
}

// pair announces one row as it was and as it is: in groups where it was and is an
// update, elsewhere that it came or went. Nil is a row that was or is not there.
func (a *announcement) pair(w *write, before, after *row) {
	m := a.model
	was, is := before != nil && m.live(a.ctx, before), after != nil && m.live(a.ctx, after)
	if !w.setsKey && was != is {
		if was {
			a.row(deleting, nil, before)
		} else {
			a.row(creating, nil, after)
		}
		return
	}
	if !m.announces(updating) {
		return
	}
	var old, now []string
	var err error
	key := rowKey{}
	if was {
		key = before.key
		old, err = m.groupsOf(a.ctx, nil, updating, before)
	}
	if is && err == nil {
		key = after.key
		now, err = m.groupsOf(a.ctx, nil, updating, after)
	}
	if err != nil {
		a.plugin.skip(m, key, updating, err)
		return
	}
	for _, group := range old {
		if !slices.Contains(now, group) {
			a.tell(deleting, nil, before, group)
		}
	}
	for _, group := range now {
		switch {
		case !was || !slices.Contains(old, group):
			a.tell(creating, nil, after, group)
		case !w.unchanged:
			a.tell(updating, w.fields, after, group)
		}
	}
}

// row announces one row to all its groups.
func (a *announcement) row(op operation, fields []string, r *row) {
	if !a.model.announces(op) {
		return
	}
	var one [1]string // most rows are in one group
	groups, err := a.model.groupsOf(a.ctx, one[:0], op, r)
	if err != nil {
		a.plugin.skip(a.model, r.key, op, err)
		return
	}
	for _, group := range groups {
		a.tell(op, fields, r, group)
	}
}

// tell builds the change of one row for one group and lets it wait. What cannot
// be announced is logged, counted and left out.
func (a *announcement) tell(op operation, fields []string, r *row, group string) {
	h := held{model: a.model, key: r.key.text, op: op}
	if a.plugin.config.NetEffect {
		h.op, fields = a.tx.net(netKey{a.model, r.key.text, group}, op, fields)
	}
	h.change = wire.Change{Group: group, UpdatedFields: fields}
	if h.op != nothing {
		h.change.Type = writes[h.op]
		err := h.change.Check()
		var object wire.Object
		heard := err == nil && a.heard(group)
		if heard {
			object, err = a.model.object(h.op, fields, r)
		}
		if err != nil {
			a.plugin.skip(a.model, r.key, op, err)
			return
		}
		if heard && h.op == updating && !a.model.sends(object, fields) {
			return
		}
		if h.change.Object = object; !heard {
			h.change.Object = wire.Unrendered{}
		}
	}
	a.tx.hold(h)
}

// heard reports whether anybody listens to the group, or a test does. For nobody
// no object is made.
func (a *announcement) heard(group string) bool {
	return a.plugin.heard(group) || a.plugin.recorded() || a.tx.recorded()
}

// sorted orders rows by their keys, and leaves a row only once.
func sorted(rows []row) []row {
	if len(rows) < 2 {
		return rows
	}
	slices.SortStableFunc(rows, func(a, b row) int { return a.key.compare(b.key) })
	return slices.CompactFunc(rows, func(a, b row) bool { return a.key.json != "" && a.key.text == b.key.text })
}
