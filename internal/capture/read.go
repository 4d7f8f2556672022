package capture

import (
	"context"
	"slices"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

const keyedRows = 1000 // in one SELECT by keys: databases limit the parameters

// selectFrom begins a SELECT on the table of a statement; it runs no callbacks.
func selectFrom(db *gorm.DB, t *Table, whole bool) *gorm.Statement {
	q := db.Session(&gorm.Session{NewDB: true}).Unscoped().Statement
	q.Schema, q.Table, q.TableExpr = t.schema, db.Statement.Table, db.Statement.TableExpr
	columns := t.keyColumns()
	if whole || len(columns) == 0 {
		columns = []clause.Column{{Name: q.Quote(clause.Table{Name: q.Table}) + ".*", Raw: true}}
	}
	q.AddClause(clause.Select{Columns: columns})
	q.AddClause(clause.From{})
	return q
}

// selectRows reads the whole rows with the keys of the given ones, in their
// order; those that are not there are left out.
func selectRows(db *gorm.DB, pool gorm.ConnPool, t *Table, keyed []Row) ([]Row, error) {
	ordered := make([]Row, 0, len(keyed))
	for keys := range slices.Chunk(keyed, keyedRows) {
		q := selectFrom(db, t, true)
		q.AddClause(clause.Where{Exprs: []clause.Expression{hasKeyOf(q.Context, t, keys)}})
		q.Build("SELECT", "FROM", "WHERE")
		found, count, err := queryRows(q, pool, t, true)
		if err == nil && len(found) != count {
			err = unreadRows(len(found), count)
		}
		if err != nil {
			return nil, err
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
			}
		}
	}
	return ordered, nil
}

// hasKeyOf holds for the rows with the keys of the given ones.
func hasKeyOf(ctx context.Context, t *Table, rows []Row) clause.Expression {
	tuples := make([][]any, len(rows))
	for i := range rows {
		for _, field := range t.schema.PrimaryFields {
			part, _ := field.ValueOf(ctx, rows[i].value())
			tuples[i] = append(tuples[i], part)
		}
	}
	return in(t.keyColumns(), tuples)
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

// queryRows runs a SELECT that is built, and returns how many rows it has met. The caller
// may get its error as that of his own statement.
func queryRows(q *gorm.Statement, pool gorm.ConnPool, t *Table, structs bool) ([]Row, int, error) {
	rows, err := pool.QueryContext(q.Context, q.SQL.String(), q.Vars...)
	if err != nil {
		return nil, 0, err
	}
	return scanRows(q.Context, rows, t, structs)
}
