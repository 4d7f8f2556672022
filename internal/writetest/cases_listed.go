package writetest

import (
	"github.com/rohrpost/rohrpost"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Models whose markers list columns.
type (
	// Memo is in one group.
	Memo struct {
		rohrpost.NotifyOnChange `rohrpost:"group:memos;payload:title,count"`
		ID                      uint
		Title                   string `gorm:"size:191" json:"title"`
		Count                   int    `json:"count,omitempty"`
		Secret                  string `gorm:"size:191"`
	}

	// Slip is grouped by a column.
	Slip struct {
		rohrpost.NotifyOnChange `rohrpost:"group:board-{board_id};payload:title,count"`
		ID                      uint
		BoardID                 uint
		Title                   string `gorm:"size:191" json:"title"`
		Count                   int    `json:"count,omitempty"`
		Secret                  string `gorm:"size:191"`
	}
)

// listed are the writes to them.
var listed = []write{
	{
		via: "DB.Create", how: "a row of listed columns", run: func(db *gorm.DB) error { return db.Create(&Memo{ID: 70, Title: "x", Secret: "s"}).Error },
		want: []string{`create memos {"id":70,"title":"x","count":0}`},
	},
	{
		via: "DB.Update", how: "a listed column, by key", run: func(db *gorm.DB) error { return db.Model(&Memo{ID: 1}).Update("title", "y").Error },
		want: []string{`update memos {"id":1,"title":"y"} title partial`},
	},
	{
		via: "DB.Update", how: "a listed column, in capitals", run: func(db *gorm.DB) error { return db.Model(&Memo{ID: 1}).Update("TITLE", "y").Error },
		only: "sqlite mysql", want: []string{`update memos {"id":1,"title":"y"} title partial`},
	},
	{
		via: "DB.Update", how: "a listed column, qualified", run: func(db *gorm.DB) error { return db.Model(&Memo{ID: 1}).Update("memos.title", "y").Error },
		only: "mysql", want: []string{`update memos {"id":1,"title":"y"} title partial`},
	},
	{via: "DB.Updates", how: "a listed column and another one", run: func(db *gorm.DB) error {
		return db.Model(&Memo{ID: 1}).Updates(map[string]any{"count": 3, "secret": "t"}).Error
	}, want: []string{`update memos {"id":1,"count":3} count partial`}},
	{
		via: "DB.Update", how: "no listed column", run: func(db *gorm.DB) error { return db.Model(&Memo{ID: 1}).Update("secret", "t").Error },
		want: []string{},
	},
	{via: "DB.Update", how: "a listed column, gorm.Expr", run: func(db *gorm.DB) error {
		return db.Model(&Memo{ID: 1}).Update("count", gorm.Expr("count + 1")).Error
	}, want: []string{`update memos {"id":1,"count":6} count partial`}},
	{via: "DB.Update", how: "a listed column, by condition", run: func(db *gorm.DB) error {
		return db.Model(&Memo{}).Where("id < ?", 9).Update("title", "y").Error
	}, want: []string{`update memos {"id":1,"title":"y"} title partial`, `update memos {"id":2,"title":"y"} title partial`}, inexact: readFirst},
	{via: "DB.Update", how: "a listed column, by key, grouped by another one", run: func(db *gorm.DB) error {
		return db.Model(&Slip{ID: 1}).Update("title", "y").Error
	}, want: []string{`update board-1 {"id":1,"title":"y"} title partial`}},
	{via: "DB.Update", how: "listed columns, into another group", run: func(db *gorm.DB) error {
		return db.Model(&Slip{ID: 1}).Update("board_id", 9).Error
	}, want: []string{`delete board-1 {"id":1}`, `create board-9 {"id":1,"title":"a","count":5}`}},
	{
		via: "DB.Save", how: "listed columns, a known key", run: func(db *gorm.DB) error { return db.Save(&Memo{ID: 1, Title: "y"}).Error },
		want: []string{`update memos {"id":1,"title":"y","count":0} partial`},
	},
	{via: "DB.Create", how: "listed columns, ON CONFLICT DO UPDATE of one", run: func(db *gorm.DB) error {
		return db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "id"}}, DoUpdates: clause.AssignmentColumns([]string{"title"})}).
			Create(&[]Memo{{ID: 1, Title: "y"}, {ID: 70, Title: "z"}}).Error
	}, want: []string{`update memos {"id":1,"title":"y"} title partial`, `create memos {"id":70,"title":"z","count":0}`}},
	{
		via: "DB.Delete", how: "a row of listed columns, by key", run: func(db *gorm.DB) error { return db.Delete(&Memo{ID: 1}).Error },
		want: []string{`delete memos {"id":1}`},
	},
}
