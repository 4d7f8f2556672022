package faults

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func joined(epoch string, offset int64) Record {
	return Record{Kind: Joined, Epoch: epoch, Offset: offset}
}

func resumed(epoch string, offset, missed int64) Record {
	return Record{Kind: Joined, Epoch: epoch, Offset: offset, Missed: missed, Recovered: "true"}
}

func anew(epoch string, offset int64) Record {
	return Record{Kind: Joined, Epoch: epoch, Offset: offset, Recovered: "false", Reason: "epoch"}
}

func change(n, offset int64) Record { return Record{Kind: Changed, N: n, Offset: offset} }

func plain(n int64) Record { return change(n, -1) }

func resync(offset int64) Record { return Record{Kind: Resync, Offset: offset, Reason: "rows"} }

func loaded(rows ...int64) Record { return Record{Kind: Loaded, Rows: rows, Offset: -1} }

// TestJudge calibrates the oracle: it notices every planted fault, and none where
// there is none.
func TestJudge(t *testing.T) {
	for _, row := range []struct {
		name    string
		truth   []int64
		records []Record
		want    Verdict
	}{
		{"all came", upTo(3), []Record{joined("e", 0), change(1, 1), change(2, 2), change(3, 3)}, Verdict{Delivered: 3}},
		{"all came, without offsets", upTo(3), []Record{joined("", -1), plain(1), plain(2), plain(3)}, Verdict{Delivered: 3}},
		{"resumed", upTo(3), []Record{joined("e", 0), change(1, 1), resumed("e", 3, 2), change(2, 2), change(3, 3)}, Verdict{Delivered: 3, Recovered: 1}},
		{"told and loaded", upTo(4), []Record{joined("e", 0), change(1, 1), anew("f", 7), loaded(1, 2, 3), change(4, 8)}, Verdict{Delivered: 2, Loaded: 2}},
		{"loaded what comes as well", upTo(3), []Record{joined("e", 0), anew("f", 0), loaded(1, 2), change(2, 1), change(3, 2)}, Verdict{Delivered: 2, Loaded: 1}},
		{"resync with a position of its own", upTo(3), []Record{joined("e", 0), resync(1), loaded(1), change(2, 2), change(3, 3)}, Verdict{Delivered: 2, Loaded: 1}},
		{"resync without an offset", upTo(4), []Record{joined("e", 0), change(1, 1), resync(-1), loaded(1, 2, 3), change(4, 4)}, Verdict{Delivered: 2, Loaded: 2}},
		{"rolled back numbers are no gap", []int64{1, 5, 9}, []Record{joined("e", 0), change(1, 1), change(5, 2), change(9, 3)}, Verdict{Delivered: 3}},

		{"one is lost", upTo(3), []Record{joined("e", 0), change(1, 1), change(3, 2)}, Verdict{Delivered: 2, Silent: 1}},
		{"one is lost, and its offset", upTo(3), []Record{joined("e", 0), change(1, 1), change(3, 3)}, Verdict{Delivered: 2, Silent: 1, BadOffsets: 1}},
		{"the first is lost", upTo(2), []Record{joined("e", 0), change(2, 1)}, Verdict{Delivered: 1, Silent: 1}},
		{"the last is lost", upTo(2), []Record{joined("e", 0), change(1, 1)}, Verdict{Delivered: 1, Silent: 1}},
		{"lost between connections", upTo(3), []Record{joined("", -1), plain(1), joined("", -1), plain(3)}, Verdict{Delivered: 2, Silent: 1}},
		{"lost while resuming", upTo(3), []Record{joined("e", 0), change(1, 1), resumed("e", 3, 2), change(3, 3)}, Verdict{Delivered: 2, Silent: 1, BadOffsets: 1, Recovered: 1}},
		{"recovered to a wrong place", upTo(2), []Record{joined("e", 0), change(1, 1), resumed("e", 1, 1), change(2, 2)}, Verdict{Delivered: 2, BadOffsets: 1, Recovered: 1}},
		{"recovered in another epoch", upTo(2), []Record{joined("e", 0), change(1, 1), resumed("f", 1, 0), change(2, 2)}, Verdict{Delivered: 2, BadOffsets: 1, Recovered: 1}},
		{"told, but loaded too little", upTo(3), []Record{joined("e", 0), anew("f", 0), loaded(1), change(3, 1)}, Verdict{Delivered: 1, Loaded: 1, Silent: 1}},
		{"told, and never loaded", upTo(2), []Record{joined("e", 0), change(1, 1), anew("f", 0)}, Verdict{Delivered: 1, Silent: 1}},
		{"lost, and loaded much later", upTo(4), []Record{joined("e", 0), change(1, 1), change(3, 2), anew("f", 0), loaded(1, 2, 3, 4)}, Verdict{Delivered: 2, Loaded: 1, Silent: 1}},
		{"twice", upTo(2), []Record{joined("e", 0), change(1, 1), change(1, 2), change(2, 3)}, Verdict{Delivered: 2, Duplicates: 1}},
		{"twice, with the same offset", upTo(2), []Record{joined("e", 0), change(1, 1), change(1, 1), change(2, 2)}, Verdict{Delivered: 2, Duplicates: 1, BadOffsets: 1}},
		{"twice by resuming", upTo(2), []Record{joined("e", 0), change(1, 1), resumed("e", 2, 1), change(1, 1), change(2, 2)}, Verdict{Delivered: 2, Duplicates: 1, BadOffsets: 1, Recovered: 1}},
		{"swapped", upTo(3), []Record{joined("e", 0), change(1, 1), change(3, 2), change(2, 3)}, Verdict{Delivered: 3, Misordered: 1}},
		{"an old one after a load", upTo(3), []Record{joined("e", 0), anew("f", 0), loaded(1, 2), change(3, 1), change(2, 2)}, Verdict{Delivered: 2, Loaded: 1, Misordered: 1}},
		{"what is not there", upTo(1), []Record{joined("e", 0), change(1, 1), change(7, 2)}, Verdict{Delivered: 1, Phantoms: 1}},
		{"offset jumps", upTo(2), []Record{joined("e", 0), change(1, 1), change(2, 5)}, Verdict{Delivered: 2, BadOffsets: 1}},
		{"offset goes back after a resync", upTo(2), []Record{joined("e", 4), change(1, 5), resync(-1), loaded(1), change(2, 3)}, Verdict{Delivered: 2, BadOffsets: 1}},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := Judge("page", row.truth, row.records)
			row.want.Expected = len(row.truth)
			row.want.Problems, row.want.Anew, row.want.Resyncs = got.Problems, got.Anew, got.Resyncs
			assert.Equal(t, row.want, got)
			assert.Equal(t, got.Wrong(), len(got.Problems) > 0)
		})
	}
}

// TestJudgeNoticesEveryOne leaves out, repeats and swaps each of many changes.
func TestJudgeNoticesEveryOne(t *testing.T) {
	const n = 50
	whole := []Record{joined("e", 0)}
	for i := range int64(n) {
		whole = append(whole, change(i+1, i+1))
	}
	assert.False(t, wrong(whole, n))
	for i := 1; i <= n; i++ {
		without := append(append([]Record{}, whole[:i]...), whole[i+1:]...)
		lost := Judge("page", upTo(n), without)
		assert.Equal(t, 1, lost.Silent, "without %d", i)
		twice := append(append([]Record{}, whole[:i+1]...), whole[i:]...)
		again := Judge("page", upTo(n), twice)
		assert.Equal(t, 1, again.Duplicates, "%d twice", i)
		if i < n {
			swapped := append([]Record{}, whole...)
			swapped[i], swapped[i+1] = swapped[i+1], swapped[i]
			order := Judge("page", upTo(n), swapped)
			assert.Equal(t, 1, order.Misordered, "%d after the next", i)
			assert.Zero(t, order.Silent)
		}
	}
}

func wrong(records []Record, n int64) bool {
	v := Judge("page", upTo(n), records)
	return v.Wrong()
}
