package capture

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"

	"gorm.io/gorm"
)

// Name is the name under which GORM knows the plugin.
const Name = "rohrpost"

// Plugin is the GORM plugin that hands the rows that statements write to a consumer.
type Plugin struct {
	publisher
	log        *slog.Logger
	models     []any
	tables     sync.Map  // *schema.Schema -> *Table, nil for a table of no interest
	statements sync.Pool // of *Statement: one that a consumer gets is on the heap
}

// New returns a plugin that serves one consumer. Use checks the models.
func New(consumer Consumer, log *slog.Logger, models ...any) *Plugin {
	return &Plugin{publisher: publisher{consumer: consumer}, log: log, models: models, statements: sync.Pool{New: func() any { return new(Statement) }}}
}

// PluginOf returns the plugin that the handle uses, nil if it uses none.
func PluginOf(db *gorm.DB) *Plugin {
	p, _ := db.Plugins[Name].(*Plugin)
	return p
}

// Consumer returns the consumer that the plugin serves.
func (p *Plugin) Consumer() Consumer { return p.consumer }

// Name implements gorm.Plugin.
func (p *Plugin) Name() string { return Name }

// Transaction returns the consumer's part of the transaction of a handle, nil outside a
// transaction. The error is ErrUntracked.
func (p *Plugin) Transaction(db *gorm.DB) (Transaction, error) {
	tx, err := trackedTxOf(db.Statement.ConnPool)
	if tx == nil || err != nil {
		return nil, err
	}
	return tx.transaction(), nil
}

// InTransaction calls f with the consumer's part of the transaction of a handle. Outside
// a transaction, and after one that has committed, f gets one that commits when it returns.
// writes means that f adds changes of rows that the plugin does not know. f must not call
// the user's code. The error is ErrUntracked, sql.ErrTxDone after a rollback, or that of the
// Store.
func (p *Plugin) InTransaction(db *gorm.DB, writes bool, f func(Transaction)) error {
	tx, err := trackedTxOf(db.Statement.ConnPool)
	if err != nil {
		return err
	}
	var rows []rowID
	if writes {
		rows = []rowID{{}}
	}
	if tx != nil {
		if added, err := tx.add(rows, f); added || err != nil {
			return err
		}
	}
	s := p.storeOfPool(db.Statement.ConnPool)
	kept := p.consumer.Begin(db.Statement.Context, s)
	f(kept)
	if err := p.storeAlone(db.Statement.Context, s, kept); err != nil {
		p.end(kept, nil, RolledBack)
		return err
	}
	p.publish(kept, rows)
	return nil
}

// Initialize implements gorm.Plugin. It may run several times: a resolver of several
// databases repeats it for each of its sources, and gorm.Open for a plugin that its
// configuration has and that something has used meanwhile.
func (p *Plugin) Initialize(db *gorm.DB) error {
	if p.consumer == nil {
		return errors.New("rohrpost: the plugin needs a hub")
	}
	var problems []error
	for _, model := range p.models {
		_, err := p.CheckModel(db, model)
		problems = append(problems, err)
	}
	if err := errors.Join(problems...); err != nil {
		return err
	}
	p.trackPool(db)
	if err := p.register(db); err != nil {
		return err
	}
	return p.trackResolver(db)
}

// register puts the callbacks around those of GORM, once.
func (p *Plugin) register(db *gorm.DB) error {
	if db.Callback().Raw().Get("rohrpost:after_raw") != nil {
		return nil
	}
	create, update, remove := db.Callback().Create(), db.Callback().Update(), db.Callback().Delete()
	steps := []struct {
		name     string
		register func(string, func(*gorm.DB)) error
		callback func(*gorm.DB)
	}{
		{"source_of_query", db.Callback().Query().Before("gorm:query").Register, chooseSource(db.Callback().Query())},
		{"source_of_row", db.Callback().Row().Before("gorm:row").Register, chooseSource(db.Callback().Row())},
		{"after_raw", db.Callback().Raw().After("gorm:raw").Register, p.afterRaw},
		{"after_row", db.Callback().Row().After("gorm:row").Register, afterText},
		{"after_query", db.Callback().Query().After("gorm:query").Register, afterText},
	}
	// Without default transactions GORM drops its begin callback, a position
	// before it would mean the end, and there is nothing to track there.
	if create.Get("gorm:begin_transaction") != nil {
		for _, register := range []func(string, func(*gorm.DB)) error{
			create.Before("gorm:begin_transaction").Register,
			update.Before("gorm:begin_transaction").Register,
			remove.Before("gorm:begin_transaction").Register,
		} {
			if err := register("rohrpost:track", p.trackStatement); err != nil {
				return fmt.Errorf("rohrpost: register the callback track: %w", err)
			}
		}
	}
	if err := p.standInForWrites(db); err != nil {
		return err
	}
	for _, step := range steps {
		if err := step.register("rohrpost:"+step.name, step.callback); err != nil {
			return fmt.Errorf("rohrpost: register the callback %s: %w", step.name, err)
		}
	}
	return nil
}

