package capture

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"
)

var (
	errNoTable = errors.New("the database does not describe the table")
	errLocks   = errors.New("the program may not lock rows of the table")
	errView    = errors.New("the database does not tell the rows that it writes through a view or a virtual table")
)

// layout is a table as the database has it, which may not be as the model says.
type layout struct {
	columns map[string]*column // by name, folded
	fold    func(string) string
	unique  [][]string // sets of columns that two rows cannot share
	hidden  bool       // it has a unique index that columns alone do not describe
	// relation is "table", "plain view" for one that the database itself writes through, or
	// "view" for any other, also for virtual tables.
	relation string
	locks    bool    // the program may lock its rows
	all      []place // the columns that the model reads
	needed   []place // those of them at which the consumer looks, and those of the key
	keys     []place // those of the primary key
	lists    []columnList
	clock    clock // how it keeps times

	exactKey  bool // a key in memory is spelled as the database spells it
	rereads   bool // it may keep other values than a create has in memory
	rereadKey bool // the same of the key
	err       error
}

// column is a column as the database describes it.
type column struct {
	name      string
	typeName  string
	kind      kind
	precision int    // of a time: digits of the second
	loose     bool   // two spellings of a text may be equal
	fills     string // what an INSERT without it writes: "" for null, "new" or "value"
}

// columnList is the text that names columns to read.
type columnList struct {
	table  string
	extent extent
	text   string
}

// extent says which columns of a row are read.
type extent int

const (
	keyColumns    extent = iota
	neededColumns        // those at which the consumer looks
	allColumns
)

// place is a column that is read, and the field that takes it.
type place struct {
	field  *schema.Field
	column *column
	cast   string // keeps the type of the result where the column gets another one

	fidelity fidelity
}

// layoutOf returns the layout of the statement's table. It asks the database once for
// each table, and again while the table lacks columns that the model writes.
func (t *Table) layoutOf(db *gorm.DB, pool gorm.ConnPool, d dialect) (*layout, error) {
	name := tableName(db.Statement)
	if name == t.schema.Table { // without an allocation
		if l := t.layout.Load(); l != nil {
			return l, nil
		}
	} else if known, ok := t.layouts.Load(name); ok {
		return known.(*layout), nil
	}
	if d.catalog == nil {
		l := assumedLayout(t.schema)
		t.keep(name, l)
		return l, nil
	}
	if name == "" {
		return nil, errNoTable
	}
	if err := becomeWriter(db.Statement, pool, d); d.endsTransaction(err) {
		return nil, endedError{err}
	} // the statement meets any other failure itself
	l, err := askFor(db, pool, d, name)
	if err != nil {
		return nil, fmt.Errorf("read what columns the table has: %w", err)
	}
	complete := l.fit(t, d)
	if l.keepLists(db.Statement); complete {
		t.keep(name, l)
	}
	return l, nil
}

// askFor asks the database for a layout. A failure that has ended a transaction is an
// endedError.
func askFor(db *gorm.DB, pool gorm.ConnPool, d dialect, table string) (*layout, error) {
	g := newGuard(unprepared(pool), d)
	l, err := d.catalog.read(db, &g, table)
	ended := g.end(db.Statement.Context, err)
	if tx, _ := trackedTxOf(pool); tx != nil && ended != nil {
		return nil, endedError{ended}
	}
	return l, err
}

// layoutForCreate returns the layout that a create needs, nil if it needs none. A view of
// SQLite does not even tell that it has written.
func (t *Table) layoutForCreate(db *gorm.DB) (*layout, error) {
	wants, d := t.interest.Wants(db.Statement.Context, Create), dialectOf(db)
	needed := wants == Columns || wants == Keys && !t.numberKey
	if !needed && (wants < Keys || !d.writer) {
		return nil, nil
	}
	l, err := t.layoutOf(db, db.Statement.ConnPool, d)
	if err == nil {
		err = l.fault()
	}
	if !needed {
		l = nil
	}
	return l, err
}

// fault returns why the rows of the table cannot be known, nil if they can.
func (l *layout) fault() error {
	if l.relation == "view" {
		return errView
	}
	return l.err
}

// assumedLayout is the layout that the model says the table has, on a database that the
// plugin cannot ask.
func assumedLayout(s *schema.Schema) *layout {
	l := &layout{relation: "table"}
	for _, field := range s.Fields {
		if field.Readable && field.DBName != "" && s.FieldsByDBName[field.DBName] == field {
			l.all = append(l.all, place{field: field, column: &column{name: field.DBName}})
		}
	}
	l.needed = l.all
	return l
}

// forget makes the next statement read the layout again.
func (t *Table) forget(stmt *gorm.Statement) { t.keep(tableName(stmt), nil) }

func (t *Table) keep(name string, l *layout) {
	switch {
	case name == t.schema.Table:
		t.layout.Store(l)
	case l == nil:
		t.layouts.Delete(name)
	default:
		t.layouts.Store(name, l)
	}
}

// tableName returns the table's own name where the statement calls it otherwise, "" if
// it is not known.
func tableName(stmt *gorm.Statement) string {
	if stmt.TableExpr == nil {
		return stmt.Table
	}
	if len(stmt.TableExpr.Vars) > 0 {
		return ""
	}
	text, quoted := strings.TrimSpace(stmt.TableExpr.SQL), false
	if only := "ONLY "; len(text) > len(only) && strings.EqualFold(text[:len(only)], only) { // of PostgreSQL: without the tables that inherit it
		text = strings.TrimSpace(text[len(only):])
	}
	end := strings.IndexFunc(text, func(r rune) bool {
		if r == '"' || r == '`' {
			quoted = !quoted
		}
		return unicode.IsSpace(r) && !quoted
	})
	if end >= 0 {
		text = text[:end]
	}
	return strings.NewReplacer(`"`, "", "`", "").Replace(text)
}

