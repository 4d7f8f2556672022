package capture

import (
	"context"
	"database/sql"
	"slices"
	"strings"
)

// definesTables reports whether a statement defines tables.
func definesTables(query string) bool {
	verb, _, _ := strings.Cut(strings.TrimLeft(query, " \t\r\n("), " ")
	switch len(verb) {
	case len("DROP"):
		return strings.EqualFold(verb, "DROP")
	case len("ALTER"):
		return strings.EqualFold(verb, "ALTER")
	case len("CREATE"):
		return strings.EqualFold(verb, "CREATE") || strings.EqualFold(verb, "RENAME")
	}
	return false
}

// execWithout runs a statement again that the database refused with RETURNING, because
// the table has changed since its layout was read: without RETURNING, if the refusal
// has not broken a transaction.
func (w *statementConn) execWithout(ctx context.Context, query string, args []any, refusal error) (sql.Result, error) {
	if !isChangedTable(refusal) {
		return nil, refusal
	}
	w.table.forget(w.db.Statement)
	if tx, err := trackedTxOf(w.ConnPool); w.dialect.keyLocks && w.implicit == nil && (tx != nil || err != nil) {
		return nil, refusal
	}
	w.plan.returning, w.failure = false, refusal
	if err := w.beginAgain(ctx); err != nil {
		return nil, err
	}
	return w.ConnPool.ExecContext(ctx, query, args...)
}

// isChangedTable reports whether an error means that a table has other columns than it
// had when the program asked for them.
func isChangedTable(err error) bool {
	if err == nil {
		return false
	}
	if code := sqlState(err); code != "" {
		// an unknown column, a result of another type, and a cast that fails
		return slices.Contains([]string{"42703", "0A000", "42846", "22P02", "22003"}, code)
	}
	text := err.Error()
	return strings.Contains(text, "no such column") || strings.Contains(text, "Unknown column")
}
