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

const killPages = 20

// killed is a server that is killed and started again, and pages that stay.
type killed struct {
	t       *testing.T
	address string
	file    string
	plant   string
	life    int
	process *exec.Cmd
	pages   []*Page
	random  *rand.Rand
}

// TestKilledServers: a page that is connected to a server that dies, at whatever
// instant, is told by the next one that it has to load its state, and has everything
// then; what is in the database arrives once, and nothing else does.
func TestKilledServers(t *testing.T) {
	v := runKilled(t, *kills, "")
	assert.False(t, v.Wrong(), "%s", strings.Join(v.Problems, "\n"))
	assert.Equal(t, v.Expected, v.Delivered+v.Loaded)
	assert.Positive(t, v.Anew["epoch"], "nobody was told anything")
	assert.Positive(t, v.Delivered)
}

// TestKilledServersPlanted calibrates the harness: it notices what the server does
// wrong on purpose.
func TestKilledServersPlanted(t *testing.T) {
	if testing.Short() {
		t.Skip("only calibrates")
	}
	for plant, counted := range map[string]func(Verdict) int{
		"loss":      func(v Verdict) int { return v.Silent },
		"duplicate": func(v Verdict) int { return v.Duplicates },
		"phantom":   func(v Verdict) int { return v.Phantoms },
	} {
		t.Run(plant, func(t *testing.T) {
			v := runKilled(t, 1, plant)
			assert.Positive(t, counted(v))
		})
	}
}

func runKilled(t *testing.T, times int, plant string) Verdict {
	k := &killed{t: t, address: freeAddress(t), file: filepath.Join(t.TempDir(), "kill.db"), plant: plant, random: rand.New(rand.NewPCG(*seed, 0))}
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	var running sync.WaitGroup
	k.start()
	defer func() { k.kill() }()
	for range killPages {
		p := &Page{
			URL: "ws://" + k.address + "/ws", Load: k.load, Quiet: time.Second, DeadAfter: 5 * time.Second, Backoff: 200 * time.Millisecond,
		}
		for _, board := range k.random.Perm(boards)[:boards/2] {
			p.Groups = append(p.Groups, fmt.Sprint("board-", board))
		}
		k.pages = append(k.pages, p)
		running.Go(func() { p.Run(ctx) })
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
	require.Eventually(t, k.caughtUp, time.Minute, 50*time.Millisecond, "the pages have not caught up")
	took := time.Since(begin)
	leave()
	running.Wait()
	k.kill()
	v := k.judge()
	t.Logf("seed %d, planted %q: %d kills in %s, %d pages, %d rows: %d to know: %d came as messages, %d loaded after a signal, %d lost in silence, "+
		"%d twice, %d phantoms, %d out of order, %d bad offsets; %d resumed, anew %v, resyncs %v",
		*seed, plant, times, took.Round(time.Second), killPages, k.rows(), v.Expected, v.Delivered, v.Loaded, v.Silent,
		v.Duplicates, v.Phantoms, v.Misordered, v.BadOffsets, v.Recovered, v.Anew, v.Resyncs)
	return v
}

func freeAddress(t *testing.T) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// start starts a server and returns when it answers.
func (k *killed) start() {
	k.t.Helper()
	k.life++
	k.process = exec.Command(os.Args[0], "-test.run", "^TestServerToKill$")
	k.process.Env = append(os.Environ(), fileEnv+"="+k.file, addressEnv+"="+k.address, lifeEnv+"="+strconv.Itoa(k.life), plantEnv+"="+k.plant)
	k.process.Stdout, k.process.Stderr = os.Stderr, os.Stderr
	require.NoError(k.t, k.process.Start())
	require.Eventually(k.t, func() bool {
		_, err := k.get(context.Background(), "/rows?group=board-0")
		return err == nil
	}, 30*time.Second, 5*time.Millisecond, "the server does not answer")
}

// kill kills the server with SIGKILL and waits until it is gone.
func (k *killed) kill() {
	if k.process != nil {
		_ = k.process.Process.Kill()
		_ = k.process.Wait()
		k.process = nil
	}
}

func (k *killed) get(ctx context.Context, path string) ([]byte, error) {
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

func (k *killed) load(ctx context.Context, group string) (rows []int64, err error) {
	text, err := k.get(ctx, "/rows?group="+url.QueryEscape(group))
	if err == nil {
		err = json.Unmarshal(text, &rows)
	}
	return rows, err
}

func (k *killed) caughtUp() bool {
	for board := range boards {
		group := fmt.Sprint("board-", board)
		rows, err := k.load(context.Background(), group)
		if err != nil {
			return false
		}
		for _, p := range k.pages {
			if slices.Contains(p.Groups, group) && p.Last(group) < rows[len(rows)-1] {
				return false
			}
		}
	}
	return true
}

// judge holds what the pages know against the rows of the database.
func (k *killed) judge() Verdict {
	db := openFile(k.t, k.file)
	defer func() {
		pool, err := db.DB()
		require.NoError(k.t, err)
		require.NoError(k.t, pool.Close())
	}()
	var all Verdict
	for i, p := range k.pages {
		for _, group := range p.Groups {
			rows, err := rowsOf(db, group)
			require.NoError(k.t, err)
			all.Add(Judge(fmt.Sprintf("page %d, %s", i, group), rows, p.Records(group)))
		}
	}
	return all
}

func (k *killed) rows() (n int64) {
	db := openFile(k.t, k.file)
	require.NoError(k.t, db.Model(&entry{}).Count(&n).Error)
	pool, err := db.DB()
	require.NoError(k.t, err)
	require.NoError(k.t, pool.Close())
	return n
}
