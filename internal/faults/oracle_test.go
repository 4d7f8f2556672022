package faults

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func subscribed(epoch string, offset int64) Event {
	return Event{Kind: Subscribed, Epoch: epoch, Offset: offset}
}

func resumed(epoch string, offset, missed int64) Event {
	return Event{Kind: Subscribed, Epoch: epoch, Offset: offset, Missed: missed, Recovered: "true"}
}

func notRecovered(epoch string, offset int64) Event {
	return Event{Kind: Subscribed, Epoch: epoch, Offset: offset, Recovered: "false", Reason: "epoch"}
}

func change(n, offset int64) Event {
	return Event{Kind: Changed, N: n, Offset: offset, Prev: offset - 1}
}

func withoutOffset(n int64) Event { return change(n, -1) }

func resync(offset int64) Event {
	return Event{Kind: Resync, Offset: offset, Prev: offset - 1, Reason: "rows"}
}

// after returns an event whose message comes after an offset.
func after(e Event, prev int64) Event { e.Prev = prev; return e }

func loaded(rows ...int64) Event { return Event{Kind: Loaded, Rows: rows, Offset: -1} }

// TestCheck calibrates the oracle: it must find every violation and report none in a
// correct log.
func TestCheck(t *testing.T) {
	for _, test := range []struct {
		name      string
		committed []int64
		events    []Event
		want      Result
	}{
		{"all changes arrive", upTo(3), []Event{subscribed("e", 0), change(1, 1), change(2, 2), change(3, 3)}, Result{Delivered: 3}},
		{"all changes arrive without offsets", upTo(3), []Event{subscribed("", -1), withoutOffset(1), withoutOffset(2), withoutOffset(3)}, Result{Delivered: 3}},
		{"resumed", upTo(3), []Event{subscribed("e", 0), change(1, 1), resumed("e", 3, 2), change(2, 2), change(3, 3)}, Result{Delivered: 3, Recovered: 1}},
		{"snapshot after a failed recovery", upTo(4), []Event{subscribed("e", 0), change(1, 1), notRecovered("f", 7), loaded(1, 2, 3), change(4, 8)}, Result{Delivered: 2, Loaded: 2}},
		{"snapshot contains a change that also arrives", upTo(3), []Event{subscribed("e", 0), notRecovered("f", 0), loaded(1, 2), change(2, 1), change(3, 2)}, Result{Delivered: 2, Loaded: 1}},
		{"resync with an offset", upTo(3), []Event{subscribed("e", 0), resync(1), loaded(1), change(2, 2), change(3, 3)}, Result{Delivered: 2, Loaded: 1}},
		{"resync without an offset", upTo(4), []Event{subscribed("e", 0), change(1, 1), resync(-1), loaded(1, 2, 3), change(4, 4)}, Result{Delivered: 2, Loaded: 2}},
		{"rolled back numbers are not a gap", []int64{1, 5, 9}, []Event{subscribed("e", 0), change(1, 1), change(5, 2), change(9, 3)}, Result{Delivered: 3}},

		{"a change is lost", upTo(3), []Event{subscribed("e", 0), change(1, 1), change(3, 2)}, Result{Delivered: 2, Lost: 1}},
		{"a change and its offset are lost", upTo(3), []Event{subscribed("e", 0), change(1, 1), change(3, 3)}, Result{Delivered: 2, Lost: 1, BadOffsets: 1}},
		{"the first change is lost", upTo(2), []Event{subscribed("e", 0), change(2, 1)}, Result{Delivered: 1, Lost: 1}},
		{"the last change is lost", upTo(2), []Event{subscribed("e", 0), change(1, 1)}, Result{Delivered: 1, Lost: 1}},
		{"a change is lost between connections", upTo(3), []Event{subscribed("", -1), withoutOffset(1), subscribed("", -1), withoutOffset(3)}, Result{Delivered: 2, Lost: 1}},
		{"a change is lost in the replay", upTo(3), []Event{subscribed("e", 0), change(1, 1), resumed("e", 3, 2), change(3, 3)}, Result{Delivered: 2, Lost: 1, BadOffsets: 1, Recovered: 1}},
		{"recovered to a wrong offset", upTo(2), []Event{subscribed("e", 0), change(1, 1), resumed("e", 1, 1), change(2, 2)}, Result{Delivered: 2, BadOffsets: 1, Recovered: 1}},
		{"recovered in another epoch", upTo(2), []Event{subscribed("e", 0), change(1, 1), resumed("f", 1, 0), change(2, 2)}, Result{Delivered: 2, BadOffsets: 1, Recovered: 1}},
		{"snapshot lacks a change", upTo(3), []Event{subscribed("e", 0), notRecovered("f", 0), loaded(1), change(3, 1)}, Result{Delivered: 1, Loaded: 1, Lost: 1}},
		{"snapshot is never loaded", upTo(2), []Event{subscribed("e", 0), change(1, 1), notRecovered("f", 0)}, Result{Delivered: 1, Lost: 1}},
		{"a lost change is in a later snapshot", upTo(4), []Event{subscribed("e", 0), change(1, 1), change(3, 2), notRecovered("f", 0), loaded(1, 2, 3, 4)}, Result{Delivered: 2, Loaded: 1, Lost: 1}},
		{"a change arrives twice", upTo(2), []Event{subscribed("e", 0), change(1, 1), change(1, 2), change(2, 3)}, Result{Delivered: 2, Duplicates: 1}},
		{"a change arrives twice with the same offset", upTo(2), []Event{subscribed("e", 0), change(1, 1), change(1, 1), change(2, 2)}, Result{Delivered: 2, Duplicates: 1, BadOffsets: 1}},
		{"the replay repeats a change", upTo(2), []Event{subscribed("e", 0), change(1, 1), resumed("e", 2, 1), change(1, 1), change(2, 2)}, Result{Delivered: 2, Duplicates: 1, BadOffsets: 1, Recovered: 1}},
		{"changes are swapped", upTo(3), []Event{subscribed("e", 0), change(1, 1), change(3, 2), change(2, 3)}, Result{Delivered: 3, OutOfOrder: 1}},
		{"an older change follows a newer one after a snapshot", upTo(3), []Event{subscribed("e", 0), notRecovered("f", 0), loaded(1, 2), change(3, 1), change(2, 2)}, Result{Delivered: 2, Loaded: 1, OutOfOrder: 1}},
		{"a change was never committed", upTo(1), []Event{subscribed("e", 0), change(1, 1), change(7, 2)}, Result{Delivered: 1, Phantoms: 1}},
		{"an offset is skipped", upTo(2), []Event{subscribed("e", 0), change(1, 1), change(2, 5)}, Result{Delivered: 2, BadOffsets: 1}},
		{"offsets skip", upTo(3), []Event{subscribed("e", 4), after(change(1, 9), 4), after(change(2, 20), 9), resumed("e", 31, 0), after(change(3, 40), 31)}, Result{Delivered: 3, Recovered: 1}},
		{"a message before one is missing", upTo(2), []Event{subscribed("e", 4), after(change(1, 9), 4), after(change(2, 20), 12)}, Result{Delivered: 2, BadOffsets: 1}},
		{"an offset decreases after a resync", upTo(2), []Event{subscribed("e", 4), change(1, 5), resync(-1), loaded(1), change(2, 3)}, Result{Delivered: 2, BadOffsets: 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := Check("client", test.committed, test.events)
			test.want.Expected = len(test.committed)
			test.want.Problems, test.want.NotRecovered, test.want.Resyncs = got.Problems, got.NotRecovered, got.Resyncs
			assert.Equal(t, test.want, got)
			assert.Equal(t, got.Failed(), len(got.Problems) > 0)
		})
	}
}

// TestCheckFindsEachChange omits, repeats and swaps each of many changes.
func TestCheckFindsEachChange(t *testing.T) {
	const n = 50
	whole := []Event{subscribed("e", 0)}
	for i := range int64(n) {
		whole = append(whole, change(i+1, i+1))
	}
	assert.False(t, failed(whole, n))
	for i := 1; i <= n; i++ {
		without := append(append([]Event{}, whole[:i]...), whole[i+1:]...)
		lost := Check("client", upTo(n), without)
		assert.Equal(t, 1, lost.Lost, "without %d", i)
		twice := append(append([]Event{}, whole[:i+1]...), whole[i:]...)
		again := Check("client", upTo(n), twice)
		assert.Equal(t, 1, again.Duplicates, "%d twice", i)
		if i < n {
			swapped := append([]Event{}, whole...)
			swapped[i], swapped[i+1] = swapped[i+1], swapped[i]
			order := Check("client", upTo(n), swapped)
			assert.Equal(t, 1, order.OutOfOrder, "%d after the next", i)
			assert.Zero(t, order.Lost)
		}
	}
}

func failed(events []Event, n int64) bool {
	r := Check("client", upTo(n), events)
	return r.Failed()
}
