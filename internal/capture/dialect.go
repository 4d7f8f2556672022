package capture

import (
	"reflect"
	"slices"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"
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

	catalog *catalog
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
		d.qualified, d.keyLocks, d.xmax, d.catalog = true, true, true, postgresCatalog
	case "sqlite":
		d.writer, d.catalog = true, sqliteCatalog
	case "mysql":
		// The dialect of MariaDB lists RETURNING also for UPDATE, which has none.
		d.update, d.duplicate, d.catalog = false, true, mysqlCatalog
	default:
		return dialect{}
	}
	return d
}

// returning asks a statement for columns of the rows that it changes. Names
// instead of "*": PostgreSQL refuses a prepared statement whose result gets another type. A condition may end in a comment.
func (d dialect) returning(query string, stmt *gorm.Statement, l *layout, e extent) string {
	table := ""
	if d.qualified {
		table = currentName(stmt)
	}
	return query + "\nRETURNING " + l.list(stmt, table, e)
}

// cast keeps the type of a result where ALTER TYPE makes a column wider: PostgreSQL
// refuses a prepared statement whose result gets another type.
func (d dialect) cast(field *schema.Field, c *column) string {
	if !d.qualified {
		return ""
	}
	switch c.typeName {
	case "int2", "int4", "int8":
		switch field.IndirectFieldType.Kind() {
		case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
			reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
			return "::int8"
		}
	case "varchar", "text":
		return "::text"
	case "numeric", "timestamp", "timestamptz":
		return "::" + c.typeName // without its length
	}
	return ""
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
func (d dialect) claim(stmt *gorm.Statement) string {
	if !d.writer {
		return ""
	}
	return "DELETE FROM " + stmt.Quote(tableName(stmt)) + " WHERE 0"
}

// currentName is the name by which the statement calls its table.
func currentName(stmt *gorm.Statement) string { return stmt.Table }
