package writetest

import (
	"database/sql"
	"math/rand/v2"
	"time"

	"gorm.io/gorm"
)

func pick[T any](r *rand.Rand, values ...T) T { return values[r.IntN(len(values))] }

func title(r *rand.Rand) string { return pick(r, "k", "l", "m", "n") }

func id(r *rand.Rand) uint { return uint(r.IntN(7)) }

var nicks = []string{"abc", "ABC", "Abc", "def", "DEF", "ghi"}

var moments = []time.Time{
	time.Date(2026, 5, 6, 7, 8, 9, 123_456_789, time.UTC),
	time.Date(2026, 5, 6, 9, 8, 9, 123_400_000, time.FixedZone("", 2*60*60)),
	time.Date(2026, 5, 6, 7, 8, 9, 999_999_999, time.UTC),
	time.Date(2026, 5, 6, 7, 8, 10, 0, time.UTC),
}

// subjects are the tables on which programs run.
func subjects() []subject {
	project := func(r *rand.Rand) *uint { return pick(r, nil, ptr(uint(1)), ptr(uint(2))) }
	board := func(r *rand.Rand) int { return 1 + r.IntN(3) }
	return append(listedSubjects(), []subject{
		newSubject("null group", tablesOf("CREATE TABLE looses (id SERIAL, project_id BIGINT, title VARCHAR(50))"), generate[Loose]{
			row:     func(r *rand.Rand) Loose { return Loose{ID: id(r), ProjectID: project(r), Title: title(r)} },
			key:     func(r *rand.Rand) Loose { return Loose{ID: 1 + id(r)} },
			values:  func(r *rand.Rand) map[string]any { return map[string]any{"project_id": project(r), "title": title(r)} },
			where:   func(r *rand.Rand) (string, any) { return "title = ?", title(r) },
			updated: []string{"project_id", "title"},
		}, step{"expression", func(r *rand.Rand, db *gorm.DB) error {
			return db.Model(&Loose{ID: 1 + id(r)}).Update("project_id", gorm.Expr("NULL")).Error
		}}),
		newSubject("spelled key", tablesOf("CREATE TABLE nicks (id NOCASE PRIMARY KEY, title VARCHAR(50))"), generate[Nick]{
			row:     func(r *rand.Rand) Nick { return Nick{ID: pick(r, nicks...), Title: title(r)} },
			key:     func(r *rand.Rand) Nick { return Nick{ID: pick(r, nicks...)} },
			values:  func(r *rand.Rand) map[string]any { return map[string]any{"id": pick(r, nicks...), "title": title(r)} },
			where:   func(r *rand.Rand) (string, any) { return "id = ?", pick(r, nicks...) },
			updated: []string{"title"},
		}),
		newSubject("spelled key alone", tablesOf("CREATE TABLE handles (id NOCASE PRIMARY KEY, title VARCHAR(50))"), generate[Handle]{
			row:     func(r *rand.Rand) Handle { return Handle{ID: pick(r, nicks...), Title: title(r)} },
			key:     func(r *rand.Rand) Handle { return Handle{ID: pick(r, nicks...)} },
			values:  func(r *rand.Rand) map[string]any { return map[string]any{"id": pick(r, nicks...), "title": title(r)} },
			where:   func(r *rand.Rand) (string, any) { return "id = ?", pick(r, nicks...) },
			updated: []string{"title"},
		}),
		newSubject("undeclared index", tablesOf("CREATE TABLE contacts (id SERIAL, email VARCHAR(50) UNIQUE, board_id INT, title VARCHAR(50))"), generate[Contact]{
			row: func(r *rand.Rand) Contact {
				return Contact{ID: id(r), Email: pick(r, "a", "b", "c", "d"), BoardID: board(r), Title: title(r)}
			},
			key: func(r *rand.Rand) Contact { return Contact{ID: 1 + id(r)} },
			values: func(r *rand.Rand) map[string]any {
				return map[string]any{"email": pick(r, "a", "b", "c", "d"), "board_id": board(r), "title": title(r)}
			},
			where:    func(r *rand.Rand) (string, any) { return "email = ?", pick(r, "a", "b", "c", "d") },
			conflict: []string{"email"},
			updated:  []string{"board_id", "title"},
		}),
		newSubject("strict scanner", tablesOf("CREATE TABLE stricts (id SERIAL, board_id INT, state VARCHAR(50))"), generate[Strict]{
			row: func(r *rand.Rand) Strict {
				return Strict{ID: id(r), BoardID: board(r), State: pick(r, State("open"), "done", "done", "legacy")}
			},
			key: func(r *rand.Rand) Strict { return Strict{ID: 1 + id(r)} },
			values: func(r *rand.Rand) map[string]any {
				return map[string]any{"board_id": board(r), "state": gorm.Expr(pick(r, "'open'", "'done'", "'legacy'"))}
			},
			where:   func(r *rand.Rand) (string, any) { return "board_id = ?", board(r) },
			updated: []string{"board_id", "state"},
		}, step{"update of one column", func(r *rand.Rand, db *gorm.DB) error {
			return db.Model(&Strict{ID: 1 + id(r)}).Update("board_id", board(r)).Error
		}}),
		newSubject("write-only column", tablesOf("CREATE TABLE logins (id SERIAL, board_id INT, secret VARCHAR(50), name VARCHAR(50))"), generate[Login]{
			row: func(r *rand.Rand) Login { return Login{ID: id(r), BoardID: board(r), Secret: "s3cret", Name: title(r)} },
			key: func(r *rand.Rand) Login { return Login{ID: 1 + id(r)} },
			values: func(r *rand.Rand) map[string]any {
				return map[string]any{"board_id": board(r), "secret": "s3cret", "name": title(r)}
			},
			where:   func(r *rand.Rand) (string, any) { return "name = ?", title(r) },
			updated: []string{"secret", "name"},
		}),
		newSubject("rounded values", tablesOf("CREATE TABLE prices (id SERIAL, shop CHAR(6), amount NUMERIC(10,2), due DATE, at TIME, seen TIME)"), generate[Price]{
			row: func(r *rand.Rand) Price {
				return Price{
					ID: id(r), Shop: pick(r, "a", "b "), Amount: pick(r, Decimal("1.005"), "2", "3.5"), Due: pick(r, moments...), At: pick(r, moments...),
					Seen: pick(r, sql.NullTime{}, sql.NullTime{Time: moments[0], Valid: true}),
				}
			},
			key: func(r *rand.Rand) Price { return Price{ID: 1 + id(r)} },
			values: func(r *rand.Rand) map[string]any {
				return map[string]any{"shop": pick(r, "a", "b "), "amount": pick(r, "1.005", "2"), "at": pick(r, moments...), "due": pick(r, moments...)}
			},
			where:   func(r *rand.Rand) (string, any) { return "amount = ?", pick(r, "2", "3.5") },
			updated: []string{"shop", "amount", "at"},
		}),
		newSubject("decimal group", tablesOf("CREATE TABLE batches (id SERIAL, amount NUMERIC(10,2), title VARCHAR(50))"), generate[Batch]{
			row: func(r *rand.Rand) Batch {
				return Batch{ID: id(r), Amount: pick(r, Decimal("1.005"), "2", "3.5"), Title: title(r)}
			},
			key: func(r *rand.Rand) Batch { return Batch{ID: 1 + id(r)} },
			values: func(r *rand.Rand) map[string]any {
				return map[string]any{"amount": pick(r, "1.005", "2"), "title": title(r)}
			},
			where:   func(r *rand.Rand) (string, any) { return "amount = ?", pick(r, "2", "3.5") },
			updated: []string{"amount", "title"},
		}),
		newSubject("key of the database", tablesOf("CREATE TABLE mades (id MADE, board_id INT, title VARCHAR(50))"), generate[Made]{
			row: func(r *rand.Rand) Made {
				return Made{ID: pick(r, "", "", "x", "y"), BoardID: board(r), Title: title(r)}
			},
			key:     func(r *rand.Rand) Made { return Made{ID: pick(r, "x", "y")} },
			values:  func(r *rand.Rand) map[string]any { return map[string]any{"board_id": board(r), "title": title(r)} },
			where:   func(r *rand.Rand) (string, any) { return "title = ?", title(r) },
			updated: []string{"board_id", "title"},
		}),
		newSubject("legacy names", func(e Engine) []string {
			if e.SQL == "postgres" { // its names have case
				return tablesOf("CREATE TABLE legacies (id SERIAL, board INT, title VARCHAR(50))")(e)
			}
			return tablesOf("CREATE TABLE legacies (ID SERIAL, Board INT, Title VARCHAR(50))")(e)
		}, generate[Legacy]{
			row:     func(r *rand.Rand) Legacy { return Legacy{ID: id(r), Board: board(r), Title: title(r)} },
			key:     func(r *rand.Rand) Legacy { return Legacy{ID: 1 + id(r)} },
			values:  func(r *rand.Rand) map[string]any { return map[string]any{"Board": board(r), "Title": title(r)} },
			where:   func(r *rand.Rand) (string, any) { return "title = ?", title(r) },
			updated: []string{"board", "title"},
		}),
		newSubject("tenants", tablesOf("CREATE TABLE renteds (id SERIAL, tenant VARCHAR(50), title VARCHAR(50))"), generate[Rented]{
			row: func(r *rand.Rand) Rented {
				return Rented{ID: id(r), Tenant: pick(r, Tenant("a"), "a", "b"), Title: title(r)}
			},
			key: func(r *rand.Rand) Rented { return Rented{ID: 1 + id(r)} },
			values: func(r *rand.Rand) map[string]any {
				return map[string]any{"tenant": pick(r, "a", "b"), "title": title(r)}
			},
			where:   func(r *rand.Rand) (string, any) { return "title = ?", title(r) },
			updated: []string{"tenant", "title"},
		}, step{"unscoped", func(r *rand.Rand, db *gorm.DB) error {
			return db.Unscoped().Where("title = ?", title(r)).Delete(&Rented{}).Error
		}}),
		newSubject("time key", tablesOf("CREATE TABLE slots (id TIME PRIMARY KEY, title VARCHAR(50))"), generate[Slot]{
			row:     func(r *rand.Rand) Slot { return Slot{ID: pick(r, moments...), Title: title(r)} },
			key:     func(r *rand.Rand) Slot { return Slot{ID: pick(r, moments...)} },
			values:  func(r *rand.Rand) map[string]any { return map[string]any{"id": pick(r, moments...), "title": title(r)} },
			where:   func(r *rand.Rand) (string, any) { return "title = ?", title(r) },
			updated: []string{"title"},
		}),
	}...)
}