// fit finds the columns that the model reads, by the rules by which GORM finds fields.
// It reports whether the table has all columns that the model writes.
func (l *layout) fit(t *Table, d dialect) (complete bool) {
	s := t.schema
	found := map[*schema.Field]*column{}
	for _, c := range l.columns {
		if field := s.LookUpField(c.name); field != nil {
			found[field] = c
		}
	}
	complete = true
	for _, field := range s.Fields {
		if field.DBName == "" || s.FieldsByDBName[field.DBName] != field {
			continue
		}
		c := l.columns[l.fold(field.DBName)]
		if c == nil {
			c = found[field]
		}
		complete = complete && (c != nil || !field.Creatable && !field.Updatable)
		if c == nil && field.Readable && slices.Contains(t.interest.Reads(), field.DBName) {
			l.err = fmt.Errorf("the table has no column %s, or the program may not read it", field.DBName)
		}
		if c != nil && field.Readable {
			p := place{field: field, column: c, cast: d.cast(field, c)}
			p.fidelity = p.findFidelity()
			if l.all = append(l.all, p); t.needs(field) {
				l.needed, l.rereads = append(l.needed, p), l.rereads || p.fidelity == lost
			}
		}
	}
	l.exactKey = true
	for _, field := range s.PrimaryFields {
		i := slices.IndexFunc(l.needed, func(p place) bool { return p.field == field })
		if i < 0 {
			l.err = fmt.Errorf("the table has no column %s, which is of the key", field.DBName)
			continue
		}
		l.keys = append(l.keys, l.needed[i])
		l.exactKey = l.exactKey && l.needed[i].isExactKey()
		l.rereadKey = l.rereadKey || l.needed[i].fidelity == lost
	}
	return complete
}

// places returns the columns to read.
func (l *layout) places(e extent) []place {
	switch {
	case e == allColumns:
		return l.all
	case e == neededColumns || len(l.keys) == 0:
		return l.needed
	}
	return l.keys
}

// list returns the columns to read, of the table by its name in the statement.
func (l *layout) list(stmt *gorm.Statement, table string, e extent) string {
	for i := range l.lists {
		if known := &l.lists[i]; known.table == table && known.extent == e {
			return known.text
		}
	}
	return l.write(stmt, table, e)
}

// keepLists writes the lists that most statements need.
func (l *layout) keepLists(stmt *gorm.Statement) {
	for _, table := range []string{"", stmt.Table} {
		for _, e := range []extent{keyColumns, neededColumns, allColumns} {
			l.lists = append(l.lists, columnList{table, e, l.write(stmt, table, e)})
		}
	}
}

func (l *layout) write(stmt *gorm.Statement, table string, e extent) string {
	var text strings.Builder
	for i, p := range l.places(e) {
		if i > 0 {
			text.WriteByte(',')
		}
		if table != "" {
			stmt.QuoteTo(&text, clause.Table{Name: table})
			text.WriteByte('.')
		}
		stmt.QuoteTo(&text, clause.Column{Name: p.column.name})
		text.WriteString(p.cast)
	}
	return text.String()
}

// column returns the column with the name, nil if there is none.
func (l *layout) column(name string) *column { return l.columns[l.fold(name)] }

// clock is how a database and its driver keep times.
type clock struct {
	instant *time.Location // in which times are read; nil: as they were written
	wall    *time.Location // the same of times without a zone
	coarse  time.Duration  // the finest that the driver sends
	rounds  bool           // it rounds what is finer than a column; else it cuts it off
}

// keep returns the time as a read gives it.
func (c clock) keep(t time.Time, k kind, precision int) time.Time {
	t = t.Round(0) // without the monotonic clock
	if c.instant == nil {
		return t
	}
	if k == wallTime {
		t = time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), c.wall)
	}
	t = t.Truncate(max(c.coarse, 1))
	unit := time.Second
	for range precision {
		unit /= 10
	}
	if c.rounds {
		t = t.Round(unit)
	} else {
		t = t.Truncate(unit)
	}
	if k == wallTime {
		return t
	}
	return t.In(c.instant)
}

// stored sets kept to a created row as a read would give it: nothing but the columns that
// the consumer looks at, and times as the column keeps them.
func (l *layout) stored(ctx context.Context, row, kept reflect.Value) error {
	for i := range l.needed {
		if err := l.keep(ctx, &l.needed[i], row, kept); err != nil {
			return err
		}
	}
	return nil
}

// keep copies one column. What a read would give otherwise gets memory of its own: a pointer
// in the row is one to the program's memory, and kept may be the row.
func (l *layout) keep(ctx context.Context, p *place, row, kept reflect.Value) error {
	switch p.fidelity {
	case timed:
		if l.keepTime(p, row, kept) {
			return nil
		}
		value, isZero := p.field.ValueOf(ctx, row)
		if t, ok := timeOf(value); ok && !isZero {
			p.field.ReflectValueOf(ctx, kept).SetZero()
			return p.field.Set(ctx, kept, l.clock.keep(t, p.column.kind, p.column.precision))
		}
	case scanned:
		if value, _ := p.field.ValueOf(ctx, row); value != nil {
			return rescan(ctx, p.field, value, kept)
		}
	}
	for _, index := range p.field.StructField.Index {
		if index < 0 { // behind an embedded pointer, which may be nil
			value, isZero := p.field.ValueOf(ctx, row)
			if isZero {
				return nil
			}
			return p.field.Set(ctx, kept, value)
		}
	}
	kept.FieldByIndex(p.field.StructField.Index).Set(row.FieldByIndex(p.field.StructField.Index))
	return nil
}
