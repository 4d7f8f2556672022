package writetest

import (
	"context"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// write is one way of writing: the method it goes by, and what is announced.
type write struct {
	via  string // the method of GORM
	how  string // as the documentation names it
	run  func(db *gorm.DB) error
	want []string

	anyOrder bool                // GORM itself takes the statements in any order
	only     string              // the engines that have it, by name or language; "": all
	differ   map[string][]string // what is announced instead, by engine
	inexact  map[string]string   // why an engine's announcement is not exact
}

var ctx = context.Background()

func ptr[T any](v T) *T { return &v }

// seed is what each write starts with.
func seed(db *gorm.DB) error {
	for _, rows := range []any{
		&[]Task{{ID: 1, Title: "a"}, {ID: 2, Title: "b"}, {ID: 10, Title: "c"}},
		&[]Ticket{{ID: 1, BoardID: 1, Title: "a"}, {ID: 2, BoardID: 2, Title: "b"}},
		&[]Note{{ID: 1, ProjectID: 1, Text: "a"}, {ID: 2, ProjectID: 2, Text: "b"}, {ID: 3, ProjectID: 1, Text: "gone"}},
		&[]Cell{{Sheet: "x", Place: 1}, {Sheet: "x", Place: 10}, {Sheet: "x", Place: -2}, {Sheet: "y", Place: 1}},
		&[]Blob{{ID: []byte{0xff, 1}}, {ID: []byte{0xff, 2}}},
		&[]Device{{ID: UUID{1}}, {ID: UUID{2}}},
		&[]Odd{{Code: "a", Kind: "k"}, {Code: "b", Kind: "l"}},
		&[]Event{{Kind: "k", Text: "a"}, {Kind: "l", Text: "b"}},
		&[]Member{{ID: 1, Team: "a", Boss: "x"}, {ID: 2, Team: "b"}},
		&[]Account{{ID: 1, Email: "a"}, {ID: 2, Email: "b"}},
		&[]Filtered{{ID: 1, Status: "s", Title: "t"}},
		&[]Memo{{ID: 1, Title: "a", Count: 5}, {ID: 2, Title: "b"}},
		&[]Slip{{ID: 1, BoardID: 1, Title: "a", Count: 5}},
		&[]Publisher{{ID: 1, Name: "p"}, {ID: 2, Name: "q"}},
		&[]Tag{{ID: 1, Name: "t"}, {ID: 2, Name: "u"}},
		&[]Author{{ID: 1, Name: "n", PublisherID: ptr(uint(1))}},
		&[]Book{{ID: 1, AuthorID: ptr(uint(1))}, {ID: 2, AuthorID: ptr(uint(1))}, {ID: 3}},
		&[]Profile{{ID: 1, AuthorID: ptr(uint(1))}},
		&[]Person{{ID: 1}}, &[]Skill{{ID: 1, Name: "a"}, {ID: 2, Name: "b"}},
	} {
		if err := db.Create(rows).Error; err != nil {
			return err
		}
	}
	if err := db.Delete(&Note{ID: 3}).Error; err != nil {
		return err
	}
	return db.Exec("INSERT INTO author_tags (author_id, tag_id) VALUES (1, 1)").Error
}

// writes lists every way there is. Generated keys continue at 100.
var writes = []write{
	{
		via: "DB.Create", how: "one", run: func(db *gorm.DB) error { return db.Create(&Task{Title: "x"}).Error },
		want: []string{`create task-100 {"id":100}`},
	},
	{
		via: "DB.Create", how: "with a key", run: func(db *gorm.DB) error { return db.Create(&Task{ID: 70}).Error },
		want: []string{`create task-70 {"id":70}`},
	},
	{
		via: "DB.Create", how: "a slice", run: func(db *gorm.DB) error { return db.Create(&[]Task{{}, {}}).Error },
		want: []string{`create task-100 {"id":100}`, `create task-101 {"id":101}`},
	},
	{
		via: "DB.Create", how: "a slice of pointers", run: func(db *gorm.DB) error { return db.Create([]*Ticket{{BoardID: 5}, {BoardID: 6}}).Error },
		want: []string{`create board-5 {"board":5,"id":100,"title":""}`, `create board-6 {"board":6,"id":101,"title":""}`},
	},
	{via: "DB.Create", how: "a map", run: func(db *gorm.DB) error {
		return db.Model(&Ticket{}).Create(map[string]any{"board_id": 5, "title": "m"}).Error
	}, want: []string{`create board-5 {"board":5,"id":100,"title":"m"}`}},
	{via: "DB.Create", how: "several maps, with keys", run: func(db *gorm.DB) error {
		return db.Model(&Ticket{}).Create([]map[string]any{{"id": 70, "board_id": 5}, {"id": 71, "board_id": 6}}).Error
	}, only: "MySQL", want: []string{`create board-5 {"board":5,"id":70,"title":""}`, `create board-6 {"board":6,"id":71,"title":""}`}},
	{via: "DB.Create", how: "leaving out a column", run: func(db *gorm.DB) error {
		return db.Omit("Title").Create(&Ticket{BoardID: 5, Title: "not written"}).Error
	}, want: []string{`create board-5 {"board":5,"id":100,"title":""}`}},
	{
		via: "DB.Create", how: "without a key", run: func(db *gorm.DB) error { return db.Create(&Event{Kind: "k", Text: "x"}).Error },
		want: []string{`create events-k {"text":"x"}`},
	},
	{
		via: "DB.Create", how: "several groups", run: func(db *gorm.DB) error { return db.Create(&Member{Team: "a", Boss: "y"}).Error },
		want: []string{`create team-a {"id":100}`, `create boss-y {"id":100}`},
	},
	{
		via: "DB.CreateInBatches", how: "three in batches of two", run: func(db *gorm.DB) error { return db.CreateInBatches(&[]Task{{}, {}, {}}, 2).Error },
		want: []string{`create task-100 {"id":100}`, `create task-101 {"id":101}`, `create task-102 {"id":102}`},
	},
	{via: "DB.FirstOrCreate", how: "not found", run: func(db *gorm.DB) error {
		return db.Where(Task{Title: "new"}).FirstOrCreate(&Task{}).Error
	}, want: []string{`create task-100 {"id":100}`}},
	{via: "DB.FirstOrCreate", how: "found, Assign", run: func(db *gorm.DB) error {
		return db.Where(Task{Title: "a"}).Assign(Task{Done: true}).FirstOrCreate(&Task{}).Error
	}, want: []string{`update task-1 {"id":1} done`}},
	{
		via: "G.Create", how: "one", run: func(db *gorm.DB) error { return gorm.G[Task](db).Create(ctx, &Task{}) },
		want: []string{`create task-100 {"id":100}`},
	},
	{via: "G.CreateInBatches", how: "three in batches of two", run: func(db *gorm.DB) error {
		return gorm.G[Task](db).CreateInBatches(ctx, &[]Task{{}, {}, {}}, 2)
	}, want: []string{`create task-100 {"id":100}`, `create task-101 {"id":101}`, `create task-102 {"id":102}`}},
	{via: "G.Set.Create", how: "assignments", run: func(db *gorm.DB) error {
		return gorm.G[Ticket](db).Set(clause.Assignment{Column: clause.Column{Name: "board_id"}, Value: 5}).Create(ctx)
	}, want: []string{`create board-5 {"board":5,"id":100,"title":""}`}},

	{
		via: "DB.Save", how: "without a key", run: func(db *gorm.DB) error { return db.Save(&Task{Title: "y"}).Error },
		want: []string{`create task-100 {"id":100}`},
	},
	{
		via: "DB.Save", how: "a known key", run: func(db *gorm.DB) error { return db.Save(&Task{ID: 1, Title: "y"}).Error },
		want: []string{`update task-1 {"id":1}`},
	},
	{
		via: "DB.Save", how: "an unknown key", run: func(db *gorm.DB) error { return db.Save(&Task{ID: 70}).Error },
		want: []string{`create task-70 {"id":70}`},
	},
	{
		via: "DB.Save", how: "a slice of both", run: func(db *gorm.DB) error { return db.Save(&[]Task{{ID: 1, Title: "y"}, {ID: 71}}).Error },
		want: []string{`update task-1 {"id":1}`, `create task-71 {"id":71}`},
	},
	{
		via: "DB.Save", how: "into another group", run: func(db *gorm.DB) error { return db.Save(&Ticket{ID: 1, BoardID: 9, Title: "y"}).Error },
		want: []string{`delete board-1 {"board":1,"id":1,"title":"a"}`, `create board-9 {"board":9,"id":1,"title":"y"}`},
	},
	{via: "DB.Save", how: "a slice, into another group", run: func(db *gorm.DB) error {
		return db.Save(&[]Ticket{{ID: 1, BoardID: 9, Title: "y"}, {ID: 2, BoardID: 2, Title: "z"}}).Error
	}, want: []string{`delete board-1 {"board":1,"id":1,"title":"a"}`, `create board-9 {"board":9,"id":1,"title":"y"}`, `update board-2 {"board":2,"id":2,"title":"z"}`}},
	{via: "DB.Save", how: "a soft-deleted row, Unscoped", run: func(db *gorm.DB) error {
		return db.Unscoped().Save(&Note{ID: 3, ProjectID: 1, Text: "back"}).Error
	}, want: []string{`create project-1 {"id":3}`}},

	{
		via: "DB.Update", how: "a column, by key", run: func(db *gorm.DB) error { return db.Model(&Task{ID: 1}).Update("title", "y").Error },
		want: []string{`update task-1 {"id":1} title`},
	},
	{
		via: "DB.Update", how: "a missing row", run: func(db *gorm.DB) error { return db.Model(&Task{ID: 99}).Update("title", "y").Error },
		want: []string{},
	},
	{via: "DB.Update", how: "an expression, by key", run: func(db *gorm.DB) error {
		return db.Model(&Ticket{ID: 1}).Update("title", gorm.Expr("UPPER(title)")).Error
	}, want: []string{`update board-1 {"board":1,"id":1,"title":"A"} title`}},
	{via: "DB.Update", how: "by condition", run: func(db *gorm.DB) error {
		return db.Model(&Task{}).Where("id > ?", 1).Update("done", true).Error
	}, want: []string{`update task-2 {"id":2} done`, `update task-10 {"id":10} done`}, inexact: readFirst},
	{via: "DB.Update", how: "by condition, rows needed", run: func(db *gorm.DB) error {
		return db.Model(&Ticket{}).Where("title <> ?", "").Update("title", "y").Error
	}, want: []string{`update board-1 {"board":1,"id":1,"title":"y"} title`, `update board-2 {"board":2,"id":2,"title":"y"} title`}, inexact: readFirst},
	{via: "DB.Update", how: "a list of keys", run: func(db *gorm.DB) error {
		return db.Model(&Task{}).Where("id IN ?", []uint{2, 1, 99}).Update("done", true).Error
	}, want: []string{`update task-1 {"id":1} done`, `update task-2 {"id":2} done`}, inexact: readFirst},
	{via: "DB.Update", how: "a slice of models", run: func(db *gorm.DB) error {
		return db.Model(&[]Task{{ID: 2}, {ID: 1}, {ID: 99}}).Update("done", true).Error
	}, want: []string{`update task-1 {"id":1} done`, `update task-2 {"id":2} done`}, inexact: readFirst},
	{via: "DB.Update", how: "a subquery", run: func(db *gorm.DB) error {
		return db.Model(&Task{}).Where("id IN (?)", db.Model(&Note{}).Select("id").Where("text = ?", "b")).Update("done", true).Error
	}, want: []string{`update task-2 {"id":2} done`}, inexact: readFirst},
	{via: "DB.Update", how: "an alias", run: func(db *gorm.DB) error {
		return db.Table("tasks AS t").Model(&Task{}).Where("t.id = ?", 2).Update("done", true).Error
	}, want: []string{`update task-2 {"id":2} done`}, inexact: readFirst},
	{via: "DB.Update", how: "joined tables", run: func(db *gorm.DB) error {
		return db.Model(&Task{}).Clauses(clause.From{Tables: []clause.Table{{Name: "notes"}}}).
			Where("notes.id = tasks.id AND notes.text = ?", "b").Update("done", true).Error
	}, only: "sqlite postgres", want: []string{`update task-2 {"id":2} done`}},
	{via: "DB.Update", how: "Order and Limit", run: func(db *gorm.DB) error {
		return db.Model(&Task{}).Where("id > 0").Order("id DESC").Limit(2).Update("done", true).Error
	}, only: "mysql", want: []string{`update task-2 {"id":2} done`, `update task-10 {"id":10} done`}, inexact: readFirst},
	{via: "DB.Update", how: "into another group", run: func(db *gorm.DB) error {
		return db.Model(&Note{}).Where("project_id = ?", 1).Update("project_id", 9).Error
	}, want: []string{`delete project-1 {"id":1}`, `create project-9 {"id":1}`}, inexact: readFirst},
	{via: "DB.Update", how: "some of several groups", run: func(db *gorm.DB) error {
		return db.Model(&Member{ID: 1}).Update("boss", "y").Error
	}, want: []string{`delete boss-x {"id":1}`, `update team-a {"id":1} boss`, `create boss-y {"id":1}`}},
	{via: "DB.Update", how: "none of several groups", run: func(db *gorm.DB) error {
		return db.Model(&Member{ID: 1}).Update("text", "y").Error
	}, want: []string{`update team-a {"id":1} text`, `update boss-x {"id":1} text`}},
	{
		via: "DB.Update", how: "the key", run: func(db *gorm.DB) error {
			return db.Model(&Odd{Code: "a"}).Update("the key", "z").Error
		}, want: []string{`delete odd-k {"id":"a"}`, `create odd-k {"id":"z"}`},
	},
	{via: "DB.Update", how: "the update time itself", run: func(db *gorm.DB) error {
		return db.Model(&Task{ID: 1}).Update("updated_at", "2026-01-01 00:00:00").Error
	}, want: []string{`update task-1 {"id":1} updated_at`}},
	{
		via: "DB.Update", how: "a soft-deleted row", run: func(db *gorm.DB) error { return db.Model(&Note{ID: 3}).Update("text", "y").Error },
		want: []string{},
	},
	{
		via: "DB.Update", how: "a soft-deleted row, Unscoped", run: func(db *gorm.DB) error { return db.Unscoped().Model(&Note{}).Where("id > 1").Update("text", "y").Error },
		want: []string{`update project-2 {"id":2} text`}, inexact: readFirst,
	},
	{
		via: "DB.Update", how: "restore", run: func(db *gorm.DB) error { return db.Unscoped().Model(&Note{ID: 3}).Update("deleted_at", nil).Error },
		want: []string{`create project-1 {"id":3}`},
	},
	{via: "DB.Update", how: "deleted_at by hand", run: func(db *gorm.DB) error {
		return db.Model(&Note{}).Where("id < 3").Update("deleted_at", gorm.Expr("CURRENT_TIMESTAMP")).Error
	}, want: []string{`delete project-1 {"id":1}`, `delete project-2 {"id":2}`}, inexact: readFirst},
	{via: "DB.Update", how: "a column that the tag does not list", run: func(db *gorm.DB) error {
		return db.Model(&Filtered{ID: 1}).Update("text", "y").Error
	}, want: []string{}},
	{via: "DB.Update", how: "a column that the object does not show", run: func(db *gorm.DB) error {
		return db.Model(&Filtered{ID: 1}).Update("title", "y").Error
	}, want: []string{}},
	{via: "DB.Update", how: "a column that the tag lists", run: func(db *gorm.DB) error {
		return db.Model(&Filtered{ID: 1}).Update("status", "y").Error
	}, want: []string{`update filtered {"id":1,"status":"y"} status`}},
	{via: "DB.Update", how: "a column that a hook sets", run: func(db *gorm.DB) error {
		return db.Model(&Account{ID: 1}).Update("email", "z").Error
	}, want: []string{`update account-1 {"id":1} email,text`}},
	{via: "DB.Update", how: "composite keys", run: func(db *gorm.DB) error {
		return db.Model(&Cell{}).Where("sheet = ?", "x").Update("text", "y").Error
	}, want: []string{`update cell-x:-2 {"id":["x",-2]} text`, `update cell-x:1 {"id":["x",1]} text`, `update cell-x:10 {"id":["x",10]} text`}, inexact: readFirst},
	{via: "DB.Update", how: "bytes as key", run: func(db *gorm.DB) error {
		return db.Model(&Blob{}).Where("text = ?", "").Update("text", "y").Error
	}, want: []string{`update blob-_wE {"id":"/wE="} text`, `update blob-_wI {"id":"/wI="} text`}, inexact: readFirst},
	{via: "DB.Update", how: "a UUID as key", run: func(db *gorm.DB) error {
		return db.Model(&Device{}).Where("text = ?", "").Update("text", "y").Error
	}, want: []string{
		`update device-01000000000000000000000000000000 {"id":"01000000000000000000000000000000"} text`,
		`update device-02000000000000000000000000000000 {"id":"02000000000000000000000000000000"} text`,
	}, inexact: readFirst},
	{via: "DB.Update", how: "names that need quotes", run: func(db *gorm.DB) error {
		return db.Model(&Odd{}).Where(map[string]any{"the kind": "k"}).Update("order", "y").Error
	}, want: []string{`update odd-k {"id":"a"} order`}, inexact: readFirst},
	{
		via: "DB.Update", how: "without a key", run: func(db *gorm.DB) error {
			return db.Model(&Event{}).Where("kind = ?", "k").Update("text", "y").Error
		}, want: []string{`update events-k {"text":"y"} text`},
		differ: map[string][]string{"mysql": {`resync events-{kind} {"reason":"unknown"}`}},
	},
	{
		via: "DB.Update", how: "the caller's own RETURNING", run: func(db *gorm.DB) error {
			return db.Model(&[]Task{}).Clauses(clause.Returning{Columns: []clause.Column{{Name: "title"}}}).Where("id < 3").Update("done", true).Error
		}, only: "sqlite postgres", want: []string{`update task-1 {"id":1} done`, `update task-2 {"id":2} done`},
		inexact: map[string]string{"postgres": missed},
	},
	{
		via: "DB.Updates", how: "a struct", run: func(db *gorm.DB) error { return db.Model(&Task{ID: 1}).Updates(Task{Title: "y", Done: true}).Error },
		want: []string{`update task-1 {"id":1} title,done`},
	},
	{via: "DB.Updates", how: "a map", run: func(db *gorm.DB) error {
		return db.Model(&Task{ID: 1}).Updates(map[string]any{"done": true, "Title": "y"}).Error
	}, want: []string{`update task-1 {"id":1} title,done`}},
	{via: "DB.Updates", how: "Select", run: func(db *gorm.DB) error {
		return db.Model(&Task{ID: 1}).Select("done").Updates(Task{Title: "y", Done: true}).Error
	}, want: []string{`update task-1 {"id":1} done`}},
	{via: "DB.Updates", how: "Omit", run: func(db *gorm.DB) error {
		return db.Model(&Task{ID: 1}).Omit("done").Updates(Task{Title: "y", Done: true}).Error
	}, want: []string{`update task-1 {"id":1} title`}},
	{
		via: "DB.Updates", how: "nothing", run: func(db *gorm.DB) error { return db.Model(&Task{ID: 1}).Omit("UpdatedAt").Updates(Task{}).Error },
		want: []string{},
	},
	{via: "DB.UpdateColumn", how: "a column, by condition", run: func(db *gorm.DB) error {
		return db.Model(&Ticket{}).Where("board_id = ?", 2).UpdateColumn("title", "y").Error
	}, want: []string{`update board-2 {"board":2,"id":2,"title":"y"} title`}, inexact: readFirst},
	{via: "DB.UpdateColumns", how: "a map, by key", run: func(db *gorm.DB) error {
		return db.Model(&Task{ID: 1}).UpdateColumns(map[string]any{"title": "y", "done": true}).Error
	}, want: []string{`update task-1 {"id":1} done,title`}},
	{via: "G.Update", how: "by condition", run: func(db *gorm.DB) error {
		_, err := gorm.G[Task](db).Where("id > ?", 1).Update(ctx, "title", "y")
		return err
	}, want: []string{`update task-2 {"id":2} title`, `update task-10 {"id":10} title`}, inexact: readFirst},
	{via: "G.Updates", how: "by condition", run: func(db *gorm.DB) error {
		_, err := gorm.G[Ticket](db).Where("id = ?", 2).Updates(ctx, Ticket{Title: "y"})
		return err
	}, want: []string{`update board-2 {"board":2,"id":2,"title":"y"} title`}, inexact: readFirst},
	{via: "G.Set.Update", how: "assignments", run: func(db *gorm.DB) error {
		_, err := gorm.G[Task](db).Where("id = ?", 2).Set(clause.Assignment{Column: clause.Column{Name: "title"}, Value: "y"}).Update(ctx)
		return err
	}, want: []string{`update task-2 {"id":2} title`}, inexact: readFirst},
}
