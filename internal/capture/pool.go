package capture

import (
	"context"
	"database/sql"

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
	tx, err := t.DB.BeginTx(ctx, opts)
	if err != nil {
		return (*trackedTx)(nil), err // typed, as GORM's Rollback expects
	}
	return &trackedTx{Tx: tx, publisher: t.publisher, ctx: ctx, db: t.DB}, nil
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
	var pool gorm.ConnPool
	var err error
	if beginner, ok := t.ConnPool.(gorm.TxBeginner); ok {
		pool, err = beginner.BeginTx(ctx, opts)
	} else {
		pool, err = t.ConnPool.(gorm.ConnPoolBeginner).BeginTx(ctx, opts)
	}
	if err != nil {
		return (*trackedTx)(nil), err
	}
	tx, ok := pool.(gorm.Tx)
	if !ok {
		return pool, nil // a transaction GORM itself could not prepare on: untracked
	}
	db, _ := t.GetDBConn()
	return &trackedTx{Tx: tx, publisher: t.publisher, ctx: ctx, db: db}, nil
}

// GetDBConn implements gorm.GetDBConnector.
func (t *trackedPool) GetDBConn() (*sql.DB, error) {
	if connector, ok := t.ConnPool.(gorm.GetDBConnector); ok {
		return connector.GetDBConn()
	}
	return nil, gorm.ErrInvalidDB
}
