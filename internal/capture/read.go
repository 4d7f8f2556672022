package capture

import (
	"context"
	"slices"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

const keyedRows = 1000 // in one SELECT by keys: databases limit the parameters

// selectFrom begins a SELECT on the table of a statement; it runs no callbacks.
func selectFrom(db *gorm.DB, t *Table, l *layout, e extent) *gorm.Statement {
	q := db.Session(&gorm.Session{NewDB: true}).Unscoped().Statement
	q.Schema, q.Table, q.TableExpr = t.schema, db.Statement.Table, db.Statement.TableExpr
	q.AddClause(clause.Select{Columns: []clause.Column{{Name: l.list(q, q.Table, e), Raw: true}}})
	q.AddClause(clause.From{})
	return q
}

// selectRows reads the rows with the keys of the given ones. It returns those that it
// finds in the order of the keys, and behind them those whose keys the database spells
// otherwise. The error says that some could not be read.
func selectRows(db *gorm.DB, pool gorm.ConnPool, t *Table, l *layout, keyed []Row, e extent) ([]Row, error) {
	ordered := make([]Row, 0, len(keyed))
	for keys := range slices.Chunk(keyed, keyedRows) {
		q := selectFrom(db, t, l, e)
		q.AddClause(clause.Where{Exprs: []clause.Expression{hasKeyOf(q.Context, t, keys)}})
		q.Build("SELECT", "FROM", "WHERE")
		found, count, err := queryRows(q, pool, t, l, e, make([]Row, 0, len(keys)))
		if err != nil {
			return nil, err
		}
		if len(found) != count {
			return nil, unreadRows(len(found), count)
		}
		byKey := make(map[string]Row, len(found))
		for _, row := range found {
			byKey[row.Key.text] = row
		}
		for i := range keys {
			if err := keys[i].Key.Err(); err != nil {
				return nil, err
			}
			if row, ok := byKey[keys[i].Key.text]; ok {
				ordered = append(ordered, row)
				delete(byKey, keys[i].Key.text)
			}
		}
		for _, row := range found {
			if _, left := byKey[row.Key.text]; left {
				ordered = append(ordered, row)
			}
		}
	}
	return ordered, nil
}

// hasKeyOf holds for the rows with the keys of the given ones.
func hasKeyOf(ctx context.Context, t *Table, rows []Row) clause.Expression {
	return in(t.keyColumns(), keysOf(ctx, t, rows))
}

// keysOf returns the values of the keys.
func keysOf(ctx context.Context, t *Table, rows []Row) [][]any {
	tuples := make([][]any, len(rows))
	for i := range rows {
		for _, field := range t.schema.PrimaryFields {
			part, _ := field.ValueOf(ctx, rows[i].value())
			tuples[i] = append(tuples[i], part)
		}
	}
	return tuples
}

// in holds for the rows whose columns have the values of one of the tuples.
func in(columns []clause.Column, tuples [][]any) clause.Expression {
	values := make([]any, len(tuples))
	for i, tuple := range tuples {
		values[i] = tuple
		if len(columns) == 1 {
			values[i] = tuple[0]
		}
	}
	if len(columns) == 1 {
		return clause.IN{Column: columns[0], Values: values}
	}
	return clause.IN{Column: columns, Values: values}
}

// queryRows runs a SELECT that is built. It appends the rows to found, and returns how many
// it has met. The caller may get its error as that of his own statement.
func queryRows(q *gorm.Statement, pool gorm.ConnPool, t *Table, l *layout, e extent, found []Row) ([]Row, int, error) {
	rows, err := pool.QueryContext(q.Context, q.SQL.String(), q.Vars...)
	if err != nil {
		return nil, 0, err
	}
	return scanRows(q.Context, rows, t, l, e, found)
}
