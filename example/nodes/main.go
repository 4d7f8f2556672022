// Command nodes runs several instances of one program behind a small proxy: a list of
// tasks in one database, whose changes reach every page at whatever instance it is.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// instanceEnv says to a process which instance it is.
const instanceEnv = "ROHRPOST_INSTANCE"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		slog.Error("run the instances", "error", err)
		os.Exit(1)
	}
}

// options are those of all instances.
type options struct {
	broker, redis, nats, addr, dir string
	nodes                          int
}

func run(ctx context.Context, args []string, out io.Writer) error {
	var o options
	flags := flag.NewFlagSet("nodes", flag.ContinueOnError)
	flags.IntVar(&o.nodes, "nodes", 2, "`number` of instances")
	flags.StringVar(&o.broker, "broker", "sql", "what connects the instances: sql, redis or nats")
	flags.StringVar(&o.redis, "redis", "127.0.0.1:6379", "`address` of the Redis server")
	flags.StringVar(&o.nats, "nats", "127.0.0.1:4222", "`address` of the NATS server, 2.12 or later with JetStream")
	flags.StringVar(&o.addr, "addr", "127.0.0.1:8080", "`address` of the proxy")
	flags.StringVar(&o.dir, "dir", "", "`folder` of the database; by default a new one, which is deleted at the end")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if instance := os.Getenv(instanceEnv); instance != "" {
		return serveInstance(ctx, o, instance)
	}
	return runAll(ctx, o, args, out)
}

// runAll runs the instances and the proxy until ctx ends.
func runAll(ctx context.Context, o options, args []string, out io.Writer) (err error) {
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "rohrpost-nodes-"); err != nil {
			return fmt.Errorf("make a folder for the database: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(o.dir)) }()
		args = append(args, "-dir", o.dir)
	}
	if err := migrate(o); err != nil { // once: the instances start at the same time
		return fmt.Errorf("make the tables: %w", err)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", o.addr)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var instances sync.WaitGroup
	defer instances.Wait()
	defer cancel()
	for i := range o.nodes {
		instances.Go(func() { keepRunning(ctx, args, strconv.Itoa(i+1), out) })
	}
	fmt.Fprintf(out, "%d instances, connected by %s, are at http://%s/\n"+
		"Open the page in several tabs: each names its instance. Add a task in one tab: all show it.\n"+
		"Then kill an instance (kill -9 PID, see below): its pages go to another one, and miss nothing. It is started again.\n",
		o.nodes, o.broker, listener.Addr())
	return serveProxy(ctx, listener, o)
}

// socket returns the Unix socket on which an instance serves.
func (o options) socket(instance string) string { return filepath.Join(o.dir, instance+".sock") }

// keepRunning runs an instance, and starts it again when it ends.
func keepRunning(ctx context.Context, args []string, instance string, out io.Writer) {
	for ctx.Err() == nil {
		command := exec.CommandContext(ctx, os.Args[0], args...)
		command.Env = append(os.Environ(), instanceEnv+"="+instance)
		command.Stderr = os.Stderr
		command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
		command.WaitDelay = 15 * time.Second
		if err := command.Start(); err != nil {
			slog.Error("start an instance", "instance", instance, "error", err)
			return
		}
		fmt.Fprintf(out, "instance %s is process %d\n", instance, command.Process.Pid)
		_ = command.Wait() // killed, or ended with ctx
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}