// standInForWrites puts the plugin around GORM's own writes. A callback before them would
// not do: those of others may run in between, and write too.
func (p *Plugin) standInForWrites(db *gorm.DB) error {
	callbacks := db.Callback()
	for _, step := range []struct {
		name    string
		op      Operation
		write   func(*gorm.DB)
		replace func(string, func(*gorm.DB)) error
	}{
		{"gorm:create", Create, callbacks.Create().Get("gorm:create"), callbacks.Create().Replace},
		{"gorm:update", Update, callbacks.Update().Get("gorm:update"), callbacks.Update().Replace},
		{"gorm:delete", Delete, callbacks.Delete().Get("gorm:delete"), callbacks.Delete().Replace},
	} {
		if step.write == nil {
			return fmt.Errorf("rohrpost: GORM has no callback %s", step.name)
		}
		if err := step.replace(step.name, p.around(step.op, step.write)); err != nil {
			return fmt.Errorf("rohrpost: replace the callback %s: %w", step.name, err)
		}
	}
	return p.takeTurnsForRaw(db)
}

// takeTurnsForRaw takes the program's turn for raw SQL that has no transaction. The pool
// would not see each text under prepared statements.
func (p *Plugin) takeTurnsForRaw(db *gorm.DB) error {
	const name = "gorm:raw"
	raw := db.Callback().Raw().Get(name)
	if raw == nil {
		return fmt.Errorf("rohrpost: GORM has no callback %s", name)
	}
	err := db.Callback().Raw().Replace(name, func(db *gorm.DB) {
		defer p.turnOf(db.Statement)()
		raw(db)
	})
	if err != nil {
		return fmt.Errorf("rohrpost: replace the callback %s: %w", name, err)
	}
	return nil
}

// trackPool puts the stand-in under the handle and every session made from it.
// A store of prepared statements has to stay outermost: GORM looks for it.
func (p *Plugin) trackPool(db *gorm.DB) {
	if prepared, ok := db.ConnPool.(*gorm.PreparedStmtDB); ok {
		prepared.ConnPool = track(prepared.ConnPool, &p.publisher)
	} else {
		db.ConnPool = track(db.ConnPool, &p.publisher)
	}
	db.Statement.ConnPool = db.ConnPool
}

// trackStatement catches pools that came to the statement from elsewhere: of a
// resolver that was used before the plugin, of db.Connection, of a session made
// before Use.
func (p *Plugin) trackStatement(db *gorm.DB) {
	db.Statement.ConnPool = track(db.Statement.ConnPool, &p.publisher)
}

// trackResolver makes Clauses(dbresolver.Write).Begin() visible: the resolver
// calls its query callback to choose the pool that Begin then uses.
func (p *Plugin) trackResolver(db *gorm.DB) error {
	const name = "gorm:db_resolver"
	resolve := db.Callback().Query().Get(name)
	if resolve == nil {
		return nil
	}
	// A plain Replace would lose the callback's place at the front.
	err := db.Callback().Query().Before("*").Replace(name, func(db *gorm.DB) {
		resolve(db)
		p.trackStatement(db)
	})
	if err != nil {
		return fmt.Errorf("rohrpost: replace the callback %s: %w", name, err)
	}
	return nil
}

// tableOf returns the table of a model, nil where the consumer has no interest.
func (p *Plugin) tableOf(db *gorm.DB) *Table {
	s := db.Statement.Schema
	if known, ok := p.tables.Load(s); ok {
		return known.(*Table)
	}
	t := NewTable(db, s)
	interest, err := p.consumer.Interest(t)
	switch {
	case err != nil:
		t.failure = ModelError{err}
	case interest == nil:
		t = nil
	default:
		t.interest = interest
	}
	known, loaded := p.tables.LoadOrStore(s, t)
	if err != nil && !loaded {
		p.log.Error("rohrpost: the model is not announced", "model", s.Name, "error", err)
	}
	return known.(*Table)
}

// afterRaw is the callback behind raw SQL. A statement that defines tables makes the
// plugin ask again what tables there are.
func (p *Plugin) afterRaw(db *gorm.DB) {
	afterText(db)
	if !definesTables(db.Statement.SQL.String()) {
		return
	}
	p.tables.Range(func(_, known any) bool {
		if t := known.(*Table); t != nil {
			t.layout.Store(nil)
			t.layouts.Clear()
		}
		return true
	})
}

// SetStore makes the consumer store what transactions on the database of the handle write
// from now on. It returns false if the database has a Store already.
func (p *Plugin) SetStore(db *gorm.DB, s Store) bool {
	pool, _ := db.DB() // nil where the connection does not tell
	for {
		known := p.stores.Load()
		all := stores{}
		if known != nil {
			maps.Copy(all, *known)
		}
		if all[pool] != nil {
			return false
		}
		all[pool] = s
		if p.stores.CompareAndSwap(known, &all) {
			return true
		}
	}
}
