package rohrpost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/rohrpost/rohrpost/internal/panics"
	"github.com/rohrpost/rohrpost/internal/wire"
	"gorm.io/gorm"
	"gorm.io/gorm/schema"
)

// pluginName is the name under which GORM knows the plugin.
const pluginName = "rohrpost"

// PluginConfig holds the settings of Plugin; the zero value is ready to use.
type PluginConfig struct {
	// Logger is told of every change that could not be announced, with model
	// and primary key. Defaults to the hub's logger.
	Logger *slog.Logger

	// JSONNames gives updated fields the names that they have in the JSON of the
	// model's struct, in messages and for PushNotificationData; fields that are
	// not in it are left out. Defaults to the names of the columns.
	JSONNames bool

	// NetEffect tells of each row what a transaction has come to, instead of each
	// step: create and update are one create with the final data, two updates are
	// one with the fields of both, update and delete are one delete, delete and
	// create an update, create and delete nothing. The order is that of the first
	// steps. Defaults to false.
	NetEffect bool
}

// Plugin returns the GORM plugin that publishes the committed changes of marked
// models to hub:
//
//	err := db.Use(rohrpost.Plugin(hub))
//
// It starts nothing, and one plugin may serve several database handles. Use it
// before the handle is shared: sessions that were made earlier keep the
// untracked connection. A failure of the plugin, of a model's methods or of the
// hub never reaches the caller's write; it is logged and counted in the hub's
// Stats.
func Plugin(hub *Hub, config ...PluginConfig) gorm.Plugin {
	p := &plugin{}
	for _, c := range config {
		p.config, p.log = c, c.Logger
	}
	if hub != nil {
		p.publish, p.heard, p.counters = hub.publishCaptured, hub.hasMembersOrHistory, &hub.counters
		if p.log == nil {
			p.log = hub.log
		}
	}
	return p
}

type plugin struct {
	publish  func(changes []wire.Change) error // the only way to the socket half
	heard    func(group string) bool           // reports whether anybody listens
	counters *counters
	log      *slog.Logger
	config   PluginConfig

	models sync.Map // *schema.Schema -> *model, nil for an unmarked type
	warned sync.Map // what was logged once -> struct{}

	recordings sync.Map // *recording -> struct{}
}

// Name implements gorm.Plugin.
func (p *plugin) Name() string { return pluginName }

// Initialize implements gorm.Plugin. It may run several times: a resolver of
// several databases repeats it for each of its sources.
func (p *plugin) Initialize(db *gorm.DB) error {
	if p.publish == nil {
		return errors.New("rohrpost: the plugin needs a hub")
	}
	p.trackPool(db)
	create, update, remove := db.Callback().Create(), db.Callback().Update(), db.Callback().Delete()
	steps := []struct {
		name     string
		register func(string, func(*gorm.DB)) error
		callback func(*gorm.DB)
	}{
		{"before_create", create.Before("gorm:create").Register, p.before(creating)},
		{"after_create", create.Before("gorm:save_after_associations").Register, p.after(creating)},
		{"before_update", update.Before("gorm:update").Register, p.before(updating)},
		{"after_update", update.Before("gorm:save_after_associations").Register, p.after(updating)},
		{"before_delete", remove.Before("gorm:delete").Register, p.before(deleting)},
		{"after_delete", remove.Before("gorm:after_delete").Register, p.after(deleting)},
		{"savepoint", db.Callback().Raw().After("gorm:raw").Register, savepoint},
	}
	// Without default transactions GORM drops its begin callback, a position
	// before it would mean the end, and there is nothing to track there.
	if create.Get("gorm:begin_transaction") != nil {
		for _, processor := range []func(string, func(*gorm.DB)) error{
			create.Before("gorm:begin_transaction").Register,
			update.Before("gorm:begin_transaction").Register,
			remove.Before("gorm:begin_transaction").Register,
		} {
			if err := processor("rohrpost:track", p.trackStatement); err != nil {
				return fmt.Errorf("rohrpost: register the callback track: %w", err)
			}
		}
	}
	for _, step := range steps {
		if err := step.register("rohrpost:"+step.name, step.callback); err != nil {
			return fmt.Errorf("rohrpost: register the callback %s: %w", step.name, err)
		}
	}
	return p.trackResolver(db)
}

// trackPool puts the stand-in under the handle and every session made from it.
// A store of prepared statements has to stay outermost: GORM looks for it.
func (p *plugin) trackPool(db *gorm.DB) {
	if prepared, ok := db.ConnPool.(*gorm.PreparedStmtDB); ok {
		prepared.ConnPool = p.track(prepared.ConnPool)
	} else {
		db.ConnPool = p.track(db.ConnPool)
	}
	db.Statement.ConnPool = db.ConnPool
}

// trackStatement catches pools that came to the statement from elsewhere: of a
// resolver that was used before the plugin, of db.Connection, of a session made
// before Use.
func (p *plugin) trackStatement(db *gorm.DB) {
	db.Statement.ConnPool = p.track(db.Statement.ConnPool)
}

