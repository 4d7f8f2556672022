package capture

import (
	"context"
	"database/sql"
	"sync"

	"gorm.io/gorm"
)

// track returns the stand-in for a connection pool, which begins tracked transactions.
// It returns a pool that begins no transactions as it is, and a transaction too.
func track(pool gorm.ConnPool, p *publisher) gorm.ConnPool {
	switch pool := pool.(type) {
	case *trackedDB, *trackedPool, gorm.TxCommitter:
		return pool
	case *sql.DB:
		return &trackedDB{DB: pool, publisher: p}
	case *gorm.PreparedStmtDB:
		inner := track(pool.ConnPool, p)
		if inner == pool.ConnPool {
			return pool
		}
		return &gorm.PreparedStmtDB{ConnPool: inner, Mux: pool.Mux, Stmts: pool.Stmts}
	case gorm.TxBeginner, gorm.ConnPoolBeginner:
		return &trackedPool{ConnPool: pool, publisher: p}
	}
	return pool
}

// trackedDB stands in for a *sql.DB. It embeds it so that its settings and
// statistics stay within reach.
type trackedDB struct {
	*sql.DB
	publisher *publisher
}

// BeginTx implements gorm.ConnPoolBeginner.
func (t *trackedDB) BeginTx(ctx context.Context, opts *sql.TxOptions) (gorm.ConnPool, error) {
	end := t.publisher.turn(ctx, t.DB)
	tx, err := t.DB.BeginTx(ctx, opts)
	if err != nil {
		end()
		return (*trackedTx)(nil), err // typed, as GORM's Rollback expects
	}
	return newTrackedTx(ctx, tx, t.DB, t.publisher, end), nil
}

// newTrackedTx returns the stand-in for a transaction. It may never be told the end of one
// whose context ends.
func newTrackedTx(ctx context.Context, tx gorm.Tx, db *sql.DB, p *publisher, endTurn func()) *trackedTx {
	t := &trackedTx{Tx: tx, publisher: p, ctx: ctx, db: db, stored: p.storeOf(db), endTurn: endTurn}
	if t.stored != nil {
		once := sync.OnceFunc(endTurn)
		stop := context.AfterFunc(ctx, once)
		t.endTurn = func() { stop(); once() }
	}
	return t
}

// GetDBConn implements gorm.GetDBConnector.
func (t *trackedDB) GetDBConn() (*sql.DB, error) { return t.DB, nil }

// trackedPool stands in for any other pool that begins transactions.
type trackedPool struct {
	gorm.ConnPool
	publisher *publisher
}

// BeginTx implements gorm.ConnPoolBeginner.
func (t *trackedPool) BeginTx(ctx context.Context, opts *sql.TxOptions) (gorm.ConnPool, error) {
	db, _ := t.GetDBConn()
	end := t.publisher.turn(ctx, db)
	var pool gorm.ConnPool
	var err error
	if beginner, ok := t.ConnPool.(gorm.TxBeginner); ok {
		pool, err = beginner.BeginTx(ctx, opts)
	} else {
		pool, err = t.ConnPool.(gorm.ConnPoolBeginner).BeginTx(ctx, opts)
	}
	if err != nil {
		end()
		return (*trackedTx)(nil), err
	}
	tx, ok := pool.(gorm.Tx)
	if !ok {
		end()
		return pool, nil // a transaction GORM itself could not prepare on: untracked
	}
	return newTrackedTx(ctx, tx, db, t.publisher, end), nil
}

// GetDBConn implements gorm.GetDBConnector.
func (t *trackedPool) GetDBConn() (*sql.DB, error) {
	if connector, ok := t.ConnPool.(gorm.GetDBConnector); ok {
		return connector.GetDBConn()
	}
	return nil, gorm.ErrInvalidDB
}

// storeOfPool is storeOf for the connection pool of a handle.
func (p *publisher) storeOfPool(pool gorm.ConnPool) Store {
	if p.stores.Load() == nil {
		return nil
	}
	return p.storeOf(databaseOf(pool))
}

// databaseOf returns the database of a pool or a transaction, nil where it does not tell.
func databaseOf(pool gorm.ConnPool) *sql.DB {
	for {
		switch p := pool.(type) {
		case *sql.DB:
			return p
		case standIn:
			pool = p.behind()
		case *gorm.PreparedStmtTX:
			pool = p.Tx
		case gorm.GetDBConnector:
			db, _ := p.GetDBConn()
			return db
		default:
			return nil
		}
	}
}

// turnOf is turn for a statement. One in a transaction needs no turn of its own.
func (p *publisher) turnOf(stmt *gorm.Statement) (end func()) {
	if p.stores.Load() != nil {
		if tx, err := trackedTxOf(stmt.ConnPool); tx == nil && err == nil {
			return p.turn(stmt.Context, databaseOf(stmt.ConnPool))
		}
	}
	return func() {}
}
