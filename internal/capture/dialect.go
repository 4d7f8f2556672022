package capture

import (
	"slices"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// dialect holds how a database reports the rows that a statement changed, and how it
// locks rows that were read before it.
type dialect struct {
	known     bool // the rows of a statement can be read at all
	update    bool // UPDATE has RETURNING
	delete    bool // DELETE has
	insert    bool // INSERT has, and GORM uses it
	qualified bool // RETURNING may and must name the table
	keyLocks  bool // a lock on a row can spare the rows that refer to it
	xmax      bool // a row tells whether it was inserted or updated
	writer    bool // only one transaction writes at a time
	duplicate bool // an upsert meets any unique index, whatever it names
}

func dialectOf(db *gorm.DB) dialect {
	returning := func(clauses []string) bool { return slices.Contains(clauses, "RETURNING") }
	callbacks := db.Callback()
	d := dialect{
		known:  true,
		update: returning(callbacks.Update().Clauses),
		delete: returning(callbacks.Delete().Clauses),
		insert: returning(callbacks.Create().Clauses),
	}
	switch db.Name() {
	case "postgres":
		d.qualified, d.keyLocks, d.xmax = true, true, true
	case "sqlite":
		d.writer = true
	case "mysql":
		// The dialect of MariaDB lists RETURNING also for UPDATE, which has none.
		d.update, d.duplicate = false, true
	default:
		return dialect{}
	}
	return d
}

// returning asks a statement for the rows that it changes: whole, or the keys.
// "*" instead of names: the model may have fields that are not columns of the table.
func (d dialect) returning(stmt *gorm.Statement, t *Table, whole bool) string {
	table := ""
	if d.qualified {
		table = stmt.Quote(clause.Table{Name: currentName(stmt)}) + "."
	}
	if whole {
		return " RETURNING " + table + "*"
	}
	text := " RETURNING "
	for i, field := range t.schema.PrimaryFields {
		if i > 0 {
			text += ","
		}
		text += table + stmt.Quote(clause.Column{Name: field.DBName})
	}
	return text
}

// lock returns the end of a SELECT that locks its rows until the transaction ends.
func (d dialect) lock(stmt *gorm.Statement, setsKey bool) string {
	switch {
	case d.writer:
		return ""
	case d.keyLocks && !setsKey:
		return " FOR NO KEY UPDATE OF " + stmt.Quote(clause.Table{Name: currentName(stmt)})
	case d.keyLocks:
		return " FOR UPDATE OF " + stmt.Quote(clause.Table{Name: currentName(stmt)})
	}
	return " FOR UPDATE"
}

// claim returns a statement that changes nothing and makes the transaction the only
// writer, so that later reads stay true. It is empty where locks do that.
func (d dialect) claim(stmt *gorm.Statement, t *Table) string {
	if !d.writer {
		return ""
	}
	column := stmt.Quote(clause.Column{Name: t.schema.DBNames[0]})
	return "UPDATE " + stmt.Quote(clause.Table{Name: t.schema.Table}) + " SET " + column + "=" + column + " WHERE 0"
}

// currentName is the name by which the statement calls its table.
func currentName(stmt *gorm.Statement) string { return stmt.Table }
