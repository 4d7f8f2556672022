package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// nodeEngine is an engine in a process of its own, which the command has started.
type nodeEngine struct {
	address string
	process *exec.Cmd // nil: it was there
	drop    func()
}

// engineOf says on which engine a server runs; "": on none.
var engineOf = map[string]string{"redis": "redis", "centrifuge": "redis", "nats": "nats", "postgres": "postgres"}

// startEngine starts a private engine. The database is the one that the updates use.
func startEngine(name string) (*nodeEngine, error) {
	switch name {
	case "redis":
		return startProcess(name, func(port, dir string) *exec.Cmd {
			return exec.Command("redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", dir, "--save", "")
		})
	case "nats":
		program := os.Getenv("ROHRPOST_NATS_SERVER")
		if program == "" {
			cache, err := os.UserCacheDir()
			if err != nil {
				return nil, err
			}
			program = filepath.Join(cache, "rohrpost", "nats-server-v2.15.3", "nats-server") // the tests of natsbroker build it
		}
		return startProcess(name, func(port, dir string) *exec.Cmd {
			return exec.Command(program, "--jetstream", "--addr", "127.0.0.1", "--port", port, "--store_dir", dir)
		})
	case "postgres":
		dsn, drop, err := newDatabase("PostgreSQL")
		return &nodeEngine{address: dsn, drop: drop}, err
	}
	return &nodeEngine{drop: func() {}}, nil
}

func startProcess(name string, command func(port, dir string) *exec.Cmd) (*nodeEngine, error) {
	dir, err := os.MkdirTemp("", "rohrpost-bench-")
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := l.Addr().String()
	_ = l.Close()
	_, port, _ := net.SplitHostPort(address)
	e := &nodeEngine{address: address, process: command(port, dir)}
	e.drop = func() {
		_ = e.process.Process.Kill()
		_ = e.process.Wait()
		_ = os.RemoveAll(dir)
	}
	if err := e.process.Start(); err != nil {
		_ = os.RemoveAll(dir)
		return nil, fmt.Errorf("start the engine %s: %w", name, err)
	}
	for range 100 {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
			return e, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	e.drop()
	return nil, fmt.Errorf("the engine %s does not answer", name)
}

// cpu returns the CPU time of the engine, 0 if it is not a process of the command.
func (e *nodeEngine) cpu() time.Duration {
	if e.process == nil {
		return 0
	}
	return processTime(e.process.Process.Pid)
}

// turnCounter stands between a server and its engine, and counts round trips: how often
// the server says something after the engine has, or at first.
type turnCounter struct {
	listener net.Listener
	engine   string
	turns    atomic.Int64
	pipes    sync.WaitGroup
}

// countTurns listens for a server. The address may be that of a database, as postgresDSN
// has it.
func countTurns(engine string) (_ *turnCounter, address string, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	c := &turnCounter{listener: listener, engine: engine}
	address = listener.Addr().String()
	if _, _, err := net.SplitHostPort(engine); err != nil {
		dsn, err := pgx.ParseConfig(engine)
		if err != nil {
			return nil, "", err
		}
		c.engine = net.JoinHostPort(dsn.Host, strconv.Itoa(int(dsn.Port)))
		_, port, _ := net.SplitHostPort(address)
		address = engine + " host=127.0.0.1 port=" + port // the last ones count
	}
	c.pipes.Go(c.accept)
	return c, address, nil
}

func (c *turnCounter) accept() {
	for {
		conn, err := c.listener.Accept()
		if err != nil {
			return
		}
		c.pipes.Go(func() { c.pipe(conn) })
	}
}

func (c *turnCounter) pipe(server net.Conn) {
	engine, err := new(net.Dialer).DialContext(context.Background(), "tcp", c.engine)
	if err != nil {
		_ = server.Close()
		return
	}
	var serverSpoke atomic.Bool // last
	c.pipes.Go(func() {
		_ = copyCounting(server, engine, func() { serverSpoke.Store(false) })
		_ = server.Close()
	})
	err = copyCounting(engine, server, func() {
		if !serverSpoke.Swap(true) {
			c.turns.Add(1)
		}
	})
	_ = errors.Join(err, engine.Close())
}

func copyCounting(to io.Writer, from io.Reader, read func()) error {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return err
		}
		read()
		if _, err := to.Write(buffer[:n]); err != nil {
			return err
		}
	}
}

// close is called when the servers have ended.
func (c *turnCounter) close() {
	_ = c.listener.Close()
	c.pipes.Wait()
}
