package writetest

import (
	"errors"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

const missed = "rows that another transaction brings into the condition just before the statement are missed at READ COMMITTED"

// readFirst and deletesFirst say where the rows are read before a statement by
// condition, since the database does not tell them.
var (
	readFirst    = map[string]string{"mysql": missed}
	deletesFirst = map[string]string{"MySQL": missed}
)

// deletes lists every way to delete.
var deletes = []write{
	{
		via: "DB.Delete", how: "by key", run: func(db *gorm.DB) error { return db.Delete(&Task{ID: 1}).Error },
		want: []string{`delete task-1 {"id":1}`},
	},
	{
		via: "DB.Delete", how: "by key, the row needed", run: func(db *gorm.DB) error { return db.Delete(&Ticket{ID: 2}).Error },
		want: []string{`delete board-2 {"board":2,"id":2,"title":"b"}`},
	},
	{
		via: "DB.Delete", how: "a key beside", run: func(db *gorm.DB) error { return db.Delete(&Task{}, 1).Error },
		want: []string{`delete task-1 {"id":1}`}, inexact: deletesFirst,
	},
	{
		via: "DB.Delete", how: "a list of keys", run: func(db *gorm.DB) error { return db.Delete(&Task{}, []int{10, 2, 99}).Error },
		want: []string{`delete task-2 {"id":2}`, `delete task-10 {"id":10}`}, inexact: deletesFirst,
	},
	{
		via: "DB.Delete", how: "a slice of models", run: func(db *gorm.DB) error { return db.Delete(&[]Task{{ID: 1}, {ID: 2}, {ID: 99}}).Error },
		want: []string{`delete task-1 {"id":1}`, `delete task-2 {"id":2}`},
	},
	{
		via: "DB.Delete", how: "by condition", run: func(db *gorm.DB) error { return db.Where("id > ?", 1).Delete(&Task{}).Error },
		want: []string{`delete task-2 {"id":2}`, `delete task-10 {"id":10}`}, inexact: deletesFirst,
	},
	{via: "DB.Delete", how: "a subquery", run: func(db *gorm.DB) error {
		return db.Where("id IN (?)", db.Model(&Note{}).Select("id")).Delete(&Task{}).Error
	}, want: []string{`delete task-1 {"id":1}`, `delete task-2 {"id":2}`}, inexact: deletesFirst},
	{via: "DB.Delete", how: "Order and Limit", run: func(db *gorm.DB) error {
		return db.Where("id > 0").Order("id DESC").Limit(2).Delete(&Task{}).Error
	}, only: "mysql", want: []string{`delete task-2 {"id":2}`, `delete task-10 {"id":10}`}, inexact: deletesFirst},
	{via: "DB.Delete", how: "a missing row", run: func(db *gorm.DB) error { return db.Delete(&Task{ID: 99}).Error }, want: []string{}},
	{
		via: "DB.Delete", how: "softly, by key", run: func(db *gorm.DB) error { return db.Delete(&Note{ID: 1}).Error },
		want: []string{`delete project-1 {"id":1}`},
	},
	{
		via: "DB.Delete", how: "softly, by condition", run: func(db *gorm.DB) error { return db.Where("id > 0").Delete(&Note{}).Error },
		want: []string{`delete project-1 {"id":1}`, `delete project-2 {"id":2}`}, inexact: readFirst,
	},
	{via: "DB.Delete", how: "softly, what is deleted", run: func(db *gorm.DB) error { return db.Delete(&Note{ID: 3}).Error }, want: []string{}},
	{
		via: "DB.Delete", how: "Unscoped", run: func(db *gorm.DB) error { return db.Unscoped().Where("id > 0").Delete(&Note{}).Error },
		want: []string{`delete project-1 {"id":1}`, `delete project-2 {"id":2}`}, inexact: deletesFirst,
	},
	{
		via: "DB.Delete", how: "Unscoped, what is deleted softly", run: func(db *gorm.DB) error { return db.Unscoped().Delete(&Note{ID: 3}).Error },
		want: []string{},
	},
	{
		via: "DB.Delete", how: "without a key", run: func(db *gorm.DB) error { return db.Where("kind = ?", "k").Delete(&Event{}).Error },
		want: []string{`delete events-k {"text":"a"}`}, inexact: deletesFirst,
	},
	{
		via: "DB.Delete", how: "composite key", run: func(db *gorm.DB) error { return db.Delete(&Cell{Sheet: "x", Place: 1}).Error },
		want: []string{`delete cell-x:1 {"id":["x",1]}`},
	},
	{via: "DB.Delete", how: "Select(clause.Associations)", run: func(db *gorm.DB) error {
		return db.Select(clause.Associations).Delete(&Author{ID: 1}).Error
	}, anyOrder: true, want: []string{`delete books {"id":1}`, `delete books {"id":2}`, `delete profile-1 {"id":1}`, `delete author-1 {"id":1}`}},
	{
		via: "DB.Delete", how: "the caller's own RETURNING", run: func(db *gorm.DB) error {
			return db.Clauses(clause.Returning{}).Where("id < 3").Delete(&[]Task{}).Error
		}, only: "sqlite postgres", want: []string{`delete task-1 {"id":1}`, `delete task-2 {"id":2}`},
		inexact: map[string]string{"postgres": missed},
	},
	{via: "G.Delete", how: "by condition", run: func(db *gorm.DB) error {
		_, err := gorm.G[Task](db).Where("id > ?", 1).Delete(ctx)
		return err
	}, want: []string{`delete task-2 {"id":2}`, `delete task-10 {"id":10}`}, inexact: deletesFirst},
}

// upserts lists the ways a create may meet rows.
var upserts = []write{
	{via: "DB.Create", how: "ON CONFLICT DO NOTHING, keys", run: func(db *gorm.DB) error {
		return db.Clauses(clause.OnConflict{DoNothing: true}).Create(&[]Task{{ID: 1}, {ID: 70}}).Error
	}, want: []string{`create task-70 {"id":70}`}},
	{via: "DB.Create", how: "ON CONFLICT DO NOTHING, no keys", run: func(db *gorm.DB) error {
		return db.Clauses(clause.OnConflict{DoNothing: true}).Create(&[]Task{{}, {}}).Error
	}, want: []string{`create task-100 {"id":100}`, `create task-101 {"id":101}`}},
	{
		via: "DB.Create", how: "ON CONFLICT DO NOTHING, some keys", run: func(db *gorm.DB) error {
			return db.Clauses(clause.OnConflict{DoNothing: true}).Create(&[]Task{{ID: 1}, {}, {ID: 70}}).Error
		}, want: []string{`create task-70 {"id":70}`, `create task-100 {"id":100}`},
		differ: map[string][]string{"MySQL": {`create task-70 {"id":70}`, `resync task-{pk} {"reason":"unknown"}`}},
	},
	{
		via: "DB.Create", how: "ON CONFLICT DO NOTHING, a unique column", run: func(db *gorm.DB) error {
			return db.Clauses(clause.OnConflict{DoNothing: true}).Create(&[]Account{{Email: "a"}, {Email: "z"}}).Error
		}, want: []string{`create account-101 {"id":101}`},
		differ: map[string][]string{"mysql": {`create account-100 {"id":100}`}},
	},
	{via: "DB.Create", how: "ON CONFLICT DO UPDATE, keys", run: func(db *gorm.DB) error {
		return db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "id"}}, DoUpdates: clause.AssignmentColumns([]string{"title"})}).
			Create(&[]Ticket{{ID: 1, Title: "z", BoardID: 9}, {ID: 70, BoardID: 9}}).Error
	}, want: []string{`update board-1 {"board":1,"id":1,"title":"z"} title`, `create board-9 {"board":9,"id":70,"title":""}`}},
	{
		via: "DB.Create", how: "ON CONFLICT DO UPDATE, some keys", run: func(db *gorm.DB) error {
			return db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "id"}}, DoUpdates: clause.AssignmentColumns([]string{"title"})}).
				Create(&[]Task{{ID: 1, Title: "z"}, {}}).Error
		}, want: []string{`update task-1 {"id":1} title`, `create task-100 {"id":100}`},
		differ: map[string][]string{"MySQL": {`update task-1 {"id":1} title`, `resync task-{pk} {"reason":"unknown"}`}},
	},
	{
		via: "DB.Create", how: "ON CONFLICT DO UPDATE, a unique column", run: func(db *gorm.DB) error {
			return db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "email"}}, DoUpdates: clause.AssignmentColumns([]string{"text"})}).
				Create(&[]Account{{Email: "a", Text: "z"}, {Email: "z", Text: "z"}}).Error
		}, want: []string{`update account-1 {"id":1} text`, `create account-101 {"id":101}`},
		differ: map[string][]string{"mysql": {`update account-1 {"id":1} text`, `create account-100 {"id":100}`}},
	},
	{via: "DB.Create", how: "ON CONFLICT DO UPDATE WHERE", run: func(db *gorm.DB) error {
		return db.Clauses(clause.OnConflict{
			Columns: []clause.Column{{Name: "id"}}, DoUpdates: clause.AssignmentColumns([]string{"title"}),
			Where: clause.Where{Exprs: []clause.Expression{clause.Expr{SQL: "tickets.board_id = 1"}}},
		}).Create(&[]Ticket{{ID: 1, Title: "z", BoardID: 9}, {ID: 2, Title: "z", BoardID: 9}}).Error
	}, only: "sqlite postgres", want: []string{`update board-1 {"board":1,"id":1,"title":"z"} title`}},
	{via: "DB.Create", how: "ON CONFLICT, UpdateAll, into another group", run: func(db *gorm.DB) error {
		return db.Clauses(clause.OnConflict{UpdateAll: true}).Create(&Ticket{ID: 1, Title: "z", BoardID: 9}).Error
	}, want: []string{`delete board-1 {"board":1,"id":1,"title":"a"}`, `create board-9 {"board":9,"id":1,"title":"z"}`}},
	{via: "DB.Create", how: "ON CONFLICT, UpdateAll, a soft-deleted row", run: func(db *gorm.DB) error {
		return db.Clauses(clause.OnConflict{UpdateAll: true}).Create(&Note{ID: 3, ProjectID: 1, Text: "z"}).Error
	}, want: []string{`create project-1 {"id":3}`}},
	{via: "DB.Create", how: "ON CONFLICT DO UPDATE, which sets the key", run: func(db *gorm.DB) error {
		return db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "email"}}, DoUpdates: clause.AssignmentColumns([]string{"id", "text"})}).
			Create(&[]Account{{ID: 70, Email: "a", Text: "z"}, {ID: 71, Email: "z"}}).Error
	}, want: []string{`delete account-1 {"id":1}`, `create account-70 {"id":70}`, `create account-71 {"id":71}`}},
	{via: "DB.Create", how: "INSERT IGNORE", run: func(db *gorm.DB) error {
		return db.Clauses(clause.Insert{Modifier: "IGNORE"}).Create(&[]Ticket{{ID: 1, BoardID: 9}, {ID: 70, BoardID: 9}}).Error
	}, only: "mysql", want: []string{`create board-9 {"board":9,"id":70,"title":""}`}},
	{via: "DB.Create", how: "INSERT OR IGNORE", run: func(db *gorm.DB) error {
		return db.Clauses(clause.Insert{Modifier: "OR IGNORE"}).Create(&[]Ticket{{ID: 1, BoardID: 9}, {ID: 70, BoardID: 9}}).Error
	}, only: "sqlite", want: []string{`create board-9 {"board":9,"id":70,"title":""}`}},
	{via: "DB.Create", how: "INSERT OR REPLACE", run: func(db *gorm.DB) error {
		return db.Clauses(clause.Insert{Modifier: "OR REPLACE"}).Create(&[]Ticket{{ID: 1, BoardID: 9}, {ID: 70, BoardID: 9}}).Error
	}, only: "sqlite", want: []string{`delete board-1 {"board":1,"id":1,"title":"a"}`, `create board-9 {"board":9,"id":1,"title":""}`, `create board-9 {"board":9,"id":70,"title":""}`}},
}

