package faults

import (
	"fmt"
	"slices"
)

// judge follows one page through what it has learnt of one group.
type judge struct {
	Verdict
	truth   []int64 // what was committed, in order
	index   map[int64]int
	had     []how // for each of truth
	known   int   // all before it are known, or are missing and counted
	epoch   string
	offset  int64 // of the newest message; -1: unknown
	stale   bool  // told so, and not loaded yet
	resync  bool  // offsets may jump
	newest  int   // index of the newest change that came as a message
	subject string
}

type how int8

const (
	unknown how = iota
	byMessage
	byLoading
	missing
)

// Judge compares what a page has learnt of a group with what was committed in it,
// in order, from the moment on when the page had nothing. Every change must have
// come exactly once and in order, unless the page was told that something may be
// missing and has loaded the state after that; what the state had already may come
// again. Without offsets nothing can be told: then a page that connects again
// silently misses what was sent meanwhile.
func Judge(subject string, truth []int64, records []Record) Verdict {
	j := &judge{truth: truth, index: make(map[int64]int, len(truth)), had: make([]how, len(truth)), offset: -1, newest: -1, subject: subject}
	for i, n := range truth {
		j.index[n] = i
	}
	for i, r := range records {
		switch r.Kind {
		case Joined:
			j.joined(i, r)
		case Changed:
			j.changed(i, r)
		case Resync:
			j.told(i, r)
		case Loaded:
			j.loaded(i, r)
		case Ended:
		}
	}
	j.miss(len(records), len(truth))
	j.Expected = len(truth)
	for _, h := range j.had {
		switch h {
		case byMessage:
			j.Delivered++
		case byLoading:
			j.Loaded++
		}
	}
	return j.Verdict
}

func (j *judge) joined(at int, r Record) {
	switch r.Recovered {
	case "true":
		j.Recovered++
		j.resync = false
		if r.Epoch != j.epoch || r.Offset != j.offset+r.Missed {
			j.problem(&j.BadOffsets, at, "recovered %d after %s/%d to %s/%d", r.Missed, j.epoch, j.offset, r.Epoch, r.Offset)
		}
		return // the missed ones follow, and have to be the next ones
	case "false":
		tally(&j.Anew, map[string]int{r.Reason: 1})
		j.stale = true
	}
	j.epoch, j.offset, j.resync = r.Epoch, r.Offset, false
}

func (j *judge) changed(at int, r Record) {
	j.follow(at, r)
	i, there := j.index[r.N]
	if !there {
		j.problem(&j.Phantoms, at, "%d is not there", r.N)
		return
	}
	switch {
	case j.had[i] == byMessage:
		j.problem(&j.Duplicates, at, "%d comes again", r.N)
		return
	case i < j.newest:
		j.problem(&j.Misordered, at, "%d comes after %d", r.N, j.truth[j.newest])
	}
	j.newest = max(j.newest, i)
	if !j.stale {
		j.miss(at, i)
	}
	if j.had[i] == missing {
		j.Silent-- // it comes late: that is another fault
	}
	j.had[i] = byMessage
}

// follow checks that the offset is the next one.
func (j *judge) follow(at int, r Record) {
	if r.Offset < 0 {
		return
	}
	if j.offset >= 0 && r.Offset != j.offset+1 && (!j.resync || r.Offset <= j.offset) {
		j.problem(&j.BadOffsets, at, "offset %d comes after %d", r.Offset, j.offset)
	}
	j.offset, j.resync = r.Offset, false
}

// told takes a resync.
func (j *judge) told(at int, r Record) {
	tally(&j.Resyncs, map[string]int{r.Reason: 1})
	j.stale = true
	switch {
	case r.Offset < 0:
		j.resync = true
	case r.Epoch != "":
		j.epoch, j.offset, j.resync = r.Epoch, r.Offset, false
	default:
		j.follow(at, r)
	}
}

func (j *judge) loaded(at int, r Record) {
	j.stale = false
	for _, n := range r.Rows {
		i, there := j.index[n]
		switch {
		case !there:
			j.problem(&j.Phantoms, at, "%d was loaded and is not there", n)
		case j.had[i] == missing:
			// too late: it had to be known before
		case j.had[i] == unknown:
			j.had[i] = byLoading
		}
	}
}

// miss counts what is not known up to a change, and not told either.
func (j *judge) miss(at, until int) {
	for ; j.known < until; j.known++ {
		if j.had[j.known] == unknown {
			j.had[j.known] = missing
			j.problem(&j.Silent, at, "%d is missing", j.truth[j.known])
		}
	}
}

func (j *judge) problem(counter *int, at int, format string, args ...any) {
	*counter++
	if len(j.Problems) < 5 {
		j.Problems = append(j.Problems, fmt.Sprintf("%s, record %d: ", j.subject, at)+fmt.Sprintf(format, args...))
	}
}

// upTo returns 1 to n.
func upTo(n int64) []int64 {
	rows := make([]int64, 0, n)
	for i := range n {
		rows = append(rows, i+1)
	}
	return slices.Clip(rows)
}
