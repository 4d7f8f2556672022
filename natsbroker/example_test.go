package natsbroker_test

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/natsbroker"
)

// Two processes of a program share their messages by the name of the program.
func ExampleNew() {
	nc, err := nats.Connect("nats://127.0.0.1:4222",
		nats.MaxReconnects(-1), nats.ReconnectWait(500*time.Millisecond), nats.ReconnectBufSize(-1), nats.PingInterval(5*time.Second))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer nc.Close()
	b, err := natsbroker.New(nc, natsbroker.Config{App: "shop"})
	if err != nil {
		fmt.Println(err)
		return
	}
	hub := rohrpost.NewHub(rohrpost.Config{Broker: b})
	defer func() { _ = hub.Shutdown(context.Background()) }()
}
