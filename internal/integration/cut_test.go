package integration

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	driver "github.com/go-sql-driver/mysql"
	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/internal/writetest"
	"github.com/rohrpost/rohrpost/rohrposttest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
)

// TestCutDuringCommit loses the connection while COMMIT is under way: before it
// reaches the database, and before its answer arrives. The program cannot know
// which, so all groups concerned get a resync in place of the changes.
func TestCutDuringCommit(t *testing.T) {
	maria, err := driver.ParseDSN(mariaDSN)
	require.NoError(t, err)
	host, port := setting(postgresDSN, "host"), setting(postgresDSN, "port")
	for name, test := range map[string]struct {
		target string
		open   func(tb testing.TB, address string) *gorm.DB
	}{
		"PostgreSQL": {net.JoinHostPort(host, port), func(tb testing.TB, address string) *gorm.DB {
			db := openPostgres(tb, gorm.Config{})
			var schema string
			require.NoError(tb, db.Raw("SELECT current_schema()").Scan(&schema).Error)
			_, listening, _ := net.SplitHostPort(address)
			dsn := strings.NewReplacer("host="+host, "host=127.0.0.1", "port="+port, "port="+listening).Replace(postgresDSN)
			dsn += " search_path=" + schema
			return writetest.Connect(tb, postgres.Open(dsn), gorm.Config{})
		}},
		"MariaDB": {maria.Addr, func(tb testing.TB, address string) *gorm.DB {
			db := openMaria(tb, gorm.Config{}, false)
			through := *maria
			through.Addr, through.DBName = address, db.Migrator().CurrentDatabase()
			return writetest.Connect(tb, mysql.Open(through.FormatDSN()), gorm.Config{})
		}},
	} {
		for _, committed := range []bool{true, false} {
			t.Run(name+map[bool]string{true: ", the answer is lost", false: ", the COMMIT is lost"}[committed], func(t *testing.T) {
				t.Parallel()
				p := listen(t, test.target, committed)
				db := test.open(t, p.address())
				testCut(t, p, db, committed)
			})
		}
	}
}

// setting reads one of "key=value key=value".
func setting(dsn, key string) string {
	for _, field := range strings.Fields(dsn) {
		if value, found := strings.CutPrefix(field, key+"="); found {
			return value
		}
	}
	return ""
}

func testCut(t *testing.T, p *proxy, db *gorm.DB, committed bool) {
	require.NoError(t, db.AutoMigrate(&card{}))
	hub := rohrpost.NewHub(rohrpost.Config{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, db.Use(rohrpost.Plugin(hub)))
	rec := rohrposttest.Record(t, db)

	err := db.Transaction(func(tx *gorm.DB) error {
		require.NoError(t, rohrpost.AfterCommit(tx, func() { t.Error("called") }))
		err := tx.Create(&card{ID: 1}).Error
		p.armed.Store(true)
		return err
	})
	require.Error(t, err)
	p.armed.Store(false)
	rec.AssertSent(t, "cards", rohrpost.Resync)
	assert.Len(t, rec.Sent(), 1)
	var count int64
	require.NoError(t, db.Model(&card{}).Count(&count).Error)
	assert.Equal(t, map[bool]int64{true: 1, false: 0}[committed], count)
}

// proxy stands between a program and its database, and cuts the connection at a
// COMMIT once it is armed.
type proxy struct {
	listener net.Listener
	target   string
	forward  bool // the COMMIT reaches the database, its answer does not come back
	armed    atomic.Bool
	running  sync.WaitGroup
}

func listen(t *testing.T, target string, forward bool) *proxy {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{listener: listener, target: target, forward: forward}
	p.running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			p.running.Go(func() { p.serve(client) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		p.running.Wait()
	})
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", p.target)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	cut, answered := make(chan struct{}), make(chan struct{})
	p.running.Go(func() { // the database answers
		defer close(answered)
		buffer := make([]byte, 64<<10)
		for {
			n, err := server.Read(buffer)
			select {
			case <-cut:
				return
			default:
			}
			if err != nil {
				return
			}
			if _, err := client.Write(buffer[:n]); err != nil {
				return
			}
		}
	})
	buffer := make([]byte, 64<<10)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		isCommit := bytes.Contains(bytes.ToLower(buffer[:n]), []byte("commit"))
		if p.armed.Load() && isCommit {
			close(cut)
			if p.forward {
				_, _ = server.Write(buffer[:n])
				<-answered
			}
			return
		}
		if _, err := server.Write(buffer[:n]); err != nil {
			return
		}
	}
}
