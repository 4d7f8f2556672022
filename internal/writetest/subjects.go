package writetest

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/rohrpost/rohrpost"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"
)

// The models of the oracle. Their tables are made by hand.
type (
	// Loose may be in no group.
	Loose struct {
		rohrpost.NotifyOnChange `rohrpost:"group:project-{project_id}"`
		ID                      uint
		ProjectID               *uint
		Title                   string
	}

	// Nick has a key whose spelling does not matter to the database.
	Nick struct {
		rohrpost.NotifyOnChange `rohrpost:"group:nicks"`
		ID                      string `gorm:"primaryKey"`
		Title                   string
	}

	// Handle is Nick of which only the key is sent.
	Handle struct {
		rohrpost.NotifyOnChange `rohrpost:"group:handles"`
		ID                      string `gorm:"primaryKey"`
		Title                   string
	}

	// Contact has a unique index that the model does not declare.
	Contact struct {
		rohrpost.NotifyOnChange `rohrpost:"group:board-{board_id}"`
		ID                      uint
		Email                   string
		BoardID                 int
		Title                   string
	}

	// Strict has a column that may hold what the model refuses.
	Strict struct {
		rohrpost.NotifyOnChange `rohrpost:"group:board-{board_id}"`
		ID                      uint
		BoardID                 int
		State                   State
	}

	// Login has a column that is never read.
	Login struct {
		rohrpost.NotifyOnChange `rohrpost:"group:board-{board_id}"`
		ID                      uint
		BoardID                 int
		Secret                  string `gorm:"->:false;<-"`
		Name                    string
	}

	// Price is grouped by a padded column and shows what the database rounds.
	Price struct {
		rohrpost.NotifyOnChange `rohrpost:"group:shop-{shop}"`
		ID                      uint
		Shop                    string `gorm:"type:char(6)"`
		Amount                  Decimal
		Due                     time.Time `gorm:"type:date"`
		At                      time.Time
		Seen                    sql.NullTime
	}

	// Batch is grouped by an amount.
	Batch struct {
		rohrpost.NotifyOnChange `rohrpost:"group:batch-{amount}"`
		ID                      uint
		Amount                  Decimal
		Title                   string
	}

	// Made gets its key from the database.
	Made struct {
		rohrpost.NotifyOnChange `rohrpost:"group:board-{board_id}"`
		ID                      string `gorm:"primaryKey;default:made()"`
		BoardID                 int
		Title                   string
	}

	// Legacy has columns that GORM finds by the names of the fields.
	Legacy struct {
		rohrpost.NotifyOnChange `rohrpost:"group:board-{board}"`
		ID                      uint
		Board                   int
		Title                   string
	}

	// Rented belongs to a tenant, to which its field type narrows every statement.
	Rented struct {
		rohrpost.NotifyOnChange `rohrpost:"group:tenant-{tenant}"`
		ID                      uint
		Tenant                  Tenant
		Title                   string
	}

	// Slot has a time as its key.
	Slot struct {
		rohrpost.NotifyOnChange `rohrpost:"group:slots"`
		ID                      time.Time `gorm:"primaryKey"`
		Title                   string
	}
)

type object map[string]any

func (l *Loose) object() object { return object{"id": l.ID, "project": l.ProjectID, "title": l.Title} }

func (l *Loose) shown() (string, any) {
	if l.ProjectID == nil {
		return "", nil
	}
	return fmt.Sprint("project-", *l.ProjectID), l.object()
}

func (l *Loose) PushNotificationData([]string, string) any { return l.object() }

func (n *Nick) shown() (string, any) { return "nicks", object{"id": n.ID, "title": n.Title} }

func (n *Nick) PushNotificationData([]string, string) any {
	return object{"id": n.ID, "title": n.Title}
}

func (h *Handle) shown() (string, any) { return "handles", object{"id": h.ID} }

func (c *Contact) object() object { return object{"id": c.ID, "email": c.Email, "title": c.Title} }

func (c *Contact) shown() (string, any) { return fmt.Sprint("board-", c.BoardID), c.object() }

func (c *Contact) PushNotificationData([]string, string) any { return c.object() }

func (s *Strict) shown() (string, any) {
	return fmt.Sprint("board-", s.BoardID), object{"id": s.ID, "state": s.State}
}

func (s *Strict) PushNotificationData([]string, string) any {
	return object{"id": s.ID, "state": s.State}
}

func (l *Login) object() object { return object{"id": l.ID, "secret": l.Secret, "name": l.Name} }

func (l *Login) shown() (string, any) { return fmt.Sprint("board-", l.BoardID), l.object() }

func (l *Login) PushNotificationData([]string, string) any { return l.object() }

func (p *Price) object() object {
	return object{"id": p.ID, "amount": p.Amount, "due": p.Due, "at": p.At, "seen": p.Seen.Time}
}

// A group name has no blanks.
func (p *Price) GroupName(string) string { return "shop-" + strings.ReplaceAll(p.Shop, " ", "_") }

