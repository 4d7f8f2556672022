package writetest

import (
	"database/sql"
	"math/rand/v2"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// now has a monotonic reading, which no table keeps.
var now = time.Now()

func aKind(r *rand.Rand) *string { return ptr(pick(r, "a", "b")) }

func aTime(r *rand.Rand) time.Time { return pick(r, append(moments, now)...) }

// maybe returns a pointer to the value, or nil.
func maybe[T any](r *rand.Rand, value T) *T {
	if r.IntN(4) == 0 {
		return nil
	}
	return &value
}

func aSize(r *rand.Rand) Size {
	return Size{Width: maybe(r, r.IntN(9)), Unit: maybe(r, title(r)), At: maybe(r, aTime(r))}
}

func someContents(r *rand.Rand) Contents {
	return Contents{
		Kind: aKind(r), Title: title(r), Bytes: []byte(title(r)), Due: aTime(r), Seen: maybe(r, aTime(r)),
		Until: maybe(r, sql.NullTime{Time: aTime(r), Valid: true}), Nick: maybe(r, sql.NullString{String: title(r), Valid: true}),
		Words: Words{title(r), title(r)}, More: maybe(r, Words{title(r)}), Meta: map[string]any{"k": title(r)},
		Amount: maybe(r, Decimal("1.005")), Size: aSize(r), Inner: maybe(r, aSize(r)),
	}
}

func aParcel(r *rand.Rand) *Parcel {
	p := &Parcel{ID: uint(r.IntN(6)), Contents: someContents(r)}
	if r.IntN(4) == 0 {
		p.Keeper = &Keeper{ID: uint(r.IntN(3)), Name: maybe(r, title(r))}
		p.Labels = []Label{{Text: maybe(r, title(r))}, {ID: uint(1 + r.IntN(3)), Text: ptr(title(r))}}
	}
	return p
}

func aPacket(r *rand.Rand) *Packet {
	return &Packet{ID: uint(r.IntN(6)), Contents: someContents(r)}
}

// assigned returns columns with values of every kind, some of them by pointers.
func assigned(r *rand.Rand) map[string]any {
	given := map[string]any{}
	for name, value := range map[string]any{
		"kind": aKind(r), "title": ptr(title(r)), "bytes": []byte(title(r)), "due": ptr(aTime(r)), "seen": ptr(aTime(r)),
		"until": &sql.NullTime{Time: aTime(r), Valid: true}, "nick": &sql.NullString{String: title(r), Valid: true}, "Words": &Words{title(r)},
		"more": Words{title(r)}, "amount": ptr(Decimal("2.005")), "size_width": ptr(r.IntN(9)), "size_at": ptr(aTime(r)),
		"inner_unit": ptr(title(r)), "inner_at": ptr(aTime(r)), "meta": map[string]any{"k": "v"},
	} {
		given[name] = value
	}
	for _, name := range []string{"kind", "title", "bytes", "due", "seen", "until", "nick", "Words", "more", "amount", "size_width", "size_at", "inner_unit", "inner_at", "meta"} {
		if r.IntN(3) > 0 {
			delete(given, name)
		}
	}
	return given
}

func aCrate(r *rand.Rand) *Crate {
	return &Crate{ID: []byte{0xff, byte(r.IntN(4))}, Title: title(r)}
}

// gifts are the writes of Given.
var gifts = append(append([]gift{
	{name: "save with associations", run: func(r *rand.Rand, db *gorm.DB) ([]any, *gorm.DB) {
		p := aParcel(r)
		return []any{p}, db.Session(&gorm.Session{FullSaveAssociations: true}).Save(p)
	}},
	{name: "several maps", not: "sqlite postgres", run: func(r *rand.Rand, db *gorm.DB) ([]any, *gorm.DB) {
		m := []map[string]any{assigned(r)}
		m = append(m, map[string]any{})
		for name := range m[0] {
			m[1][name] = m[0][name]
		}
		return []any{m}, db.Model(&Parcel{}).Create(m)
	}},
	{name: "append labels", run: func(r *rand.Rand, db *gorm.DB) ([]any, *gorm.DB) {
		p, label := &Parcel{ID: uint(1 + r.IntN(5))}, &Label{Text: ptr(title(r))}
		err := db.Model(p).Association("Labels").Append(label)
		return []any{p, label}, &gorm.DB{Error: err}
	}},
	{name: "replace the keeper", run: func(r *rand.Rand, db *gorm.DB) ([]any, *gorm.DB) {
		p, k := &Parcel{ID: uint(1 + r.IntN(5))}, &Keeper{Name: ptr(title(r))}
		err := db.Model(p).Association("Keeper").Replace(k)
		return []any{p, k}, &gorm.DB{Error: err}
	}},
	{name: "create a crate", run: func(r *rand.Rand, db *gorm.DB) ([]any, *gorm.DB) {
		c := aCrate(r)
		return []any{c}, db.Clauses(clause.OnConflict{DoNothing: true}).Create(c)
	}},
	{name: "save crates", run: func(r *rand.Rand, db *gorm.DB) ([]any, *gorm.DB) {
		c := []*Crate{aCrate(r), aCrate(r)}
		return []any{c}, db.Save(c)
	}},
	{name: "update a crate", run: func(r *rand.Rand, db *gorm.DB) ([]any, *gorm.DB) {
		c := aCrate(r)
		return []any{c}, db.Model(c).Update("title", &c.Title)
	}},
	{name: "move a crate", run: func(r *rand.Rand, db *gorm.DB) ([]any, *gorm.DB) {
		old, key := aCrate(r).ID, aCrate(r).ID
		return []any{old, key}, db.Model(&Crate{}).Where("id = ?", old).Update("id", key)
	}},
	{name: "delete a crate", run: func(r *rand.Rand, db *gorm.DB) ([]any, *gorm.DB) {
		c := aCrate(r)
		return []any{c}, db.Delete(c)
	}},
}, giftsOf("parcel", aParcel)...), giftsOf("packet", aPacket)...)

// giftsOf returns the writes that each model with Contents has.
func giftsOf[T any](model string, one func(r *rand.Rand) *T) []gift {
	some := func(r *rand.Rand) []*T { return []*T{one(r), one(r), one(r)} }
	key := func(r *rand.Rand) uint { return uint(1 + r.IntN(5)) }
	keyed := func(r *rand.Rand, db *gorm.DB) *gorm.DB { return db.Model(new(T)).Where("id = ?", key(r)) }
	upsert := func(r *rand.Rand, db *gorm.DB, conflict clause.OnConflict) ([]any, *gorm.DB) {
		rows := some(r)
		return []any{rows, &conflict}, db.Clauses(conflict).Create(&rows)
	}
	gifts := []gift{
		{name: "create", run: func(r *rand.Rand, db *gorm.DB) ([]any, *gorm.DB) {
			row := one(r)
			return []any{row}, db.Create(row)
		}},
		{name: "create some", run: func(r *rand.Rand, db *gorm.DB) ([]any, *gorm.DB) {
			rows := some(r)
			return []any{&rows}, db.CreateInBatches(&rows, 2)
		}},
		{name: "create a map", run: func(r *rand.Rand, db *gorm.DB) ([]any, *gorm.DB) {
			m := assigned(r)
			return []any{m}, db.Model(new(T)).Create(m)
		}},
		{name: "save", run: func(r *rand.Rand, db *gorm.DB) ([]any, *gorm.DB) {
			row := one(r)
			return []any{row}, db.Save(row)
		}},
		{name: "save some", run: func(r *rand.Rand, db *gorm.DB) ([]any, *gorm.DB) {
			rows := some(r)
			return []any{&rows}, db.Save(&rows)
		}},
		{name: "updates of a struct", run: func(r *rand.Rand, db *gorm.DB) ([]any, *gorm.DB) {
			row := one(r)
			return []any{row}, keyed(r, db).Updates(row)
		}},
		{name: "updates of everything", run: func(r *rand.Rand, db *gorm.DB) ([]any, *gorm.DB) {
			row := one(r)
			return []any{row}, db.Model(row).Select("*").Updates(row)
		}},
		{name: "updates of a map", run: func(r *rand.Rand, db *gorm.DB) ([]any, *gorm.DB) {
			m := assigned(r)
			return []any{m}, keyed(r, db).Updates(m)
		}},
		{name: "updates of a map, a model", run: func(r *rand.Rand, db *gorm.DB) ([]any, *gorm.DB) {
			row, m := one(r), assigned(r)
			return []any{row, m}, db.Model(row).Updates(&m)
		}},
		{name: "update columns by condition", run: func(r *rand.Rand, db *gorm.DB) ([]any, *gorm.DB) {
			kind, m := aKind(r), assigned(r)
			return []any{kind, m}, db.Model(new(T)).Where("kind = ?", kind).UpdateColumns(m)
		}},
		{name: "update a column twice", run: func(r *rand.Rand, db *gorm.DB) ([]any, *gorm.DB) {
			m := map[string]any{"Seen": ptr(aTime(r)), "seen": aTime(r), "Kind": aKind(r), "kind": "c"}
			return []any{m}, db.Model(*new(T)).Where("id = ?", key(r)).Updates(m)
		}},
		{name: "upsert, everything", run: func(r *rand.Rand, db *gorm.DB) ([]any, *gorm.DB) {
			return upsert(r, db, clause.OnConflict{UpdateAll: true})
		}},
		{name: "upsert, nothing", run: func(r *rand.Rand, db *gorm.DB) ([]any, *gorm.DB) {
			return upsert(r, db, clause.OnConflict{DoNothing: true})
		}},
		{name: "upsert, columns", run: func(r *rand.Rand, db *gorm.DB) ([]any, *gorm.DB) {
			return upsert(r, db, clause.OnConflict{Columns: []clause.Column{{Name: "id"}}, DoUpdates: clause.AssignmentColumns([]string{"kind", "seen", "until"})})
		}},
		{name: "upsert, values", run: func(r *rand.Rand, db *gorm.DB) ([]any, *gorm.DB) {
			return upsert(r, db, clause.OnConflict{Columns: []clause.Column{{Name: "id"}}, DoUpdates: clause.Assignments(map[string]any{"seen": ptr(aTime(r)), "nick": &sql.NullString{String: "z", Valid: true}})})
		}},
		{name: "first or create", run: func(r *rand.Rand, db *gorm.DB) ([]any, *gorm.DB) {
			row, assign, k := new(T), one(r), key(r)
			return []any{row, assign}, db.Where("id = ?", k).Assign(assign).FirstOrCreate(row)
		}},
		{name: "delete", run: func(r *rand.Rand, db *gorm.DB) ([]any, *gorm.DB) {
			row := one(r)
			return []any{row}, db.Delete(row)
		}},
		{name: "delete some", run: func(r *rand.Rand, db *gorm.DB) ([]any, *gorm.DB) {
			rows := some(r)
			return []any{rows}, db.Unscoped().Delete(&rows)
		}},
		{name: "delete by condition", run: func(r *rand.Rand, db *gorm.DB) ([]any, *gorm.DB) {
			row, seen := new(T), aTime(r)
			return []any{row, &seen}, db.Where("seen = ?", &seen).Delete(row)
		}},
		{name: "returning", not: "mysql", run: func(r *rand.Rand, db *gorm.DB) ([]any, *gorm.DB) {
			rows, m, returning := []T{}, assigned(r), &clause.Returning{Columns: []clause.Column{{Name: "id"}, {Name: "seen"}, {Name: "words"}}}
			return []any{&rows, m, returning}, db.Model(&rows).Clauses(returning).Where("id < ?", key(r)).Updates(m)
		}},
	}
	for i := range gifts {
		gifts[i].name = model + ", " + gifts[i].name
	}
	return gifts
}
