package integration

import (
	"encoding/json"
	"log/slog"
	"testing"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/rohrposttest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// page is grouped by a column that updates may set.
type page struct {
	rohrpost.NotifyOnChange `rohrpost:"group:board-{board}"`
	ID                      int64
	Board                   int64
	Title                   string
}

// openPages opens a database of an engine with the plugin, and makes pages 1 and 2, a and
// b, on board 1.
func openPages(t *testing.T, engine string) (*gorm.DB, *rohrposttest.Recorder) {
	for _, e := range engines {
		if e.Name != engine {
			continue
		}
		db := e.Open(t, gorm.Config{})
		require.NoError(t, db.Use(rohrpost.Plugin(rohrpost.NewHub(rohrpost.Config{Logger: slog.New(slog.DiscardHandler)}))))
		require.NoError(t, db.AutoMigrate(&page{}))
		rec := rohrposttest.Record(t, db)
		require.NoError(t, db.Create(&[]page{{Board: 1, Title: "a"}, {Board: 1, Title: "b"}}).Error)
		rec.Reset()
		return db, rec
	}
	t.Fatalf("there is no engine %s", engine)
	return nil, nil
}

// taken returns what was published since the last call, a line each.
func taken(rec *rohrposttest.Recorder) (lines []string) {
	for _, c := range rec.Published() {
		object, _ := c.Object.(json.RawMessage)
		lines = append(lines, c.Type+" "+c.Group+" "+string(object))
	}
	rec.Reset()
	return lines
}

// A DELETE IGNORE of MySQL leaves the rows to which others refer, without an error.
func TestDeleteIgnore(t *testing.T) {
	db, rec := openPages(t, "MySQL")
	require.NoError(t, db.Exec("CREATE TABLE notes (page BIGINT, FOREIGN KEY (page) REFERENCES pages(id))").Error)
	require.NoError(t, db.Exec("INSERT INTO notes VALUES (1)").Error)
	result := db.Clauses(clause.Delete{Modifier: "IGNORE"}).Where("board = 1").Delete(&page{})
	require.NoError(t, result.Error)
	require.EqualValues(t, 1, result.RowsAffected)
	assert.Equal(t, []string{`resync board-{board} {"reason":"unknown"}`}, taken(rec))
}

// cteClause is the clause that plugins for common table expressions register.
type cteClause struct{ clause.Expr }

func (cteClause) Name() string                    { return "WITH" }
func (c cteClause) MergeClause(to *clause.Clause) { to.Expression = c.Expr }

// A read of the rows before the statement would lack the clause, fail, and so abort the
// program's transaction.
func TestUpdateWithCommonTable(t *testing.T) {
	db, rec := openPages(t, "PostgreSQL")
	update := db.Callback().Update()
	update.Clauses = append([]string{"WITH"}, update.Clauses...)
	second := cteClause{clause.Expr{SQL: "x AS (SELECT id FROM pages WHERE title = 'b')"}}
	result := db.Model(&page{}).Clauses(second).Where("id IN (SELECT id FROM x)").Update("title", "c")
	require.NoError(t, result.Error)
	require.EqualValues(t, 1, result.RowsAffected)
	assert.Equal(t, []string{`update board-1 {"id":2}`}, taken(rec))
	second.SQL = "x AS (SELECT id FROM pages WHERE title = 'c')"
	result = db.Model(&page{}).Clauses(second).Where("id IN (SELECT id FROM x)").Update("board", 5)
	require.NoError(t, result.Error)
	require.EqualValues(t, 1, result.RowsAffected)
	assert.Equal(t, []string{`resync board-{board} {"reason":"unknown"}`}, taken(rec))
}

func TestQuotedColumns(t *testing.T) {
	for engine, name := range map[string]string{"PostgreSQL": `"board"`, "MariaDB": "`board`", "MySQL": "`pages`.`board`"} {
		db, rec := openPages(t, engine)
		require.NoError(t, db.Model(&page{ID: 1}).Update(name, 2).Error, engine)
		assert.Equal(t, []string{`delete board-1 {"id":1}`, `create board-2 {"id":1}`}, taken(rec), engine)
	}
}

// On PostgreSQL capitals count in the names of savepoints that are quoted.
func TestSavepointCapitals(t *testing.T) {
	db, rec := openPages(t, "PostgreSQL")
	require.NoError(t, db.Transaction(func(tx *gorm.DB) error {
		require.NoError(t, tx.SavePoint(`A`).Error)
		require.NoError(t, tx.Create(&page{Board: 1}).Error)
		require.NoError(t, tx.SavePoint(`"A"`).Error)
		require.NoError(t, tx.Create(&page{Board: 2}).Error)
		return tx.RollbackTo(`"a"`).Error
	}))
	assert.Empty(t, taken(rec))
}
