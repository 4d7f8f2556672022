package writetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
)

// ledger is what the database's own triggers write down of each row, in the
// transaction of the change: an entry is there if and only if the change is.
type ledger struct{ engine Engine }

// entry is one change of one row.
type entry struct {
	RowName string // table and key
	Text    string // as it must be announced, without the fields
	Changed string // the columns that differ, each followed by a blank
	Same    bool   // it changed nothing, which MySQL does not report
}

// table is what the triggers need to know of a model.
type table struct {
	name    string
	key     []string // what the row is called, SQL of ROW
	group   []string // the same of its group
	object  []string // of its object
	columns []string // besides the key
	soft    bool
	moved   string // SQL that holds when OLD and NEW are not in the same group with the same key
}

var tables = []table{
	{
		name: "tickets", key: []string{"'tickets-'", "ROW.id"}, group: []string{"'board-'", "ROW.board_id"},
		object:  []string{`'{"board":'`, "ROW.board_id", `',"id":'`, "ROW.id", `',"title":"'`, "ROW.title", `'"}'`},
		columns: []string{"board_id", "title"}, moved: "NEW.board_id <> OLD.board_id OR NEW.id <> OLD.id",
	},
	{
		name: "items", key: []string{"'items-'", "ROW.id"}, group: []string{"'list-'", "ROW.board_id"},
		object:  []string{`'{"board":'`, "ROW.board_id", `',"id":'`, "ROW.id", `',"title":"'`, "ROW.title", `'"}'`},
		columns: []string{"board_id", "title"}, soft: true, moved: "NEW.board_id <> OLD.board_id OR NEW.id <> OLD.id",
	},
	{
		name: "cells", key: []string{"'cells-'", "ROW.sheet", "':'", "ROW.place"}, group: []string{"'cell-'", "ROW.sheet", "':'", "ROW.place"},
		object:  []string{`'{"id":["'`, "ROW.sheet", `'",'`, "ROW.place", `']}'`},
		columns: []string{"text"}, moved: "NEW.sheet <> OLD.sheet OR NEW.place <> OLD.place",
	},
}

// install makes the ledger and its triggers.
func (l ledger) install(tb testing.TB, db *gorm.DB) {
	seq := map[string]string{
		"sqlite": "INTEGER PRIMARY KEY AUTOINCREMENT", "postgres": "BIGSERIAL PRIMARY KEY", "mysql": "BIGINT PRIMARY KEY AUTO_INCREMENT",
	}[l.engine.SQL]
	statements := []string{
		"CREATE TABLE ledger (seq " + seq + ", row_name VARCHAR(100), text VARCHAR(500), changed VARCHAR(100), same BOOLEAN)",
	}
	if l.engine.SQL != "mysql" { // there no constraint waits for the COMMIT
		statements = append(statements, "CREATE TABLE debts (ticket_id INTEGER REFERENCES tickets(id) DEFERRABLE INITIALLY DEFERRED)")
	}
	for _, t := range tables {
		statements = append(statements, l.trigger(t, "INSERT", l.insert(t))...)
		statements = append(statements, l.trigger(t, "UPDATE", l.update(t))...)
		statements = append(statements, l.trigger(t, "DELETE", l.remove(t))...)
	}
	pool, err := db.DB()
	require.NoError(tb, err)
	for _, statement := range statements {
		_, err := pool.Exec(statement)
		require.NoError(tb, err, statement)
	}
}

func (l ledger) insert(t table) []string {
	return []string{l.note(t, "create", "NEW", l.live(t, "NEW"), "")}
}

func (l ledger) remove(t table) []string {
	return []string{l.note(t, "delete", "OLD", l.live(t, "OLD"), "")}
}

func (l ledger) update(t table) []string {
	was, is := l.live(t, "OLD"), l.live(t, "NEW")
	return []string{
		l.note(t, "delete", "OLD", was+" AND (NOT ("+is+") OR "+t.moved+")", ""),
		l.note(t, "create", "NEW", is+" AND (NOT ("+was+") OR "+t.moved+")", ""),
		l.note(t, "update", "NEW", was+" AND "+is+" AND NOT ("+t.moved+")", l.changed(t)),
	}
}

func (l ledger) live(t table, row string) string {
	if t.soft {
		return row + ".deleted_at IS NULL"
	}
	return "1 = 1"
}

// changed lists the columns that differ.
func (l ledger) changed(t table) string {
	var parts []string
	for _, column := range t.columns {
		parts = append(parts, fmt.Sprintf("CASE WHEN %s THEN '' ELSE '%s ' END", l.equal(column), column))
	}
	return l.concat(parts)
}