// trackResolver makes Clauses(dbresolver.Write).Begin() visible: the resolver
// calls its query callback to choose the pool that Begin then uses.
func (p *plugin) trackResolver(db *gorm.DB) error {
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

// before returns the callback that runs just before GORM writes: where the rows
// or fields cannot be known otherwise, it puts a stand-in under the statement.
func (p *plugin) before(op operation) func(*gorm.DB) {
	return func(db *gorm.DB) {
		m := p.modelOf(db)
		if m == nil || db.Error != nil || db.DryRun || m.isSilent(db.Statement.Context) {
			return
		}
		tx, err := transactionOf(db.Statement.ConnPool)
		if err != nil || tx != nil && tx.isFlooded() {
			return // no row of it will be told
		}
		if w := p.newWrite(db, m, op); w != nil {
			db.Statement.ConnPool = w
		}
	}
}

// after returns the callback that runs just after GORM wrote, still inside the
// transaction: it takes the stand-in away and announces the rows.
func (p *plugin) after(op operation) func(*gorm.DB) {
	return func(db *gorm.DB) {
		m := p.modelOf(db)
		if m == nil {
			return
		}
		w, _ := db.Statement.ConnPool.(*write)
		if w != nil {
			db.Statement.ConnPool = w.outer
		}
		wrote := db.Error == nil && db.RowsAffected != 0 && !db.DryRun && !m.isSilent(db.Statement.Context)
		if wrote && (w != nil || p.hears(db, m, op)) {
			if err := p.announce(db, w, m); err != nil {
				p.skip(m, rowKey{}, op, err)
			}
		}
		if w != nil {
			p.finish(db, w)
		}
	}
}

// hears reports whether a statement that needed no stand-in is announced: a
// create that is in memory, and any in a transaction that tells no rows.
func (p *plugin) hears(db *gorm.DB, m *model, op operation) bool {
	if op == creating {
		return m.announces(creating)
	}
	tx, err := transactionOf(db.Statement.ConnPool)
	return m.announces(op) && (err != nil || tx != nil && tx.isFlooded())
}

// finish ends the transaction that the stand-in may have begun.
func (p *plugin) finish(db *gorm.DB, w *write) {
	if db.Error != nil {
		w.rollback()
	} else if err := w.commit(); err != nil {
		_ = db.AddError(err)
	}
}

// modelOf returns what is known of the statement's model, nil where it is not
// marked.
func (p *plugin) modelOf(db *gorm.DB) *model {
	s := db.Statement.Schema
	if s == nil {
		return nil
	}
	if known, ok := p.models.Load(s); ok {
		return known.(*model)
	}
	return p.learn(s)
}

func (p *plugin) learn(s *schema.Schema) *model {
	m, err := newModel(s, p.config)
	known, loaded := p.models.LoadOrStore(s, m)
	if err != nil && !loaded {
		p.log.Error("rohrpost: the model is not announced", "model", s.Name, "error", err)
	}
	return known.(*model)
}

// release publishes what waited for a commit, in order. A panic of the hub or
// of a function stays here.
func (p *plugin) release(ctx context.Context, waiting []held) {
	waiting = p.outcome(waiting)
	for len(waiting) > 0 {
		if waiting[0].run != nil {
			p.run(waiting[0].run)
			waiting = waiting[1:]
			continue
		}
		end := slices.IndexFunc(waiting, func(h held) bool { return h.run != nil })
		if end < 0 {
			end = len(waiting)
		}
		p.publishAll(ctx, waiting[:end])
		waiting = waiting[end:]
	}
}

// outcome is what waited, within its bounds. It may use the same memory.
func (p *plugin) outcome(waiting []held) []held {
	if p.config.NetEffect {
		waiting = netEffect(waiting)
	}
	return bounded(waiting)
}

func (p *plugin) publishAll(ctx context.Context, waiting []held) {
	err := p.tryPublish(ctx, changesIn(waiting))
	if err != nil {
		p.counters.skipped.Add(uint64(len(waiting)))
		p.log.Error("rohrpost: changes were not published",
			"model", waiting[0].modelName(), "key", waiting[0].key, "changes", len(waiting), "error", err)
	}
}

func (p *plugin) tryPublish(ctx context.Context, changes []wire.Change) (err error) {
	defer panics.Recover(&err)
	if ctx.Done() != nil {
		ctx = context.WithoutCancel(ctx) // the change has happened
	}
	p.show(ctx, changes)
	return p.publish(changes)
}

func (p *plugin) run(fn func()) {
	if err := panics.Guard(func() error { fn(); return nil }); err != nil {
		p.log.Error("rohrpost: a function after commit failed", "error", err)
	}
}

// skip logs and counts a change that cannot be announced.
func (p *plugin) skip(m *model, key rowKey, op operation, err error) {
	p.counters.skipped.Add(1)
	p.log.Error("rohrpost: a change was not announced",
		"model", m.name, "key", key.text, "type", writes[op], "error", err)
}

// untracked counts a statement in a transaction that the plugin cannot see; a
// log line for each would flood.
func (p *plugin) untracked(m *model) {
	p.counters.untracked.Add(1)
	if _, known := p.warned.LoadOrStore(ErrUntracked, struct{}{}); !known {
		p.log.Warn("rohrpost: changes are not announced", "model", m.name, "error", ErrUntracked)
	}
}
