package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const killClients = 20

// killTest is a server process that is killed and restarted, and clients that reconnect
// to it.
type killTest struct {
	t          *testing.T
	address    string
	file       string
	defect     string
	generation int
	process    *exec.Cmd
	clients    []*Client
	random     *rand.Rand
}

// TestKilledServers kills a server at random times. The next server asks the clients to
// load a snapshot. Afterwards they know every row of the database, each change has arrived
// at most once, and no change has arrived that was not committed.
func TestKilledServers(t *testing.T) {
	r := runKillTest(t, *kills, "")
	assert.False(t, r.Failed(), "%s", strings.Join(r.Problems, "\n"))
	assert.Equal(t, r.Expected, r.Delivered+r.Loaded)
	assert.Positive(t, r.NotRecovered["epoch"], "no client was asked to load a snapshot")
	assert.Positive(t, r.Delivered)
}

// TestKilledServersWithDefects calibrates the oracle: it must find the defect of each
// faulty server.
func TestKilledServersWithDefects(t *testing.T) {
	if testing.Short() {
		t.Skip("calibration only")
	}
	for defect, counted := range map[string]func(Result) int{
		"loss":      func(r Result) int { return r.Lost },
		"duplicate": func(r Result) int { return r.Duplicates },
		"phantom":   func(r Result) int { return r.Phantoms },
	} {
		t.Run(defect, func(t *testing.T) {
			r := runKillTest(t, 1, defect)
			assert.Positive(t, counted(r))
		})
	}
}

func runKillTest(t *testing.T, times int, defect string) Result {
	k := &killTest{t: t, address: freeAddress(t), file: filepath.Join(t.TempDir(), "kill.db"), defect: defect, random: rand.New(rand.NewPCG(*seed, 0))}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var running sync.WaitGroup
	k.start()
	defer func() { k.kill() }()
	for range killClients {
		c := &Client{
			URL: "ws://" + k.address + "/ws", Load: k.load, PingAfter: time.Second, Timeout: 5 * time.Second, MaxBackoff: 200 * time.Millisecond,
		}
		for _, board := range k.random.Perm(boards)[:boards/2] {
			c.Groups = append(c.Groups, fmt.Sprint("board-", board))
		}
		k.clients = append(k.clients, c)
		running.Go(func() { c.Run(ctx) })
	}
	begin := time.Now()
	for range times {
		time.Sleep(100*time.Millisecond + time.Duration(k.random.Int64N(int64(500*time.Millisecond))))
		k.kill()
		k.start()
	}
	time.Sleep(500 * time.Millisecond)
	_, err := k.get(ctx, "/stop")
	require.NoError(t, err)
	require.Eventually(t, k.caughtUp, time.Minute, 50*time.Millisecond, "a client has not caught up")
	took := time.Since(begin)
	stop()
	running.Wait()
	k.kill()
	r := k.check()
	t.Logf("seed %d, defect %q: %d kills in %s, %d clients, %d rows: %d expected changes: %d delivered as messages, %d loaded on request, %d lost, "+
		"%d duplicated, %d never committed, %d out of order, %d wrong offsets; %d recovered, not recovered %v, resyncs %v",
		*seed, defect, times, took.Round(time.Second), killClients, k.rows(), r.Expected, r.Delivered, r.Loaded, r.Lost,
		r.Duplicates, r.Phantoms, r.OutOfOrder, r.BadOffsets, r.Recovered, r.NotRecovered, r.Resyncs)
	return r
}

func freeAddress(t *testing.T) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// start starts a server and waits until it answers.
func (k *killTest) start() {
	k.t.Helper()
	k.generation++
	k.process = exec.Command(os.Args[0], "-test.run", "^TestServerToKill$")
	k.process.Env = append(os.Environ(), fileEnv+"="+k.file, addressEnv+"="+k.address, generationEnv+"="+strconv.Itoa(k.generation), defectEnv+"="+k.defect)
	k.process.Stdout, k.process.Stderr = os.Stderr, os.Stderr
	require.NoError(k.t, k.process.Start())
	require.Eventually(k.t, func() bool {
		_, err := k.get(context.Background(), "/rows?group=board-0")
		return err == nil
	}, 30*time.Second, 5*time.Millisecond, "the server does not answer")
}

// kill sends SIGKILL to the server and waits for the process to end.
func (k *killTest) kill() {
	if k.process != nil {
		_ = k.process.Process.Kill()
		_ = k.process.Wait()
		k.process = nil
	}
}

func (k *killTest) get(ctx context.Context, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+k.address+path, nil)
	if err != nil {
		return nil, err
	}
	r.Close = true
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, response.Status)
	}
	return io.ReadAll(response.Body)
}

func (k *killTest) load(ctx context.Context, group string) (rows []int64, err error) {
	text, err := k.get(ctx, "/rows?group="+url.QueryEscape(group))
	if err == nil {
		err = json.Unmarshal(text, &rows)
	}
	return rows, err
}

func (k *killTest) caughtUp() bool {
	for board := range boards {
		group := fmt.Sprint("board-", board)
		rows, err := k.load(context.Background(), group)
		if err != nil {
			return false
		}
		for _, c := range k.clients {
			if slices.Contains(c.Groups, group) && c.Last(group) < rows[len(rows)-1] {
				return false
			}
		}
	}
	return true
}

// check compares the events of the clients with the rows of the database.
func (k *killTest) check() Result {
	db := openFile(k.t, k.file)
	defer func() {
		pool, err := db.DB()
		require.NoError(k.t, err)
		require.NoError(k.t, pool.Close())
	}()
	var all Result
	for i, c := range k.clients {
		for _, group := range c.Groups {
			rows, err := rowsOf(db, group)
			require.NoError(k.t, err)
			all.Add(Check(fmt.Sprintf("client %d, %s", i, group), rows, c.Events(group)))
		}
	}
	return all
}

func (k *killTest) rows() (n int64) {
	db := openFile(k.t, k.file)
	require.NoError(k.t, db.Model(&entry{}).Count(&n).Error)
	pool, err := db.DB()
	require.NoError(k.t, err)
	require.NoError(k.t, pool.Close())
	return n
}
