package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rohrpost/rohrpost"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

const (
	boardGroup = "board" // the group that receives every change of a card
	maxTitle   = 120     // characters
	maxCards   = 500     // a card that moves changes all below it
)

// Card is a task on the board. The marker publishes its changes. The tag raises the
// limit of rows for long columns: a card that moves to the top of a column moves
// all other cards down.
type Card struct {
	rohrpost.NotifyOnChange `rohrpost:"rows:1000"`

	ID        uint
	Title     string `gorm:"not null"`
	Column    string `gorm:"not null;index:place,priority:1"`
	Position  int    `gorm:"not null;index:place,priority:2"`
	CreatedAt time.Time
	UpdatedAt time.Time
}

// GroupName puts all cards into one group, since every page shows the whole board.
func (Card) GroupName(string) string { return boardGroup }

// PushNotificationData returns the payload of every change: the same fields that
// the API returns.
func (c Card) PushNotificationData([]string, string) any { return c.view() }

// cardView is the JSON form of a card.
type cardView struct {
	ID       uint   `json:"id"`
	Title    string `json:"title"`
	Column   string `json:"column"`
	Position int    `json:"position"`
}

func (c Card) view() cardView {
	return cardView{ID: c.ID, Title: c.Title, Column: c.Column, Position: c.Position}
}

// cardViews reads the whole board.
func cardViews(tx *gorm.DB) ([]cardView, error) {
	var cards []Card
	if err := tx.Order("position, id").Find(&cards).Error; err != nil {
		return nil, fmt.Errorf("list the cards: %w", err)
	}
	views := make([]cardView, len(cards)) // [] rather than null
	for i, c := range cards {
		views[i] = c.view()
	}
	return views, nil
}

// serveBoard allows every page to subscribe to the board. A page gets a snapshot of
// the cards and then every change.
func serveBoard(hub *rohrpost.Hub, db *gorm.DB) {
	hub.Allow(boardGroup, rohrpost.Anyone)
	hub.Snapshot(boardGroup, func(ctx context.Context, _ rohrpost.SnapshotRequest) (any, error) {
		return cardViews(db.WithContext(ctx))
	})
}

// BeforeSave validates the card. GORM calls it before each create and update.
func (c *Card) BeforeSave(*gorm.DB) error {
	c.Title = strings.TrimSpace(c.Title)
	switch n := utf8.RuneCountInString(c.Title); {
	case n == 0:
		return invalid("The title is missing.")
	case n > maxTitle:
		return invalid(fmt.Sprintf("The title has %d characters, at most %d fit.", n, maxTitle))
	case !slices.Contains([]string{"todo", "doing", "done"}, c.Column):
		return invalid(`The column is one of "todo", "doing" and "done".`)
	}
	return nil
}

// column reads one column of the board from top to bottom.
func column(tx *gorm.DB, name string) (cards []Card, err error) {
	err = tx.Where(&Card{Column: name}).Order("position, id").Find(&cards).Error
	return cards, err
}

// addCard puts a new card at the end of its column.
func addCard(tx *gorm.DB, card *Card) error {
	return tx.Transaction(func(tx *gorm.DB) error {
		var count int64
		if err := tx.Model(&Card{}).Count(&count).Error; err != nil {
			return err
		}
		if count >= maxCards {
			return &problem{http.StatusConflict, fmt.Sprintf("The board is full: %d cards fit. Delete some.", maxCards)}
		}
		var last []Card
		if err := tx.Where(&Card{Column: card.Column}).Order("position DESC").Limit(1).Find(&last).Error; err != nil {
			return err
		}
		if len(last) > 0 {
			card.Position = last[0].Position + 1
		}
		return tx.Create(card).Error
	})
}

// moveCard moves a card to a position in a column, or to the end of the column. The
// cards below it move down. These are several writes, but the pages receive all of
// them after the commit, or none.
func moveCard(tx *gorm.DB, card *Card, to string, position int) error {
	return tx.Transaction(func(tx *gorm.DB) error {
		cards, err := column(tx, to)
		if err != nil {
			return err
		}
		cards = slices.DeleteFunc(cards, func(c Card) bool { return c.ID == card.ID })
		position = max(0, min(position, len(cards)))
		card.Column, card.Position = to, position
		if err := tx.Select("column", "position").Updates(card).Error; err != nil {
			return err
		}
		for i, other := range cards {
			if i >= position {
				i++
			}
			if other.Position == i {
				continue
			}
			other.Position = i
			if err := tx.Select("position").Updates(&other).Error; err != nil {
				return err
			}
		}
		return nil
	})
}

// openBoard opens the database and connects it to the hub.
func openBoard(ctx context.Context, file string, hub *rohrpost.Hub) (*gorm.DB, func() error, error) {
	// With immediate transactions two writers wait for each other instead of failing.
	// With synchronous=NORMAL a power failure may lose the last transactions, but
	// does not corrupt the file.
	dsn := file + "?_journal_mode=WAL&_synchronous=NORMAL&_txlock=immediate"
	if file == "" {
		dsn = "file:board?mode=memory&cache=shared&_txlock=immediate"
	}
	db, err := gorm.Open(sqlite.Open(dsn), &gorm.Config{
		Logger: logger.NewSlogLogger(slog.Default(), logger.Config{
			LogLevel: logger.Warn, SlowThreshold: time.Second, IgnoreRecordNotFoundError: true,
		}),
	})
	if err != nil {
		return nil, nil, fmt.Errorf("open the board: %w", err)
	}
	pool, err := db.DB()
	if err != nil {
		return nil, nil, fmt.Errorf("open the board: %w", err)
	}
	closeDB := pool.Close
	if file == "" {
		closeDB, err = keepMemory(ctx, pool)
	}
	if err == nil {
		err = db.WithContext(ctx).AutoMigrate(&Card{})
	}
	if err == nil {
		err = db.Use(rohrpost.Plugin(hub))
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("prepare the board: %w", err), closeDB())
	}
	return db, closeDB, nil
}

// keepMemory keeps an in-memory database alive. SQLite deletes the database with its
// last connection, and the pool closes a connection when a request is cancelled, so
// keepMemory reserves one connection. It allows only one other connection: several
// connections to one in-memory database fail with "table is locked" instead of
// waiting.
func keepMemory(ctx context.Context, pool *sql.DB) (closeDB func() error, err error) {
	pool.SetMaxOpenConns(2)
	keeper, err := pool.Conn(ctx)
	if err != nil {
		return pool.Close, err
	}
	return func() error { return errors.Join(keeper.Close(), pool.Close()) }, nil
}
