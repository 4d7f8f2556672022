package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/centrifugal/centrifuge"
	"github.com/nats-io/nats.go"
	"github.com/redis/rueidis"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/natsbroker"
	"github.com/rohrpost/rohrpost/redisbroker"
	"github.com/rohrpost/rohrpost/sqlbroker"
)

// nodeServers are the servers of which several share an engine. Each opens the handler for
// its pages, and the function that publishes to a group; the message holds a time.
var nodeServers = map[string]func(engine string) (http.Handler, nodePublisher, error){
	"memory":     openMemoryNode,
	"redis":      openRedisNode,
	"nats":       openNATSNode,
	"postgres":   openPostgresNode,
	"centrifuge": openCentrifugeNode,
}

// nodePublisher publishes a message to a group.
type nodePublisher func(group string, at int64) error

// timedObject is the object of a message that holds the time when it was published, in
// nanoseconds.
type timedObject struct {
	object
	At int64 `json:"at"`
}

// nodeApp is the name of the program in the engine, which the command has started for itself.
const nodeApp = "bench"

func openMemoryNode(string) (http.Handler, nodePublisher, error) { return openHubNode(nil) }

func openRedisNode(address string) (http.Handler, nodePublisher, error) {
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{address}, DisableCache: true})
	if err != nil {
		return nil, nil, err
	}
	b, err := redisbroker.New(client, redisbroker.Config{App: nodeApp})
	if err != nil {
		return nil, nil, err
	}
	return openHubNode(b)
}

func openNATSNode(address string) (http.Handler, nodePublisher, error) {
	nc, err := nats.Connect(address, nats.MaxReconnects(-1))
	if err != nil {
		return nil, nil, err
	}
	b, err := natsbroker.New(nc, natsbroker.Config{App: nodeApp})
	if err != nil {
		return nil, nil, err
	}
	return openHubNode(b)
}

func openPostgresNode(dsn string) (http.Handler, nodePublisher, error) {
	db, err := gorm.Open(postgres.Open(dsn), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return nil, nil, err
	}
	b, err := sqlbroker.New(db, sqlbroker.Config{App: nodeApp})
	if err != nil {
		return nil, nil, err
	}
	return openHubNode(b)
}

func openHubNode(b broker.Broker) (http.Handler, nodePublisher, error) {
	hub := rohrpost.NewHub(rohrpost.Config{
		Broker: b, Logger: slog.New(slog.DiscardHandler),
		Limits: rohrpost.Limits{IdleTimeout: -1}, // the pages answer no pings
	})
	hub.Allow("{group}", rohrpost.Anyone)
	return hub, func(group string, at int64) error {
		return hub.Publish(context.Background(), rohrpost.Change{
			Group: group, Type: rohrpost.Update, Object: timedObject{newObject(), at}, UpdatedFields: []string{"title"},
		})
	}, nil
}

func openCentrifugeNode(address string) (http.Handler, nodePublisher, error) {
	handler, publish := newCentrifuge(1000, func(node *centrifuge.Node) error {
		shard, err := centrifuge.NewRedisShard(node, centrifuge.RedisShardConfig{Address: address})
		if err != nil {
			return err
		}
		b, err := centrifuge.NewRedisBroker(node, centrifuge.RedisBrokerConfig{Shards: []*centrifuge.RedisShard{shard}})
		node.SetBroker(b)
		return err
	})
	return handler, func(group string, at int64) error {
		text, err := json.Marshal(timedMessage(group, at))
		if err != nil {
			return err
		}
		return publish(group, text)
	}, nil
}

// timedMessage is the message that a hub would send.
func timedMessage(group string, at int64) any {
	type data struct {
		Type          string      `json:"type"`
		Group         string      `json:"group"`
		Object        timedObject `json:"object"`
		UpdatedFields []string    `json:"updated_fields"`
	}
	return struct {
		ID   int64  `json:"id"`
		Type string `json:"type"`
		Data data   `json:"data"`
	}{5912345678901234, "subscription-update", data{"update", group, timedObject{newObject(), at}, []string{"title"}}}
}

// serveNode runs a server until standard input ends. A line with a count, a rate per
// second, a number of groups and a number of goroutines makes it publish; it answers with
// the microseconds that this took.
func serveNode(name, engine string) error {
	open := nodeServers[name]
	if open == nil {
		return fmt.Errorf("unknown server %q", name)
	}
	handler, publish, err := open(engine)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() { _ = http.Serve(listener, handler) }() // ends with the process
	fmt.Println(listener.Addr())
	defer profile()()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var o nodeOrder
		if _, err := fmt.Sscan(lines.Text(), &o.count, &o.rate, &o.groups, &o.publishers); err != nil {
			return err
		}
		began := time.Now()
		if err := o.publish(publish); err != nil {
			return err
		}
		fmt.Println(time.Since(began).Microseconds())
	}
	return nil
}

// nodeOrder tells a server what to publish.
type nodeOrder struct {
	count, rate, groups, publishers int // rate 0: as fast as it can
}

func (o nodeOrder) String() string {
	return fmt.Sprint(o.count, " ", o.rate, " ", o.groups, " ", o.publishers)
}

// publish publishes to one group after another. Each publisher has groups of its own.
func (o nodeOrder) publish(publish nodePublisher) error {
	failed := make(chan error, o.publishers)
	began := time.Now()
	for first := range o.publishers {
		go func() {
			for i := first; i < o.count; i += o.publishers {
				if o.rate > 0 {
					time.Sleep(time.Until(began.Add(time.Duration(i) * time.Second / time.Duration(o.rate))))
				}
				if err := publish(groupName(i%o.groups), time.Now().UnixNano()); err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	for range o.publishers {
		if err := <-failed; err != nil {
			return err
		}
	}
	return nil
}
