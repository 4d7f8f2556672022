// Package mutants calibrates the tests: it plants one fault at a time in the code and
// expects the named test to fail.
package mutants

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	files = flag.String("files", "", "try the mutants of these files (names or paths, separated by commas), or of all; empty: of none")
	every = flag.Int("every", 1, "try each mutant of this number, as a sample")
)

// mutant is one wrong variant of a file, and the test that fails for it.
type mutant struct {
	name       string
	file       string // from the root of the module
	old, wrong string // old occurs once in the file
	pkg, test  string // the package from the root of the module
	flags      string // of the test
}

const root = "../.." // of the module

func all() []mutant {
	return slices.Concat(fanoutMutants, upstreamMutants, hubMutants, hostileMutants, databaseMutants, orderMutants, nameMutants, viewMutants, accessMutants)
}

// TestMutantsApply checks, cheaply, that each mutant still has its place in the code,
// and its test.
func TestMutantsApply(t *testing.T) {
	names := map[string]bool{}
	for _, m := range all() {
		assert.False(t, names[m.name], "two mutants have the name %q", m.name)
		names[m.name] = true
		source, err := os.ReadFile(filepath.Join(root, m.file))
		require.NoError(t, err, m.name)
		assert.Equal(t, 1, strings.Count(string(source), m.old), "%s: %q must be unique in %s", m.name, m.old, m.file)
		assert.True(t, declares(t, m.pkg, m.test), "%s: there is no test %s", m.name, m.test)
	}
}

// declares reports whether the tests of a package have one of the name.
func declares(t *testing.T, pkg, test string) bool {
	files, err := filepath.Glob(filepath.Join(root, pkg, "*_test.go"))
	require.NoError(t, err)
	return slices.ContainsFunc(files, func(file string) bool {
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		return strings.Contains(string(source), "\nfunc "+test+"(t *testing.T)") || strings.Contains(string(source), "\nfunc "+test+"(f *testing.F)")
	})
}

// TestMutantsAreCaught runs the test of each chosen mutant, which must fail.
func TestMutantsAreCaught(t *testing.T) {
	if *files == "" {
		t.Skip("builds the tests once for each mutant; choose mutants with -files")
	}
	var chosen []mutant
	for _, file := range strings.Split(*files, ",") {
		before := len(chosen)
		for _, m := range all() {
			if file == "all" || file == m.file || file == path.Base(m.file) {
				chosen = append(chosen, m)
			}
		}
		require.Greater(t, len(chosen), before, "%s has no mutants", file)
	}
	chosen = sampled(chosen)
	var done atomic.Int64
	for _, m := range chosen {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			output := m.run(t)
			result := "survives"
			if m.caughtIn(t, output) {
				result = "caught"
			}
			fmt.Printf("%3d of %d  %-8s %3.0f s  %s: %s\n", done.Add(1), len(chosen), result, time.Since(start).Seconds(), m.file, m.name)
		})
	}
}

// sampled returns every -every-th of some mutants.
func sampled(all []mutant) (sample []mutant) {
	for i := 0; i < len(all); i += *every {
		sample = append(sample, all[i])
	}
	return sample
}

// run runs the test of the mutant on the wrong variant, and returns the output.
func (m mutant) run(t *testing.T) string {
	original, err := filepath.Abs(filepath.Join(root, m.file))
	require.NoError(t, err)
	source, err := os.ReadFile(original)
	require.NoError(t, err)
	dir := t.TempDir()
	changed, config := filepath.Join(dir, path.Base(m.file)), filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(changed, []byte(strings.Replace(string(source), m.old, m.wrong, 1)), 0o600))
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{original: changed}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(config, overlay, 0o600))

	arguments := []string{"test", "-overlay", config, "-timeout", "5m", "-run", "^" + m.test + "$", "./" + m.pkg}
	command := exec.CommandContext(t.Context(), "go", append(arguments, strings.Fields(m.flags)...)...)
	command.Dir = root
	output, err := command.CombinedOutput()
	assert.Error(t, err, "the test passes")
	return string(output)
}

// caughtIn reports whether the output shows that the test has failed by itself.
func (m mutant) caughtIn(t *testing.T, output string) bool {
	return assert.Regexp(t, `(?m)^(--- FAIL: `+m.test+`|panic: )`, output, "the mutant must build, and the test fail") &&
		assert.NotContains(t, output, "panic: test timed out", "the test must end")
}
