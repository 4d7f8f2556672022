package capture

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"
)

// catalog is how a database describes its tables.
type catalog struct {
	columns string // name, type, precision, loose, fills, relation, whether rows may be locked, a sample of an instant, one of a time without a zone
	unique  string // a row for each column of a unique index: index, column or "", loose
	args    func(db *gorm.DB, table string) (columns, unique []any)
	ignores bool // the case of names
	kindOf  func(name string) kind
}

// sample is a time whose last digits a driver or a database rounds or cuts off.
var sample = time.Date(2001, 2, 3, 4, 5, 6, 1_500_000+1_500, time.UTC)

var postgresCatalog = &catalog{
	columns: `SELECT a.attname::text, CASE WHEN t.typtype = 'e' THEN 'text' ELSE COALESCE(b.typname, t.typname)::text END, CASE WHEN a.atttypmod < 0 THEN 6 ELSE a.atttypmod END,
	CASE WHEN t.typname = 'citext' OR NOT COALESCE((to_jsonb(l)->>'collisdeterministic')::bool, true) THEN 1 ELSE 0 END,
	CASE WHEN COALESCE(to_jsonb(a)->>'attidentity', '') <> '' OR pg_get_expr(d.adbin, d.adrelid) LIKE '%(%' THEN 'new'
		WHEN COALESCE(pg_get_expr(d.adbin, d.adrelid), 'NULL') LIKE 'NULL%' THEN '' ELSE 'value' END,
	CASE WHEN c.relkind IN ('r', 'p') THEN 'table' WHEN NOT EXISTS (SELECT 1 FROM pg_trigger WHERE tgrelid = c.oid AND tgtype & 64 <> 0)
		AND NOT EXISTS (SELECT 1 FROM pg_rewrite WHERE ev_class = c.oid AND ev_type <> '1') THEN 'plain view' ELSE 'view' END,
	has_any_column_privilege(c.oid, 'UPDATE'), $2::timestamptz, localtimestamp
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type b ON b.oid = t.typbasetype
	LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum LEFT JOIN pg_collation l ON l.oid = a.attcollation
WHERE c.oid = to_regclass($1::text) AND a.attnum > 0 AND NOT a.attisdropped AND has_column_privilege(c.oid, a.attnum, 'SELECT') ORDER BY a.attnum`,
	unique: `SELECT i.indexrelid::text, CASE WHEN i.indisexclusion THEN '' ELSE COALESCE(a.attname::text, '') END, 0
FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY k(attnum, n) LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum > 0
WHERE i.indrelid = to_regclass($1::text) AND (i.indisunique OR i.indisexclusion) AND k.n <= COALESCE((to_jsonb(i)->>'indnkeyatts')::int, i.indnatts)
ORDER BY 1, k.n`,
	args: func(db *gorm.DB, table string) (columns, unique []any) {
		quoted := db.Statement.Quote(table)
		return []any{quoted, sample}, []any{quoted}
	},
}

var mysqlCatalog = &catalog{
	columns: `SELECT c.COLUMN_NAME, LOWER(c.DATA_TYPE), COALESCE(c.DATETIME_PRECISION, 0),
	CASE WHEN c.COLLATION_NAME IS NULL OR c.COLLATION_NAME = 'binary' OR c.COLLATION_NAME LIKE '%nopad\_bin' OR c.COLLATION_NAME LIKE '%0900\_bin' THEN 0 ELSE 1 END,
	CASE WHEN c.EXTRA LIKE '%auto_increment%' OR c.COLUMN_DEFAULT LIKE '%(%' THEN 'new'
		WHEN c.IS_NULLABLE = 'YES' AND (c.COLUMN_DEFAULT IS NULL OR c.COLUMN_DEFAULT = 'NULL') THEN '' ELSE 'value' END,
	CASE WHEN t.TABLE_TYPE LIKE '%VIEW%' THEN 'plain view' ELSE 'table' END, 1, CAST(? AS DATETIME(3)), NULL
FROM information_schema.COLUMNS c JOIN information_schema.TABLES t ON t.TABLE_SCHEMA = c.TABLE_SCHEMA AND t.TABLE_NAME = c.TABLE_NAME
WHERE c.TABLE_SCHEMA = COALESCE(NULLIF(?, ''), DATABASE()) AND c.TABLE_NAME = ? ORDER BY c.ORDINAL_POSITION`,
	unique: `SELECT INDEX_NAME, CASE WHEN SUB_PART IS NULL THEN COALESCE(COLUMN_NAME, '') ELSE '' END, 0 FROM information_schema.STATISTICS
WHERE NON_UNIQUE = 0 AND TABLE_SCHEMA = COALESCE(NULLIF(?, ''), DATABASE()) AND TABLE_NAME = ? ORDER BY INDEX_NAME, SEQ_IN_INDEX`,
	args: func(_ *gorm.DB, table string) (columns, unique []any) {
		base, name, qualified := strings.Cut(table, ".")
		if !qualified {
			base, name = "", table
		}
		return []any{sample, base, name}, []any{base, name}
	},
	ignores: true,
}

