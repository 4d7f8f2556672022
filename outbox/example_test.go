package outbox_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/outbox"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

type Article struct {
	rohrpost.NotifyOnChange `rohrpost:"group:articles"`

	ID    uint
	Title string
}

func Example() {
	db, hub := application()

	box, err := outbox.New(db, hub, outbox.Config{}) // after db.Use(rohrpost.Plugin(hub))
	if err != nil {
		log.Fatal(err)
	}

	// The process may die here, or anywhere: what has committed is in the table.
	if err = db.Create(&Article{Title: "Outboxes"}).Error; err != nil {
		log.Fatal(err)
	}
	fmt.Println("published:", box.Stats().Published)

	// A relay, of this process or another one, publishes it to the pages.
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- box.Run(ctx) }()
	for box.Stats().Published == 0 {
		time.Sleep(time.Millisecond)
	}
	fmt.Println("published:", box.Stats().Published)
	fmt.Println("healthy:", box.Healthy(ctx) == nil)
	cancel()
	fmt.Println(<-ended)
	// Output:
	// published: 0
	// published: 1
	// healthy: true
	// <nil>
}

// application returns what a program has without an outbox.
func application() (*gorm.DB, *rohrpost.Hub) {
	dir, err := os.MkdirTemp("", "outbox")
	if err != nil {
		log.Fatal(err)
	}
	db, err := gorm.Open(sqlite.Open(filepath.Join(dir, "example.db")), &gorm.Config{})
	if err != nil {
		log.Fatal(err)
	}
	hub := rohrpost.NewHub(rohrpost.Config{})
	if err = db.Use(rohrpost.Plugin(hub)); err != nil {
		log.Fatal(err)
	}
	if err = db.AutoMigrate(&Article{}); err != nil {
		log.Fatal(err)
	}
	return db, hub
}