func (p *Price) shown() (string, any) { return p.GroupName(""), p.object() }

func (p *Price) PushNotificationData([]string, string) any { return p.object() }

func (b *Batch) shown() (string, any) {
	return "batch-" + string(b.Amount), object{"id": b.ID, "title": b.Title}
}

func (b *Batch) PushNotificationData([]string, string) any {
	return object{"id": b.ID, "title": b.Title}
}

func (m *Made) shown() (string, any) {
	return fmt.Sprint("board-", m.BoardID), object{"id": m.ID, "title": m.Title}
}

func (m *Made) PushNotificationData([]string, string) any {
	return object{"id": m.ID, "title": m.Title}
}

func (l *Legacy) object() object { return object{"id": l.ID, "title": l.Title} }

func (l *Legacy) shown() (string, any) { return fmt.Sprint("board-", l.Board), l.object() }

func (l *Legacy) PushNotificationData([]string, string) any { return l.object() }

func (r *Rented) shown() (string, any) {
	return "tenant-" + string(r.Tenant), object{"id": r.ID, "title": r.Title}
}

func (r *Rented) PushNotificationData([]string, string) any {
	return object{"id": r.ID, "title": r.Title}
}

func (s *Slot) shown() (string, any) { return "slots", object{"id": s.ID, "title": s.Title} }

func (s *Slot) PushNotificationData([]string, string) any {
	return object{"id": s.ID, "title": s.Title}
}

// State is a text that is only "open" or "done".
type State string

// Scan implements sql.Scanner.
func (s *State) Scan(value any) error {
	text := fmt.Sprintf("%s", value)
	if text != "open" && text != "done" {
		return errors.New("no state")
	}
	*s = State(text)
	return nil
}

// Value implements driver.Valuer.
func (s State) Value() (driver.Value, error) { return string(s), nil }

// Decimal is a number as text.
type Decimal string

// Scan implements sql.Scanner.
func (d *Decimal) Scan(value any) error {
	if bytes, ok := value.([]byte); ok {
		value = string(bytes)
	}
	*d = Decimal(fmt.Sprint(value))
	return nil
}

// Value implements driver.Valuer.
func (d Decimal) Value() (driver.Value, error) { return string(d), nil }

// GormDataType implements schema.GormDataTypeInterface.
func (Decimal) GormDataType() string { return "numeric(10,2)" }

// Tenant narrows updates and deletes to one tenant.
type Tenant string

const ownTenant = "a"

// UpdateClauses implements schema.UpdateClausesInterface.
func (Tenant) UpdateClauses(f *schema.Field) []clause.Interface {
	return []clause.Interface{ofTenant{f}}
}

// DeleteClauses implements schema.DeleteClausesInterface.
func (Tenant) DeleteClauses(f *schema.Field) []clause.Interface {
	return []clause.Interface{ofTenant{f}}
}

type ofTenant struct{ field *schema.Field }

// Name implements clause.Interface.
func (ofTenant) Name() string { return "" }

// Build implements clause.Interface.
func (ofTenant) Build(clause.Builder) {}

// MergeClause implements clause.Interface.
func (ofTenant) MergeClause(*clause.Clause) {}

// ModifyStatement implements gorm.StatementModifier.
func (o ofTenant) ModifyStatement(stmt *gorm.Statement) {
	if stmt.Unscoped {
		return
	}
	stmt.AddClause(clause.Where{Exprs: []clause.Expression{
		clause.Eq{Column: clause.Column{Table: clause.CurrentTable, Name: o.field.DBName}, Value: ownTenant},
	}})
}

// types are the words of the engines for what the tables need.
var types = map[string]map[string]string{
	"sqlite": {
		"SERIAL": "INTEGER PRIMARY KEY AUTOINCREMENT", "NOCASE": "TEXT COLLATE NOCASE", "TIME": "datetime", "MADE": "TEXT PRIMARY KEY DEFAULT (lower(hex(randomblob(8))))",
	},
	"postgres": {
		"SERIAL": "BIGSERIAL PRIMARY KEY", "NOCASE": "TEXT COLLATE nocase", "TIME": "timestamptz(3)", "MADE": "TEXT PRIMARY KEY DEFAULT gen_random_uuid()::text",
	},
	"mysql": {
		"SERIAL": "BIGINT PRIMARY KEY AUTO_INCREMENT", "NOCASE": "VARCHAR(50)", "TIME": "datetime(3)", "MADE": "VARCHAR(50) PRIMARY KEY DEFAULT (uuid())",
	},
}

// tablesOf returns how to make tables, in words that each engine has.
func tablesOf(statements ...string) func(Engine) []string {
	return func(e Engine) []string {
		var made []string
		if e.SQL == "postgres" {
			made = append(made, "CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
		}
		for _, statement := range statements {
			for word, meaning := range types[e.SQL] {
				statement = strings.ReplaceAll(statement, word, meaning)
			}
			made = append(made, statement)
		}
		return made
	}
}

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
	return []subject{
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
	}
}
