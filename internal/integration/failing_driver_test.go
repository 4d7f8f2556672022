package integration

import (
	"context"
	"database/sql/driver"
	"errors"
	"sync"
)

// failingConnector opens connections of a driver whose statements can be made to fail.
type failingConnector struct {
	driver.Connector
	faults *faults
}

// Connect implements driver.Connector.
func (c *failingConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &failingConn{fullConn: conn.(fullConn), faults: c.faults}, nil
}

// Driver implements driver.Connector.
func (c *failingConnector) Driver() driver.Driver {
	return failingDriver{c.Connector.Driver(), c.faults}
}

type failingDriver struct {
	driver.Driver
	faults *faults
}

// faults decides which statement fails.
type faults struct {
	mu    sync.Mutex
	known map[string]bool // the statements that the program makes itself; nil: it is being learnt
	texts []string        // those that it has made

	begins bool // BEGIN is one of ours
	next   int  // how many statements of ours come before the one that fails
	fault  *fault
	fired  string // the statement that has failed
	cancel func() // ends the context of the program
}

// fault is one class of failure.
type fault struct {
	name   string
	spoils string // a statement that does to the transaction what the failure does; "": none does
	err    error
	loses  bool // the connection
	cancel bool // the context
	garble bool // the rows come, but cannot be read
}

// hit returns the fault of a statement, nil for none.
func (f *faults) hit(query string) *fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.texts = append(f.texts, query)
	if f.fault == nil || f.fired != "" || f.isProgram(query) {
		return nil
	}
	if f.next--; f.next >= 0 {
		return nil
	}
	f.fired = query
	return f.fault
}

// isProgram reports whether a statement is one of the program, with RETURNING or without.
func (f *faults) isProgram(query string) bool {
	if query == "BEGIN" {
		return !f.begins
	}
	for text := range f.known {
		if len(query) >= len(text) && query[:len(text)] == text {
			return true
		}
	}
	return false
}

// fullConn is a connection as the three drivers have it.
type fullConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
}

type failingConn struct {
	fullConn
	faults *faults
	lost   bool
}

// CheckNamedValue implements driver.NamedValueChecker.
func (c *failingConn) CheckNamedValue(value *driver.NamedValue) error {
	if checker, ok := c.fullConn.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(value)
	}
	return driver.ErrSkip
}

// ResetSession implements driver.SessionResetter.
func (c *failingConn) ResetSession(ctx context.Context) error {
	if resetter, ok := c.fullConn.(driver.SessionResetter); ok && !c.lost {
		return resetter.ResetSession(ctx)
	}
	return nil
}

// IsValid implements driver.Validator.
func (c *failingConn) IsValid() bool { return !c.lost }

// fail does to the connection what a fault does.
func (c *failingConn) fail(query string) (*fault, error) {
	if c.lost {
		return nil, driver.ErrBadConn
	}
	f := c.faults.hit(query)
	if f == nil || f.garble {
		return f, nil
	}
	if f.loses {
		c.lost = true
		_ = c.Close()
	}
	if f.cancel {
		c.faults.cancel()
	}
	if f.spoils != "" {
		_, _ = c.fullConn.ExecContext(context.Background(), f.spoils, nil)
	}
	return f, f.err
}

// BeginTx implements driver.ConnBeginTx.
func (c *failingConn) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	if _, err := c.fail("BEGIN"); err != nil {
		return nil, err
	}
	tx, err := c.fullConn.BeginTx(ctx, options)
	return failingTx{tx, c}, err
}

// ExecContext implements driver.ExecerContext.
func (c *failingConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if _, err := c.fail(query); err != nil {
		return nil, err
	}
	return c.fullConn.ExecContext(ctx, query, args)
}

// QueryContext implements driver.QueryerContext.
func (c *failingConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	f, err := c.fail(query)
	if err != nil {
		return nil, err
	}
	rows, err := c.fullConn.QueryContext(ctx, query, args)
	return garbled(rows, f), err
}

// PrepareContext implements driver.ConnPrepareContext.
func (c *failingConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if c.lost {
		return nil, driver.ErrBadConn
	}
	stmt, err := c.fullConn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	return &failingStmt{stmt.(fullStmt), c, query}, nil
}

type failingTx struct {
	driver.Tx
	conn *failingConn
}

// Commit implements driver.Tx.
func (tx failingTx) Commit() error {
	if tx.conn.lost {
		return driver.ErrBadConn
	}
	return tx.Tx.Commit()
}

// Rollback implements driver.Tx.
func (tx failingTx) Rollback() error {
	if tx.conn.lost {
		return driver.ErrBadConn
	}
	return tx.Tx.Rollback()
}

type fullStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

type failingStmt struct {
	fullStmt
	conn  *failingConn
	query string
}

// ExecContext implements driver.StmtExecContext.
func (s *failingStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	if _, err := s.conn.fail(s.query); err != nil {
		return nil, err
	}
	return s.fullStmt.ExecContext(ctx, args)
}

// CheckNamedValue implements driver.NamedValueChecker.
func (s *failingStmt) CheckNamedValue(value *driver.NamedValue) error {
	if checker, ok := s.fullStmt.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(value)
	}
	return driver.ErrSkip
}

// QueryContext implements driver.StmtQueryContext.
func (s *failingStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	f, err := s.conn.fail(s.query)
	if err != nil {
		return nil, err
	}
	rows, err := s.fullStmt.QueryContext(ctx, args)
	return garbled(rows, f), err
}

// garbled spoils the values of rows where the fault says so.
func garbled(rows driver.Rows, f *fault) driver.Rows {
	if rows == nil || f == nil || !f.garble {
		return rows
	}
	return &garbledRows{rows}
}

type garbledRows struct{ driver.Rows }

// Next implements driver.Rows.
func (r *garbledRows) Next(values []driver.Value) error {
	err := r.Rows.Next(values)
	for i := range values {
		values[i] = "not readable"
	}
	return err
}

var errLost = errors.New("the connection is lost")
