package outbox

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
)

var (
	kills = flag.Int("kills", 4, "how many processes to kill on each database")
	seed  = flag.Uint64("seed", 0, "seed of the kills; 0: another one each time")
)

// campaign is a database with writers and relays in processes of their own.
type campaign struct {
	t      *testing.T
	e      engine
	dsn    string
	sink   *sink
	socket string
	db     *gorm.DB // without the plugin
	rng    *rand.Rand
}

func newCampaign(t *testing.T, e engine) *campaign {
	c := &campaign{t: t, e: e, dsn: e.create(t), sink: &sink{}}
	c.socket = c.sink.serve(t)
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("-seed %d", s)
	c.rng = rand.New(rand.NewPCG(s, 0))
	var err error
	c.db, err = open(e.name, c.dsn, gorm.Config{})
	require.NoError(t, err)
	pool, err := c.db.DB()
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, pool.Close()) })
	require.NoError(t, c.db.AutoMigrate(&item{}, &ledgerEntry{}))
	require.NoError(t, Migrate(c.db))
	for id := range uint(items + 1) {
		require.NoError(t, c.db.Create(&item{ID: id + 1}).Error)
	}
	return c
}

// run starts processes and kills some, one after another. Then it kills all of them.
func (c *campaign) run(kills int, roles ...string) {
	children := make([]*child, len(roles))
	for i, role := range roles {
		children[i] = start(c.t, role, c.e, c.dsn, c.socket)
	}
	for range kills {
		time.Sleep(time.Duration(20+c.rng.IntN(180)) * time.Millisecond)
		i := c.rng.IntN(len(children))
		if c.rng.IntN(4) == 0 { // a process that stands still, and goes on or not
			_ = children[i].command.Process.Signal(syscall.SIGSTOP)
			time.Sleep(time.Duration(c.rng.IntN(300)) * time.Millisecond)
			if c.rng.IntN(2) == 0 {
				_ = children[i].command.Process.Signal(syscall.SIGCONT)
				continue
			}
		}
		children[i].kill()
		children[i] = start(c.t, children[i].role, c.e, c.dsn, c.socket)
	}
	time.Sleep(200 * time.Millisecond)
	for _, child := range children {
		child.kill()
		if problems := strings.TrimSpace(child.errors.String()); problems != "" {
			c.t.Logf("%s: %s", child.role, problems)
		}
	}
}

// verdict is what pages would have seen in comparison with what has committed.
type verdict struct{ Changes, Lost, Phantoms, Twice, Misordered int }

func (v verdict) isRight() bool { return v.Lost+v.Phantoms+v.Twice+v.Misordered == 0 }

// judge compares the messages with the ledger.
func (c *campaign) judge() (v verdict) {
	var ledger []ledgerEntry
	require.NoError(c.t, c.db.Find(&ledger).Error)
	committed, told, last := map[string]bool{}, map[string]bool{}, map[string]int{}
	for _, e := range ledger {
		committed[fmt.Sprintf("item-%d update %d", e.Item, e.Version)] = true
	}
	c.sink.mu.Lock()
	defer c.sink.mu.Unlock()
	for _, m := range c.sink.messages {
		text := describe(m)
		var version int
		_, err := fmt.Sscanf(text[strings.LastIndexByte(text, ' '):], " %d", &version)
		require.NoError(c.t, err, text)
		switch {
		case told[text]:
			v.Twice++
		case !committed[text]:
			v.Phantoms++
		case version < last[m.Stream]:
			v.Misordered++
		}
		told[text], last[m.Stream] = true, version
	}
	for text := range committed {
		if !told[text] {
			v.Lost++
		}
	}
	v.Changes = len(committed)
	return v
}

// settle lets a relay publish what is left, and judges.
func (c *campaign) settle() (v verdict) {
	n := nodeOn(c.t, c.e, c.dsn, c.sink, gorm.Config{}, Config{})
	defer n.run()()
	var before verdict
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(300 * time.Millisecond) {
		if before, v = v, c.judge(); v == before && n.rows() == 0 && v.Changes > 0 {
			break // also a COMMIT of a killed process has ended by now
		}
	}
	return v
}

// Whatever process is killed, each change that has committed becomes one message, and the
// changes of a row keep their order: two processes write, two relay.
func TestKilled(t *testing.T) {
	onEach(t, func(t *testing.T, e engine) {
		c := newCampaign(t, e)
		c.run(*kills, writes, writes, relays, relays)
		v := c.settle()
		t.Logf("%d kills: %+v, %d repeats dropped by their numbers", *kills, v, c.sink.repeats)
		assert.True(t, v.isRight(), "%+v", v)
	})
}

// The controls: the campaign sees what is lost without an outbox, and by a relay that reads
// the rows behind the last id.
func TestKilledWithout(t *testing.T) {
	onEach(t, func(t *testing.T, e engine) {
		c := newCampaign(t, e)
		c.sink.set(func(s *sink) { s.pause = 5 * time.Millisecond })
		var v verdict
		for range 10 {
			if c.run(3, writesWithout, writesWithout); v.Lost > 0 {
				break
			}
			time.Sleep(500 * time.Millisecond)
			v = c.judge()
		}
		t.Logf("without an outbox: %+v", v)
		assert.Positive(t, v.Lost)
	})
}

func TestFollowedIDs(t *testing.T) {
	for _, e := range engines[1:] { // SQLite has one writer at a time
		t.Run(e.name, func(t *testing.T) {
			c := newCampaign(t, e)
			follower := start(t, followsIDs, e, c.dsn, c.socket)
			var v verdict
			for range 10 {
				c.run(0, writes, writes)
				time.Sleep(500 * time.Millisecond)
				if v = c.judge(); v.Lost > 0 {
					break
				}
			}
			follower.kill()
			t.Logf("behind the last id: %+v", v)
			assert.Positive(t, v.Lost)
		})
	}
}
