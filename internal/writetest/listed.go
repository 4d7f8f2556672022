package writetest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/rohrpost/rohrpost"
	"gorm.io/gorm"
)

// Models whose objects are listed columns.
type (
	// Listed is grouped by a column. The table keeps other values than those in memory, and
	// makes one itself.
	Listed struct {
		rohrpost.NotifyOnChange `rohrpost:"group:board-{board_id};payload:title,amount,at,count,marked,updated_at"`
		ID                      uint
		BoardID                 int
		Title                   string     `json:"title"`
		Amount                  Decimal    `json:"amount,omitempty"`
		At                      *time.Time `json:"at,omitempty"`
		Count                   int64      `json:",string"`
		Marked                  string     `gorm:"->"`
		Secret                  string
		UpdatedAt               time.Time `json:"updated_at"`
	}

	// Noted is in one group, so that nothing need be read for an update by key.
	Noted struct {
		rohrpost.NotifyOnChange `rohrpost:"group:noteds;payload:title,at,count,updated_at"`
		ID                      uint
		Title                   string     `json:"title"`
		At                      *time.Time `json:"at"`
		Count                   int64
		Secret                  string
		UpdatedAt               time.Time `json:"updated_at"`
		DeletedAt               gorm.DeletedAt
	}
)

// ordered encodes pairs of keys and values.
func ordered(pairs ...any) json.RawMessage {
	text := "{"
	for i := 0; i < len(pairs); i += 2 {
		value, _ := json.Marshal(pairs[i+1])
		text += fmt.Sprintf("%q:%s,", pairs[i], value)
	}
	return json.RawMessage(text[:len(text)-1] + "}")
}

func (l *Listed) shown() (string, any) {
	return fmt.Sprint("board-", l.BoardID), ordered("id", l.ID, "title", l.Title, "amount", l.Amount, "at", l.At,
		"Count", fmt.Sprint(l.Count), "Marked", l.Marked, "updated_at", l.UpdatedAt)
}

func (n *Noted) shown() (string, any) {
	if n.DeletedAt.Valid {
		return "", nil
	}
	return "noteds", ordered("id", n.ID, "title", n.Title, "at", n.At, "Count", n.Count, "updated_at", n.UpdatedAt)
}

func listedSubjects() []subject {
	moment := func(r *rand.Rand) *time.Time { return pick(r, nil, &moments[0], &moments[1]) }
	return []subject{
		newSubject("listed columns", tablesOf("CREATE TABLE listeds (id SERIAL, board_id INT, title VARCHAR(50), amount NUMERIC(10,2), at TIME, "+
			"count BIGINT, marked MARKED(title), secret VARCHAR(50), updated_at TIME)"), generate[Listed]{
			row: func(r *rand.Rand) Listed {
				return Listed{ID: id(r), BoardID: 1 + r.IntN(2), Title: title(r), Amount: pick(r, Decimal("1.005"), "2"), At: moment(r), Count: r.Int64N(9), Secret: "s"}
			},
			key: func(r *rand.Rand) Listed { return Listed{ID: 1 + id(r)} },
			values: func(r *rand.Rand) map[string]any {
				return pick(r, map[string]any{"title": title(r), "at": moment(r)}, map[string]any{"board_id": 1 + r.IntN(2)}, map[string]any{"count": 7},
					map[string]any{"secret": "x"}, map[string]any{"amount": pick(r, "1.005", "2"), "secret": "x"})
			},
			where:   func(r *rand.Rand) (string, any) { return "title = ?", title(r) },
			updated: []string{"board_id", "title", "amount"},
		}, listedSteps(&Listed{}, func(id uint) any { return &Listed{ID: id} })...),
		newSubject("listed columns in one group", tablesOf("CREATE TABLE noteds (id SERIAL, title VARCHAR(50), at TIME, count BIGINT, secret VARCHAR(50), "+
			"updated_at TIME, deleted_at TIME)"), generate[Noted]{
			row: func(r *rand.Rand) Noted {
				return Noted{ID: id(r), Title: title(r), At: moment(r), Count: r.Int64N(9), Secret: "s"}
			},
			key: func(r *rand.Rand) Noted { return Noted{ID: 1 + id(r)} },
			values: func(r *rand.Rand) map[string]any {
				return pick(r, map[string]any{"title": title(r), "at": moment(r)}, map[string]any{"at": time.Now()}, map[string]any{"count": 7}, map[string]any{"secret": "x"})
			},
			where:   func(r *rand.Rand) (string, any) { return "title = ?", title(r) },
			updated: []string{"title", "at", "updated_at"},
		}, append(listedSteps(&Noted{}, func(id uint) any { return &Noted{ID: id} }),
			step{"restore", func(r *rand.Rand, db *gorm.DB) error {
				return db.Unscoped().Model(&Noted{ID: 1 + id(r)}).Update("deleted_at", nil).Error
			}})...),
	}
}

// listedSteps are writes whose values only the database knows.
func listedSteps(model any, keyed func(id uint) any) []step {
	return []step{
		{"expression", func(r *rand.Rand, db *gorm.DB) error {
			return db.Model(keyed(1 + id(r))).Updates(map[string]any{"count": gorm.Expr("count + 1"), "title": title(r)}).Error
		}},
		{"expression by condition", func(r *rand.Rand, db *gorm.DB) error {
			return db.Model(model).Where("title = ?", title(r)).Update("count", gorm.Expr("count + 1")).Error
		}},
		{"a value of another type", func(r *rand.Rand, db *gorm.DB) error {
			return db.Model(keyed(1+id(r))).Update("count", pick[any](r, "7", int8(3), 2.0, true)).Error
		}},
		{"by condition", func(r *rand.Rand, db *gorm.DB) error {
			return db.Model(model).Where("id > ?", id(r)).Updates(map[string]any{"title": title(r), "at": pick(r, moments...)}).Error
		}},
		{"only what is not listed", func(r *rand.Rand, db *gorm.DB) error {
			return db.Model(model).Where("id > ?", id(r)).UpdateColumn("secret", "y").Error
		}},
	}
}
