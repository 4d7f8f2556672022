package abuse

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const tableHead = "| attack | defence | honest p50/p99 calm | under attack | after the cut | heap MiB before/peak/after | RSS MiB | all cut after | went through |"

// The numbers of figures, in their order.
const (
	calm50 = iota
	calm99
	attacked50
	attacked99
	past50
	past99
	heapBefore
	heapPeak
	heapAfter
	resident
	cutAfter
	wentThrough
	count
)

// figures are those of a run, or the median of each from several runs.
type figures [count]int64

func (r *result) figures() figures {
	return figures{
		int64(at(r.calm, 50)), int64(at(r.calm, 99)), int64(at(r.attacked, 50)), int64(at(r.attacked, 99)), int64(at(r.past, 50)), int64(at(r.past, 99)),
		int64(r.before), int64(r.peak), int64(r.after), int64(r.rss), int64(r.cut), r.through,
	}
}

func medians(all []figures) (m figures) {
	for i := range m {
		var column []int64
		for _, f := range all {
			column = append(column, f[i])
		}
		slices.Sort(column)
		m[i] = column[len(column)/2]
	}
	return m
}

// row returns the row of the table in doc/SECURITY.md.
func (f figures) row(a *attack, defence string) string {
	cut, past, through := "-", "-", "-"
	if f[cutAfter] > 0 {
		cut = time.Duration(f[cutAfter]).Round(time.Millisecond).String()
		if a.some {
			cut += " (the first)"
		}
		past = fmt.Sprintf("%v/%v", time.Duration(f[past50]), time.Duration(f[past99]))
	}
	if a.counts {
		through = fmt.Sprint(f[wentThrough])
	}
	return fmt.Sprintf("| %d x %s | %s | %v/%v | %v/%v | %s | %d/%d/%d | %d | %s | %s |", a.conns, a.name, defence,
		time.Duration(f[calm50]), time.Duration(f[calm99]), time.Duration(f[attacked50]), time.Duration(f[attacked99]), past,
		f[heapBefore]>>20, f[heapPeak]>>20, f[heapAfter]>>20, f[resident], cut, through)
}

// pin lets this process, with the hub, run on the first processor only. The attackers get
// the second one.
func pin(t *testing.T) {
	if runtime.NumCPU() < 2 {
		t.Skip("needs two processors")
	}
	out, err := exec.CommandContext(t.Context(), "taskset", "-a", "-c", "-p", "0", strconv.Itoa(os.Getpid())).CombinedOutput()
	require.NoError(t, err, string(out))
	runtime.GOMAXPROCS(1)
}

// writeTable puts the table in place of that in doc/SECURITY.md.
func writeTable(t *testing.T, table []string) {
	const name = "../../doc/SECURITY.md"
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	lines := strings.Split(string(text), "\n")
	first := slices.Index(lines, tableHead)
	require.GreaterOrEqual(t, first, 0, "the head of the table")
	end := first
	for end < len(lines) && strings.HasPrefix(lines[end], "|") {
		end++
	}
	lines = slices.Concat(lines[:first], table, lines[end:])
	require.NoError(t, os.WriteFile(name, []byte(strings.Join(lines, "\n")), 0o644))
}
