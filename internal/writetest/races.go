package writetest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rohrpost/rohrpost"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
)

// Races updates rows by condition while others move rows into and out of it: not
// one wrong key is announced, and none is missing, except where a resync said so.
func Races(t *testing.T, e Engine) {
	for mode, config := range modes {
		t.Run(mode, func(t *testing.T) {
			b := e.open(t, config, rohrpost.PluginConfig{})
			l := ledger{e}
			l.install(t, b.db)
			p := &program{engine: e}
			p.fresh(t, b)
			for i := range 10 {
				require.NoError(t, b.withoutNotify().Create(&Cell{Sheet: "z", Place: i, Text: "out"}).Error)
				require.NoError(t, b.withoutNotify().Create(&Ticket{ID: uint(10 + i), BoardID: 7}).Error)
			}
			require.NoError(t, b.withoutNotify().Exec("DELETE FROM ledger").Error)
			race(b.db)
			wrong, missing, resyncs := compare(l.entries(t, b.db), b.take())
			t.Logf("%d resyncs of %v", len(resyncs), slices.Compact(resyncs))
			assert.Empty(t, wrong, "announced, but not in the database")
			for _, line := range missing {
				moves := strings.Contains(line, " board-")
				assert.True(t, moves && len(resyncs) > 0, "in the database, but not announced: %s", line)
			}
			if e.SQL != "postgres" { // there alone another can step in between
				assert.Empty(t, resyncs)
			}
		})
	}
}

// race runs writers side by side; some may fail, for a deadlock is one's own.
func race(db *gorm.DB) {
	const rounds = 60
	var writers sync.WaitGroup
	for w := range 2 {
		writers.Go(func() {
			for i := range rounds {
				db.Model(&Cell{}).Where("text LIKE ?", "in%").Update("text", fmt.Sprintf("in %d %d", w, i))
				db.Model(&Ticket{}).Where("board_id = ?", 7).Update("title", fmt.Sprintf("t %d %d", w, i))
				if i%10 == 9 {
					db.Where("text LIKE ?", "in%").Delete(&Cell{})
				}
			}
		})
		writers.Go(func() {
			for i := range rounds {
				place := (i*7 + w*3) % 10
				db.Model(&Cell{Sheet: "z", Place: place}).Update("text", []string{"in", "out"}[i%2])
				db.Model(&Ticket{ID: uint(10 + place)}).Update("board_id", 7+i%2)
				if i%10 == 9 {
					db.Save(&Cell{Sheet: "z", Place: place, Text: "in again"})
				}
			}
		})
	}
	writers.Wait()
}

// compare takes both as sets in which an element may stand several times.
func compare(entries []entry, announced []string) (wrong, missing, resyncs []string) {
	counts, optional := map[string]int{}, map[string]int{}
	for _, e := range entries {
		if e.Same {
			optional[e.Text]++
		} else {
			counts[e.Text]++
		}
	}
	for _, line := range announced {
		switch text := textOf(line); {
		case strings.HasPrefix(line, rohrpost.Resync):
			resyncs = append(resyncs, line)
		case counts[text] > 0:
			counts[text]--
		case optional[text] > 0:
			optional[text]--
		default:
			wrong = append(wrong, line)
		}
	}
	for text, count := range counts {
		for range count {
			missing = append(missing, text)
		}
	}
	return wrong, missing, resyncs
}