// associations lists the ways of GORM's associations. Join tables are no models
// and are not announced.
var associations = []write{
	{via: "DB.Create", how: "with associations", run: func(db *gorm.DB) error {
		return db.Create(&Author{
			ID: 50, Publisher: &Publisher{ID: 50}, Books: []Book{{ID: 50}, {}}, Profile: &Profile{ID: 50}, Tags: []Tag{{ID: 1}, {ID: 50}},
		}).Error
	}, want: []string{
		`create publisher-50 {"id":50}`, `create author-50 {"id":50}`, `create profile-50 {"id":50}`,
		`create books {"id":50}`, `create books {"id":100}`, `create tag-50 {"id":50}`,
	}, differ: map[string][]string{"MySQL": {
		`create publisher-50 {"id":50}`, `create author-50 {"id":50}`, `create profile-50 {"id":50}`,
		`create books {"id":50}`, `resync books {"reason":"unknown"}`, `create tag-50 {"id":50}`,
	}}},
	{via: "DB.Save", how: "FullSaveAssociations", run: func(db *gorm.DB) error {
		return db.Session(&gorm.Session{FullSaveAssociations: true}).
			Save(&Author{ID: 1, Name: "z", Publisher: &Publisher{ID: 1, Name: "z"}, Books: []Book{{ID: 1, Title: "z"}, {ID: 60}}}).Error
	}, want: []string{`update publisher-1 {"id":1}`, `update author-1 {"id":1}`, `update books {"id":1}`, `create books {"id":60}`}},
	{via: "DB.Updates", how: "with an association", run: func(db *gorm.DB) error {
		return db.Updates(&Author{ID: 1, Name: "z", Books: []Book{{ID: 3}}}).Error
	}, want: []string{`update author-1 {"id":1} name`, `update books {"id":3} author_id`}},
	{via: "Association.Append", how: "has many, a known and a new one", run: func(db *gorm.DB) error {
		return db.Model(&Author{ID: 1}).Association("Books").Append(&Book{ID: 3}, &Book{ID: 60})
	}, want: []string{`update books {"id":3} author_id`, `create books {"id":60}`}},
	{via: "Association.Append", how: "many to many, a known and a new one", run: func(db *gorm.DB) error {
		return db.Model(&Author{ID: 1}).Association("Tags").Append(&Tag{ID: 2}, &Tag{ID: 60})
	}, want: []string{`create tag-60 {"id":60}`}},
	{via: "Association.Append", how: "belongs to", run: func(db *gorm.DB) error {
		return db.Model(&Author{ID: 1}).Association("Publisher").Append(&Publisher{ID: 2})
	}, want: []string{`update author-1 {"id":1} publisher_id`}},
	{via: "Association.Replace", how: "has many", run: func(db *gorm.DB) error {
		return db.Model(&Author{ID: 1}).Association("Books").Replace(&Book{ID: 1}, &Book{ID: 3})
	}, want: []string{`update books {"id":1} author_id`, `update books {"id":3} author_id`, `update books {"id":2} author_id`}, inexact: readFirst},
	{via: "Association.Replace", how: "has one", run: func(db *gorm.DB) error {
		return db.Model(&Author{ID: 1}).Association("Profile").Replace(&Profile{ID: 60})
	}, want: []string{`create profile-60 {"id":60}`, `update profile-1 {"id":1} author_id`}, inexact: readFirst},
	{via: "Association.Delete", how: "has many", run: func(db *gorm.DB) error {
		return db.Model(&Author{ID: 1}).Association("Books").Delete(&Book{ID: 2})
	}, want: []string{`update books {"id":2} author_id`}, inexact: readFirst},
	{via: "Association.Delete", how: "has many, Unscoped", run: func(db *gorm.DB) error {
		return db.Model(&Author{ID: 1}).Association("Books").Unscoped().Delete(&Book{ID: 2})
	}, want: []string{`delete books {"id":2}`}},
	{via: "Association.Delete", how: "many to many", run: func(db *gorm.DB) error {
		return db.Model(&Author{ID: 1}).Association("Tags").Delete(&Tag{ID: 1})
	}, want: []string{}},
	{via: "Association.Append", how: "many to many, the join table is a marked model (SetupJoinTable)", run: func(db *gorm.DB) error {
		return errors.Join(db.SetupJoinTable(&Person{}, "Skills", &PersonSkill{}), db.Model(&Person{ID: 1}).Association("Skills").Append(&Skill{ID: 1}, &Skill{ID: 2}))
	}, want: []string{`create person-1 {"id":[1,1]}`, `create person-1 {"id":[1,2]}`}},
	{via: "Association.Delete", how: "many to many, the join table is a marked model (SetupJoinTable)", run: func(db *gorm.DB) error {
		if err := db.Create(&PersonSkill{PersonID: 1, SkillID: 2}).Error; err != nil {
			return err
		}
		return errors.Join(db.SetupJoinTable(&Person{}, "Skills", &PersonSkill{}), db.Model(&Person{ID: 1}).Association("Skills").Delete(&Skill{ID: 2}))
	}, want: []string{`create person-1 {"id":[1,2]}`, `delete person-1 {"id":[1,2]}`}},
	{via: "Association.Clear", how: "has many", run: func(db *gorm.DB) error {
		return db.Model(&Author{ID: 1}).Association("Books").Clear()
	}, want: []string{`update books {"id":1} author_id`, `update books {"id":2} author_id`}, inexact: readFirst},
	{via: "Association.Clear", how: "belongs to", run: func(db *gorm.DB) error {
		return db.Model(&Author{ID: 1}).Association("Publisher").Clear()
	}, want: []string{`update author-1 {"id":1} publisher_id`}},
}

// unseen lists what the plugin cannot see: raw SQL names no model.
var unseen = []write{
	{via: "DB.Exec", how: "raw SQL", run: func(db *gorm.DB) error { return db.Exec("UPDATE tasks SET title = 'y'").Error }, want: []string{}},
	{via: "DB.Raw", how: "raw SQL", run: func(db *gorm.DB) error {
		return db.Raw("UPDATE tasks SET title = 'y' WHERE id = 1").Scan(&[]Task{}).Error
	}, want: []string{}},
	{via: "G.Exec", how: "raw SQL", run: func(db *gorm.DB) error { return gorm.G[Task](db).Exec(ctx, "UPDATE tasks SET title = 'y'") }, want: []string{}},
	{via: "DB.Update", how: "Table without Model", run: func(db *gorm.DB) error {
		return db.Table("tasks").Where("id = 1").Update("title", "y").Error
	}, want: []string{}},
	{via: "G.Raw", how: "raw SQL", run: func(db *gorm.DB) error {
		_, err := gorm.G[Task](db).Raw("UPDATE tasks SET title = 'y' WHERE id = 1").Find(ctx)
		return err
	}, want: []string{}},
}
