package writetest

import (
	"encoding/json"
	"math/rand/v2"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// rowOf is a row of a subject: the group that it must be in, "" for none, and its object.
type rowOf[T any] interface {
	*T
	shown() (group string, object any)
}

// generate makes the parts of random writes to a model.
type generate[T any] struct {
	row      func(r *rand.Rand) T // a whole row; its key may be one that is there
	key      func(r *rand.Rand) T // a row with nothing but the key
	values   func(r *rand.Rand) map[string]any
	where    func(r *rand.Rand) (string, any)
	conflict []string // unique columns besides the key
	updated  []string // columns that an upsert updates
}

// newSubject returns a subject with the writes that every model has.
func newSubject[T any, P rowOf[T]](name string, tables func(Engine) []string, g generate[T], more ...step) subject {
	return subject{
		name: name, tables: tables, truth: truthOf[T, P], steps: append(g.steps(), more...),
		fresh: func(db *gorm.DB) error {
			if err := db.Session(&gorm.Session{AllowGlobalUpdate: true}).Unscoped().Delete(new(T)).Error; err != nil {
				return err
			}
			r := rand.New(rand.NewPCG(1, 2))
			for range 4 {
				row := g.row(r)
				if err := db.Clauses(clause.OnConflict{DoNothing: true}).Create(&row).Error; err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// truthOf reads the table. A page cannot show a row that the model refuses.
func truthOf[T any, P rowOf[T]](db *gorm.DB) page {
	shown := page{}
	rows, err := db.Session(&gorm.Session{NewDB: true}).Model(new(T)).Rows()
	if err != nil {
		return shown
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var row T
		if db.ScanRows(rows, &row) != nil {
			continue
		}
		if group, object := P(&row).shown(); group != "" {
			text, _ := json.Marshal(object)
			shown.set(group, string(text))
		}
	}
	return shown
}

func (g generate[T]) steps() []step {
	one := func(r *rand.Rand) *T { row := g.row(r); return &row }
	keyed := func(r *rand.Rand) *T { row := g.key(r); return &row }
	some := func(r *rand.Rand) *[]T { return &[]T{g.row(r), g.row(r), g.row(r)} }
	columns := func(r *rand.Rand, db *gorm.DB) *gorm.DB {
		condition, value := g.where(r)
		return db.Where(condition, value)
	}
	target := func(names []string) (list []clause.Column) {
		for _, name := range names {
			list = append(list, clause.Column{Name: name})
		}
		return list
	}
	steps := []step{
		{"create", func(r *rand.Rand, db *gorm.DB) error { return db.Create(one(r)).Error }},
		{"create some", func(r *rand.Rand, db *gorm.DB) error { return db.Create(some(r)).Error }},
		{"create of a map", func(r *rand.Rand, db *gorm.DB) error { return db.Model(new(T)).Create(g.values(r)).Error }},
		{"save", func(r *rand.Rand, db *gorm.DB) error { return db.Save(one(r)).Error }},
		{"save some", func(r *rand.Rand, db *gorm.DB) error { return db.Save(some(r)).Error }},
		{"updates by key", func(r *rand.Rand, db *gorm.DB) error { return db.Model(keyed(r)).Updates(g.values(r)).Error }},
		{"updates by key of a struct", func(r *rand.Rand, db *gorm.DB) error { return db.Model(keyed(r)).Updates(g.row(r)).Error }},
		{"updates of everything", func(r *rand.Rand, db *gorm.DB) error {
			row := one(r)
			return db.Model(row).Select("*").Updates(row).Error
		}},
		{"updates by condition", func(r *rand.Rand, db *gorm.DB) error {
			return columns(r, db.Model(new(T))).Updates(g.values(r)).Error
		}},
		{"delete by key", func(r *rand.Rand, db *gorm.DB) error { return db.Delete(keyed(r)).Error }},
		{"delete some", func(r *rand.Rand, db *gorm.DB) error { return db.Delete(&[]T{g.key(r), g.key(r)}).Error }},
		{"delete by condition", func(r *rand.Rand, db *gorm.DB) error { return columns(r, db).Delete(new(T)).Error }},
		{"upsert, nothing", func(r *rand.Rand, db *gorm.DB) error {
			return db.Clauses(clause.OnConflict{DoNothing: true}).Create(some(r)).Error
		}},
		{"upsert, everything", func(r *rand.Rand, db *gorm.DB) error {
			return db.Clauses(clause.OnConflict{UpdateAll: true}).Create(some(r)).Error
		}},
		{"upsert of one, everything", func(r *rand.Rand, db *gorm.DB) error {
			return db.Clauses(clause.OnConflict{UpdateAll: true}).Create(one(r)).Error
		}},
	}
	if g.updated != nil {
		for _, names := range [][]string{{"id"}, g.conflict} {
			if names == nil {
				continue
			}
			steps = append(steps, step{"upsert on " + names[0], func(r *rand.Rand, db *gorm.DB) error {
				return db.Clauses(clause.OnConflict{Columns: target(names), DoUpdates: clause.AssignmentColumns(g.updated)}).Create(some(r)).Error
			}})
		}
	}
	return steps
}
