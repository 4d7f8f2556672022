package capture

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/schema"
)

const checkedRows = 100 // that CheckTable reads

// CheckModel parses a model and asks the consumer for its interest. It returns the reason
// why the model's writes would not be announced.
func (p *Plugin) CheckModel(db *gorm.DB, model any) (*Table, error) {
	stmt := &gorm.Statement{DB: db}
	if err := stmt.Parse(model); err != nil {
		return nil, fmt.Errorf("rohrpost: parse the model %T: %w", model, err)
	}
	t := NewTable(db, stmt.Schema)
	interest, err := p.consumer.Interest(t)
	if err == nil && interest == nil {
		err = errors.New("the model has no marker")
	}
	if err != nil {
		return nil, fmt.Errorf("rohrpost: model %s: %w", stmt.Schema.Name, err)
	}
	return t, nil
}

// CheckTable compares a model with its table. Its error lists every difference that makes
// the plugin read more, or send a resync in the place of a change.
func CheckTable(db *gorm.DB, t *Table, model any) error {
	db = db.Session(&gorm.Session{NewDB: true, SkipHooks: true})
	if !db.Migrator().HasTable(model) {
		return t.problem("the table is not there")
	}
	complete, problems := t.checkColumns(db, model)
	problems = errors.Join(problems, t.checkIndexes(db, model))
	if complete {
		problems = errors.Join(problems, t.checkRows(db, model))
	}
	return problems
}

func (t *Table) problem(format string, args ...any) error {
	return fmt.Errorf("rohrpost: model %s, table %s: %w", t.schema.Name, t.schema.Table, fmt.Errorf(format, args...))
}

// checkColumns looks for missing columns, and for keys of which the database takes two
// spellings for one. It also reports whether the table has all columns.
func (t *Table) checkColumns(db *gorm.DB, model any) (complete bool, err error) {
	types, err := db.Migrator().ColumnTypes(model)
	if err != nil {
		return false, t.problem("read the columns: %w", err)
	}
	loose, err := looseColumns(db, t.schema.Table)
	if err != nil {
		return false, t.problem("read the collations: %w", err)
	}
	var problems []error
	complete = true
	for _, column := range t.Columns {
		i := slices.IndexFunc(types, func(c gorm.ColumnType) bool { return t.schema.LookUpField(c.Name()) == column.field })
		switch {
		case i < 0:
			complete = false
			problems = append(problems, t.problem("there is no column %q", column.Name))
		case types[i].Name() != column.Name:
			problems = append(problems, t.problem("the column %q is called %q", column.Name, types[i].Name()))
		case column.PrimaryKey && column.field.DataType != schema.Int && column.field.DataType != schema.Uint && loose[strings.ToLower(column.Name)]:
			problems = append(problems, t.problem("the key column %q ignores differences such as that of upper and lower case: give it a binary collation", column.Name))
		}
	}
	return complete, errors.Join(problems...)
}

// looseColumns returns the columns whose collation takes different texts for equal.
func looseColumns(db *gorm.DB, table string) (map[string]bool, error) {
	query := map[string]string{
		"mysql": `SELECT column_name FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = ?
			AND collation_name IS NOT NULL AND collation_name NOT LIKE '%\_bin' AND collation_name <> 'binary'`,
		"postgres": `SELECT a.attname FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_collation c ON c.oid = a.attcollation
			WHERE a.attrelid = to_regclass(quote_ident(?)) AND (t.typname = 'citext' OR NOT COALESCE(c.collisdeterministic, true))`,
		"sqlite": `SELECT x.name FROM pragma_index_list(?) l, pragma_index_xinfo(l.name) x WHERE x.key = 1 AND x.coll <> 'BINARY'`,
	}[db.Name()]
	loose := map[string]bool{}
	if query == "" {
		return loose, nil
	}
	var names []string
	err := db.Raw(query, table).Scan(&names).Error
	for _, name := range names {
		loose[strings.ToLower(name)] = true
	}
	return loose, err
}

// checkIndexes looks for unique indexes by which an upsert may meet a row without the model
// saying so.
func (t *Table) checkIndexes(db *gorm.DB, model any) error {
	indexes, err := db.Migrator().GetIndexes(model)
	if err != nil {
		return t.problem("read the indexes: %w", err)
	}
	declared := declaredUnique(t.schema)
	var problems []error
	for _, index := range indexes {
		unique, known := index.Unique()
		if known && unique && !declared[setName(index.Columns())] {
			problems = append(problems, t.problem("the model does not declare the unique index %s of %s", index.Name(), strings.Join(index.Columns(), ", ")))
		}
	}
	return errors.Join(problems...)
}

// declaredUnique returns the sets of columns that two rows cannot share, as the model says.
func declaredUnique(s *schema.Schema) map[string]bool {
	sets := map[string]bool{setName(s.PrimaryFieldDBNames): true}
	for _, field := range s.Fields {
		if field.Unique && field.DBName != "" {
			sets[setName([]string{field.DBName})] = true
		}
	}
	for _, index := range s.ParseIndexes() {
		if index.Class != "UNIQUE" {
			continue
		}
		var names []string
		for _, option := range index.Fields {
			names = append(names, option.DBName)
		}
		sets[setName(names)] = true
	}
	return sets
}

func setName(columns []string) string {
	sorted := slices.Clone(columns)
	slices.Sort(sorted)
	return strings.ToLower(strings.Join(sorted, ","))
}

// checkRows reads rows into the model. It names the columns: a migration may just have
// changed what "*" means to the connection.
func (t *Table) checkRows(db *gorm.DB, model any) error {
	rows := t.schema.MakeSlice()
	var names []string
	for _, column := range t.Columns {
		names = append(names, column.Name)
	}
	if err := db.Unscoped().Model(model).Select(names).Limit(checkedRows).Find(rows.Interface()).Error; err != nil {
		return t.problem("the model cannot hold the rows: %w", err)
	}
	return nil
}
