package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// burstMessages is the number of messages of a burst.
	burstMessages = 20_000

	// burstPublishers is the number of goroutines that publish a burst by a server whose
	// Publish waits for the engine.
	burstPublishers = 64
)

// cluster is one or more servers on one engine, and their pages.
type cluster struct {
	name      string
	engine    *nodeEngine
	counter   *turnCounter // nil: it is not counted
	nodes     []*server
	pages     *generator
	groups    int
	latencies []time.Duration // of what has come
}

// newCluster starts an engine and servers, and opens pages. The server of name@binary is that
// of another build of this command.
func newCluster(name string, nodes, groups, members int, counted bool) (_ *cluster, err error) {
	name, binary, another := strings.Cut(name, "@")
	c := &cluster{name: name, groups: groups}
	if c.engine, err = startEngine(engineOf[name]); err != nil {
		return nil, err
	}
	address := c.engine.address
	if counted {
		if c.counter, address, err = countTurns(address); err != nil {
			c.close()
			return nil, err
		}
	}
	var addresses []string
	for range nodes {
		if !another {
			if binary, err = os.Executable(); err != nil {
				c.close()
				return nil, err
			}
		}
		node, err := startCommand(exec.Command(binary, "serve-node", name, address))
		if err != nil {
			c.close()
			return nil, err
		}
		c.nodes = append(c.nodes, node)
		addresses = append(addresses, node.address)
	}
	p := implementations["hub"]
	if name == "centrifuge" {
		p = implementations[name]
	}
	c.pages, err = newGenerator(addresses, members, func(i int) subscription { return p.subscription([]string{groupName(i % groups)}) })
	if err != nil {
		c.close()
		return nil, err
	}
	c.pages.arrived = c.arrived
	return c, nil
}

var timeMark = []byte(`"at":`)

// arrived notes the latencies of the messages in what was read. A message that came in two
// parts has none.
func (c *cluster) arrived(read []byte) {
	now := time.Now().UnixNano()
	for {
		_, after, found := bytes.Cut(read, timeMark)
		if !found {
			return
		}
		read = after
		digits := after[:max(bytes.IndexFunc(after, func(r rune) bool { return r < '0' || r > '9' }), 0)]
		if at, err := strconv.ParseInt(string(digits), 10, 64); err == nil && len(digits) == len("1700000000000000000") {
			c.latencies = append(c.latencies, time.Duration(now-at))
		}
	}
}

// load lets the nodes publish, and waits until all pages have everything.
func (c *cluster) load(s nodesScenario, turn time.Duration) (r nodesResult, err error) {
	c.pages.received, c.latencies = 0, c.latencies[:0]
	orders := c.orders(s, turn)
	messages := 0
	hub, engine, began := c.cpu(), c.engine.cpu(), time.Now()
	for i, o := range orders {
		messages += o.count
		if _, err := fmt.Fprintln(c.nodes[i].input, o); err != nil {
			return r, err
		}
	}
	due := messages * len(c.pages.conns) / c.groups
	for c.pages.received < due {
		if err := c.pages.poll(responseTimeout); err != nil {
			return r, fmt.Errorf("%d of %d deliveries: %w", c.pages.received, due, err)
		}
	}
	elapsed := time.Since(began)
	for i := range orders {
		text, err := c.nodes[i].readLine()
		if err != nil {
			return r, err
		}
		took, err := strconv.Atoi(text)
		if err != nil {
			return r, err
		}
		r.publishing = max(r.publishing, float64(took)/1e3)
	}
	if len(c.latencies) == 0 {
		return r, errors.New("no message holds a time")
	}
	r.hub = micros(c.cpu()-hub) / float64(due)
	r.engine = micros(c.engine.cpu()-engine) / float64(messages)
	r.rate = float64(messages) / elapsed.Seconds()
	slices.Sort(c.latencies)
	r.p50, r.p99 = micros(c.latencies[len(c.latencies)/2])/1e3, micros(c.latencies[len(c.latencies)*99/100])/1e3
	return r, nil
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

// orders says to each node what to publish.
func (c *cluster) orders(s nodesScenario, turn time.Duration) (orders []nodeOrder) {
	if s.rate == 0 {
		o := nodeOrder{burstMessages, 0, c.groups, 1}
		if c.name == "centrifuge" {
			o.publishers = burstPublishers
		}
		if c.name == "postgres" {
			o.count /= 4
		}
		return append(orders, o)
	}
	rate := s.rate / len(c.nodes)
	for range c.nodes {
		orders = append(orders, nodeOrder{int(float64(rate) * turn.Seconds()), rate, c.groups, 1})
	}
	return orders
}

// cpu returns the CPU time of all nodes.
func (c *cluster) cpu() (sum time.Duration) {
	for _, n := range c.nodes {
		sum += processTime(n.command.Process.Pid)
	}
	return sum
}

// nodesIdle is what an idle node has done by a time.
type nodesIdle struct {
	at    time.Time
	turns int64
	cpu   time.Duration
}

func (c *cluster) idle() nodesIdle { return nodesIdle{time.Now(), c.counter.turns.Load(), c.cpu()} }

func (c *cluster) close() {
	if c.pages != nil {
		c.pages.close()
	}
	for _, n := range c.nodes {
		n.stop()
	}
	if c.counter != nil {
		c.counter.close()
	}
	c.engine.drop()
}
