package sqlbroker_test

import (
	"context"
	"fmt"

	"gorm.io/driver/sqlite"
	"gorm.io/gorm"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/sqlbroker"
)

// Two processes of a program share their messages by a database and the name of the
// program.
func ExampleNew() {
	db, err := gorm.Open(sqlite.Open("file::memory:?_txlock=immediate"))
	if err != nil {
		fmt.Println(err)
		return
	}
	b, err := sqlbroker.New(db, sqlbroker.Config{App: "shop"})
	if err != nil {
		fmt.Println(err)
		return
	}
	hub := rohrpost.NewHub(rohrpost.Config{Broker: b})
	fmt.Println(hub.Shutdown(context.Background()))
	// Output: <nil>
}
