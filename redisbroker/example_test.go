package redisbroker_test

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/rueidis"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/redisbroker"
)

// Two processes of a program share their messages by the name of the program.
func ExampleNew() {
	client, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress: []string{"127.0.0.1:6379"}, ConnWriteTimeout: 3 * time.Second, DisableCache: true,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	b, err := redisbroker.New(client, redisbroker.Config{App: "shop"})
	if err != nil {
		fmt.Println(err)
		return
	}
	hub := rohrpost.NewHub(rohrpost.Config{Broker: b})
	defer func() { _ = hub.Shutdown(context.Background()) }()
}