func (l ledger) equal(column string) string {
	operator := map[string]string{"sqlite": "IS", "postgres": "IS NOT DISTINCT FROM", "mysql": "<=>"}[l.engine.SQL]
	return "NEW." + column + " " + operator + " OLD." + column
}

func (l ledger) concat(parts []string) string {
	if l.engine.SQL == "mysql" {
		return "CONCAT(" + strings.Join(parts, ",") + ")"
	}
	return strings.Join(parts, " || ")
}

// note writes an entry where the condition holds.
func (l ledger) note(t table, verb, row, condition, changed string) string {
	text := append([]string{"'" + verb + " '"}, t.group...)
	text = append(append(text, "' '"), t.object...)
	same, from := "FALSE", ""
	if l.engine.SQL == "mysql" {
		from = " FROM DUAL"
		if verb == "update" {
			same = l.unchanged(t)
		}
	}
	if changed == "" {
		changed = "''"
	}
	return strings.ReplaceAll(fmt.Sprintf("INSERT INTO ledger (row_name, text, changed, same) SELECT %s, %s, %s, %s%s WHERE %s",
		l.concat(t.key), l.concat(text), changed, same, from, condition), "ROW.", row+".")
}

// unchanged holds where MySQL sees nothing to write, the times included.
func (l ledger) unchanged(t table) string {
	columns := slices.Clone(t.columns)
	if t.name == "tickets" {
		columns = append(columns, "updated_at")
	}
	for i, column := range columns {
		columns[i] = l.equal(column)
	}
	return strings.Join(columns, " AND ")
}

func (l ledger) trigger(t table, event string, body []string) []string {
	name, text := t.name+"_"+strings.ToLower(event), strings.Join(body, ";\n")+";\n"
	head := fmt.Sprintf("CREATE TRIGGER %s AFTER %s ON %s FOR EACH ROW ", name, event, t.name)
	if l.engine.SQL == "postgres" {
		return []string{
			"CREATE FUNCTION " + name + "() RETURNS trigger AS $$ BEGIN\n" + text + "RETURN NULL; END $$ LANGUAGE plpgsql",
			head + "EXECUTE FUNCTION " + name + "()",
		}
	}
	return []string{head + "BEGIN\n" + text + "END"}
}

// entries reads the ledger.
func (l ledger) entries(tb testing.TB, db *gorm.DB) (entries []entry) {
	tb.Helper()
	require.NoError(tb, db.Raw("SELECT row_name, text, changed, same FROM ledger ORDER BY seq").Scan(&entries).Error)
	return entries
}

// differs compares what was announced with what the ledger says, row by row: each
// row's changes in their order, and no others. It returns "" where they agree.
func differs(entries []entry, announced []string) string {
	want := map[string][]entry{}
	for _, e := range entries {
		want[objectOf(e.Text)] = append(want[objectOf(e.Text)], e)
	}
	got := map[string][]string{}
	for _, line := range announced {
		got[objectOf(line)] = append(got[objectOf(line)], line)
	}
	for key := range got {
		if _, known := want[key]; !known {
			return "announced, but not in the database: " + strings.Join(got[key], "; ")
		}
	}
	for key, entries := range want {
		if problem := rowDiffers(entries, got[key]); problem != "" {
			return problem
		}
	}
	return ""
}

// objectOf is the key of the row that a line is about.
func objectOf(line string) string {
	_, object, _ := strings.Cut(line, `"id":`)
	id := object[:strings.IndexAny(object, "}t")]
	words := strings.Fields(line)
	kind, _, _ := strings.Cut(words[1], "-")
	return kind + " " + strings.TrimSuffix(id, ",\"")
}

// rowDiffers compares the changes of one row.
func rowDiffers(entries []entry, lines []string) string {
	if len(entries) == 0 {
		if len(lines) > 0 {
			return fmt.Sprintf("announced, but not in the database: %v", lines)
		}
		return ""
	}
	e := entries[0]
	problem := fmt.Sprintf("in the database: %s; announced: %v", e.Text, lines)
	if len(lines) > 0 && textOf(lines[0]) == e.Text {
		fields := strings.TrimPrefix(lines[0][len(e.Text):], " ")
		problem = ""
		for _, column := range strings.Fields(e.Changed) {
			if fields != "" && !slices.Contains(strings.Split(fields, ","), column) {
				problem = fmt.Sprintf("%s has changed, announced: %s", column, lines[0])
			}
		}
		if problem == "" {
			problem = rowDiffers(entries[1:], lines[1:])
		}
	}
	if problem != "" && e.Same {
		return rowDiffers(entries[1:], lines)
	}
	return problem
}

// textOf is a line without its fields.
func textOf(line string) string { return line[:strings.LastIndex(line, "}")+1] }