var sqliteCatalog = &catalog{
	columns: `SELECT x.name, x.type, 9, 0,
	CASE WHEN x.dflt_value IS NULL OR UPPER(x.dflt_value) = 'NULL' THEN '' WHEN x.dflt_value LIKE '%(%' THEN 'new' ELSE 'value' END,
	COALESCE((SELECT CASE WHEN m.type = 'table' AND m.sql NOT LIKE 'CREATE VIRTUAL%' THEN 'table' ELSE 'view' END
		FROM (SELECT name, type, sql FROM sqlite_master UNION ALL SELECT name, type, sql FROM sqlite_temp_master) m
		WHERE m.name = ? COLLATE NOCASE AND m.type IN ('table', 'view') LIMIT 1), 'table'), 1, NULL, NULL
FROM pragma_table_xinfo(?) x WHERE x.hidden <> 1`,
	unique: `SELECT l.name, COALESCE(i.name, ''), CASE WHEN i.coll = 'BINARY' THEN 0 ELSE 1 END FROM pragma_index_list(?) l, pragma_index_xinfo(l.name) i
WHERE l."unique" = 1 AND i.key = 1 UNION ALL SELECT '', name, 0 FROM pragma_table_xinfo(?) WHERE pk > 0 ORDER BY 1`,
	args: func(_ *gorm.DB, table string) (columns, unique []any) {
		_, name, qualified := strings.Cut(table, ".")
		if !qualified {
			name = table
		}
		return []any{name, name}, []any{name, name}
	},
	ignores: true,
	kindOf:  affinity,
}

// affinity returns the kind of a declared type by the rules of SQLite.
func affinity(declared string) kind {
	name, _, _ := strings.Cut(strings.ToLower(declared), "(")
	has := func(parts ...string) bool {
		return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(name, part) })
	}
	switch name := strings.TrimSpace(name); {
	case has("int"):
		return integer
	case has("char", "clob", "text"):
		return text
	case name == "", has("blob"):
		return bytes
	case has("real", "floa", "doub"):
		return double
	case name == "datetime", name == "timestamp":
		return instant
	case name == "date":
		return day
	case has("bool"):
		return boolean
	}
	return otherKind
}

// read asks the database for the layout of a table.
func (c *catalog) read(db *gorm.DB, pool gorm.ConnPool, table string) (*layout, error) {
	ctx := db.Statement.Context
	l := &layout{columns: map[string]*column{}, fold: func(name string) string { return name }}
	if c.ignores {
		l.fold = strings.ToLower
	}
	columns, unique := c.args(db, table)
	if err := c.readColumns(ctx, pool, l, columns); err != nil {
		return nil, err
	}
	if len(l.columns) == 0 {
		return nil, errNoTable
	}
	return l, c.readUnique(ctx, pool, l, unique)
}

func (c *catalog) readColumns(ctx context.Context, pool gorm.ConnPool, l *layout, args []any) error {
	rows, err := pool.QueryContext(ctx, c.columns, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	var instantSample, wallSample any
	for rows.Next() {
		var read column
		var relation string
		var loose int
		if err := rows.Scan(&read.name, &read.typeName, &read.precision, &loose, &read.fills, &relation, &l.locks, &instantSample, &wallSample); err != nil {
			return err
		}
		read.loose, l.relation = loose != 0, relation
		if c.kindOf != nil {
			read.kind = c.kindOf(read.typeName)
		} else {
			read.kind = kinds[read.typeName]
		}
		if read.typeName == "timestamp" && wallSample != nil {
			read.kind = wallTime
		}
		l.columns[l.fold(read.name)] = &read
	}
	l.clock = newClock(instantSample, wallSample)
	l.hidden = l.relation != "table" // the indexes are those of other tables
	return rows.Err()
}

// newClock learns from samples how times come back.
func newClock(instantSample, wallSample any) (c clock) {
	read, ok := instantSample.(time.Time)
	if !ok {
		return c
	}
	c.instant = read.Location()
	fine := sample.Nanosecond() % int(time.Millisecond) % int(time.Microsecond) // what is finer than a microsecond
	switch got := read.Nanosecond(); {
	case got%int(time.Millisecond) == 0: // to milliseconds
		c.rounds = got > sample.Nanosecond()
	default:
		c.rounds = true
		if got <= sample.Nanosecond() && fine > 0 {
			c.coarse = time.Microsecond // the driver cuts off, and the database rounds
		}
	}
	if wall, ok := wallSample.(time.Time); ok {
		c.wall = wall.Location()
	}
	return c
}

func (c *catalog) readUnique(ctx context.Context, pool gorm.ConnPool, l *layout, args []any) error {
	rows, err := pool.QueryContext(ctx, c.unique, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	sets, names := map[string][]string{}, []string{}
	for rows.Next() {
		var index, name string
		var loose int
		if err := rows.Scan(&index, &name, &loose); err != nil {
			return err
		}
		if sets[index] == nil {
			names = append(names, index)
		}
		sets[index] = append(sets[index], name)
		if column := l.column(name); column != nil {
			column.loose = column.loose || loose != 0
		}
	}
	seen := map[string]bool{}
	for _, index := range names {
		set := sets[index]
		if slices.Contains(set, "") {
			l.hidden = true
			continue
		}
		sorted := slices.Sorted(slices.Values(set))
		if key := fmt.Sprintf("%q", sorted); !seen[key] {
			seen[key] = true
			l.unique = append(l.unique, set)
		}
	}
	return rows.Err()
}

// unprepared returns the pool behind a store of prepared statements, in which a query that
// runs once for each table would stay for ever.
func unprepared(pool gorm.ConnPool) gorm.ConnPool {
	for {
		switch p := pool.(type) {
		case *gorm.PreparedStmtDB:
			pool = p.ConnPool
		case *gorm.PreparedStmtTX:
			pool = p.Tx
		default:
			return pool
		}
	}
}
