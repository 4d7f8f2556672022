package nodes_test

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/natsbroker"
	"github.com/rohrpost/rohrpost/outbox"
	"github.com/rohrpost/rohrpost/redisbroker"
	"github.com/rohrpost/rohrpost/sqlbroker"
)

// nodeVariable holds what a process of the test is: the kind of its broker, where the engine
// is, the name of the program there, the DSN of the database, and the role.
const nodeVariable = "ROHRPOST_NODE"

// The roles of a node.
const (
	withOutbox    = "with an outbox"
	withoutOutbox = "without an outbox"
)

func TestMain(m *testing.M) {
	if job := os.Getenv(nodeVariable); job != "" {
		if err := beNode(strings.Split(job, "\n")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// Item is a row whose changes are counted.
type Item struct {
	rohrpost.NotifyOnChange `rohrpost:"group:item-{pk}"`

	ID      uint
	Version int
}

// PushNotificationData returns what pages see.
func (i Item) PushNotificationData([]string, string) any { return i.Version }

// Entry of the ledger is a version of an item that has committed.
type Entry struct {
	ID      uint
	Item    uint
	Version int
}

const (
	items   = 6
	writers = 4 // of a process
)

// beNode runs a node with a hub, a relay and writers until it is killed.
func beNode(job []string) error {
	b, err := openBroker(job[0], job[1], job[2])
	if err != nil {
		return err
	}
	db, err := openDatabase(job[3])
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	hub := rohrpost.NewHub(rohrpost.Config{Broker: b, Logger: log})
	if err = db.Use(rohrpost.Plugin(hub)); err != nil {
		return err
	}
	if job[4] == worker || job[4] == workerWithoutViews {
		if job[4] == worker {
			allowViews(hub)
		}
		fmt.Println("ready")
		return work(db, hub)
	}
	failed := make(chan error)
	if job[4] == withOutbox {
		box, err := outbox.New(db, hub, outbox.Config{Poll: 50 * time.Millisecond, Logger: log})
		if err != nil {
			return err
		}
		go func() { failed <- box.Run(context.Background()) }()
	}
	for range writers {
		go func() {
			for {
				if err := change(db); err != nil && !errors.Is(err, errWanted) && !strings.Contains(strings.ToLower(err.Error()), "deadlock") {
					failed <- err
				}
				time.Sleep(mathrand.N(8 * time.Millisecond))
			}
		}()
	}
	fmt.Println("ready")
	return <-failed
}

var errWanted = errors.New("rolled back")

// change changes one or two items in a transaction, and writes the new versions into the
// ledger. Some transactions are rolled back.
func change(db *gorm.DB) error {
	return db.Transaction(func(tx *gorm.DB) error {
		first := uint(1 + mathrand.IntN(items-1))
		if err := increase(tx, first); err != nil {
			return err
		}
		if mathrand.IntN(2) == 0 {
			if err := increase(tx, first+1); err != nil {
				return err
			}
		}
		if mathrand.IntN(10) == 0 {
			return errWanted
		}
		return nil
	})
}

func increase(tx *gorm.DB, id uint) error {
	if err := tx.Model(&Item{ID: id}).Update("version", gorm.Expr("version + 1")).Error; err != nil {
		return err
	}
	var now Item
	if err := tx.First(&now, id).Error; err != nil {
		return err
	}
	return tx.Create(&Entry{Item: id, Version: now.Version}).Error
}

// openDatabase opens PostgreSQL, or MariaDB by the form of its DSN.
func openDatabase(dsn string) (*gorm.DB, error) {
	dialector := postgres.Open(dsn)
	if strings.Contains(dsn, "tcp(") {
		dialector = mysql.Open(dsn)
	}
	return gorm.Open(dialector, &gorm.Config{Logger: logger.Discard})
}

// openBroker opens a broker by its name, on an engine at an address.
func openBroker(name, address, app string) (broker.Broker, error) {
	switch name {
	case "redis":
		client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{address}, DisableCache: true})
		if err != nil {
			return nil, err
		}
		return redisbroker.New(client, redisbroker.Config{App: app})
	case "nats":
		nc, err := nats.Connect(address, nats.MaxReconnects(-1), nats.ReconnectBufSize(-1))
		if err != nil {
			return nil, err
		}
		return natsbroker.New(nc, natsbroker.Config{App: app})
	}
	db, err := openDatabase(address)
	if err != nil {
		return nil, err
	}
	return sqlbroker.New(db, sqlbroker.Config{App: app})
}

// startEngine returns where the engine of a broker is. It skips the test where it is absent.
func startEngine(t *testing.T, name, dsn string) (address string) {
	switch name {
	case "redis":
		address = cmp.Or(os.Getenv("ROHRPOST_REDIS"), "127.0.0.1:6379")
		conn, err := net.DialTimeout("tcp", address, 2*time.Second)
		if err != nil {
			absent(t, "Redis", err)
		}
		require.NoError(t, conn.Close())
		return address
	case "nats":
		return startNATS(t)
	}
	return dsn
}

// absent skips a test whose service is not there; where all of them have to be, it fails.
func absent(t *testing.T, service string, err error) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		require.NoError(t, err, "%s is not there", service)
	}
	t.Skipf("%s is not there: %v", service, err)
}

// startNATS starts a server, which the tests of natsbroker have built, or builds it.
func startNATS(t *testing.T) (address string) {
	program := os.Getenv("ROHRPOST_NATS_SERVER")
	if program == "" {
		cache, err := os.UserCacheDir()
		require.NoError(t, err)
		dir := filepath.Join(cache, "rohrpost", "nats-server-v2.15.3")
		program = filepath.Join(dir, "nats-server")
		if _, err := os.Stat(program); err != nil {
			build := exec.CommandContext(t.Context(), "go", "install", "github.com/nats-io/nats-server/v2@v2.15.3")
			build.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=")
			if err := build.Run(); err != nil {
				absent(t, "nats-server", err)
			}
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	at := l.Addr().(*net.TCPAddr)
	require.NoError(t, l.Close())
	server := exec.Command(program, "--jetstream", "--addr", "127.0.0.1", "--port", strconv.Itoa(at.Port), "--store_dir", t.TempDir())
	require.NoError(t, server.Start())
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", at.String())
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}, 30*time.Second, 10*time.Millisecond)
	return "nats://" + at.String()
}

// process is a node that the test has started.
type process struct {
	command *exec.Cmd
	log     strings.Builder
}

// startNode returns when the node writes.
func startNode(t *testing.T, job ...string) *process {
	p := &process{command: exec.Command(os.Args[0])}
	p.command.Env = append(os.Environ(), nodeVariable+"="+strings.Join(job, "\n"))
	p.command.Stderr = &p.log
	output, err := p.command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.command.Start())
	if _, err := bufio.NewReader(output).ReadString('\n'); err != nil {
		_ = p.command.Wait()
		require.NoError(t, err, p.log.String())
	}
	return p
}

func (p *process) kill() {
	_ = p.command.Process.Kill()
	_ = p.command.Wait()
}
