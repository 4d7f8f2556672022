package rohrpost

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var mutants = flag.Bool("mutants", false, "try the wrong variants of the database half")

// TestMutantsAreCaught calibrates the property tests: each wrong variant of the
// production code must make the named test fail.
func TestMutantsAreCaught(t *testing.T) {
	if !*mutants {
		t.Skip("builds the package once for each variant")
	}
	for _, mutant := range []struct{ name, file, old, wrong, test string }{
		{"sends before commit", "announce.go", "alone := tx == nil", "alone := m != nil", "TestPrograms"},
		{"ignores savepoints", "savepoint.go", `if verb == "" {`, `if verb != "-" {`, "TestPrograms"},
		{"sends on a failed COMMIT", "commit.go", "case err == nil:", "case err == nil || !wasDone:", "TestPrograms"},
		{"sends although the context was cancelled", "commit.go", "case !wasDone && !refused(err):", "case wasDone || !refused(err):", "TestPrograms"},
		{"ROLLBACK TO gives up the savepoint", "savepoint.go", "tx.marks = tx.marks[:i+1]", "tx.marks = tx.marks[:i]", "TestPrograms"},
		{"RELEASE is not seen", "savepoint.go", `case next("RELEASE"):`, `case next("RELEASED"):`, "TestPrograms"},
		{"the oldest savepoint of a name counts", "savepoint.go", "for i := len(tx.marks) - 1; i >= 0; i-- {", "for i := range tx.marks {", "TestPrograms"},
		{"shows the half-filled struct", "model.go", "return m.namesGroup || m.namesGroups || m.pushesData ||", "return", "TestPrograms"},
		{"takes an existing row for a created one", "upsert.go", "before[w.before[i].key.text] =", `before[""] =`, "TestPrograms"},
		{"takes an update for nothing", "upsert.go", "case u.nothing ||", "case !u.nothing ||", "TestPrograms"},
		{"announces what changed nothing", "plugin.go", "db.RowsAffected != 0 &&", "", "TestCatalogue"},
		{"leaves moved rows in the old group", "write.go", "w.moves = w.changesLife() || m.moves(set)", "w.moves = w.changesLife()", "TestPrograms"},
		{"does not see what comes back", "write.go", "w.moves = w.changesLife() || m.moves(set)", "w.moves = m.moves(set)", "TestPrograms"},
		{"shows what is soft-deleted", "model.go", "!isZero && !isZeroValue(field, value) {", "!isZero && !isZeroValue(field, value) && false {", "TestPrograms"},
		{"leaves rows in the order of the database", "announce.go", "	rows = sorted(rows)", "", "TestCatalogue"},
	} {
		t.Run(mutant.name, func(t *testing.T) {
			t.Parallel()
			source, err := os.ReadFile(mutant.file)
			require.NoError(t, err)
			require.Equal(t, 1, strings.Count(string(source), mutant.old), "the place to change must be unique")
			wrong := strings.Replace(string(source), mutant.old, mutant.wrong, 1)
			output, err := testOverlaid(t, mutant.file, wrong, mutant.test)
			require.Error(t, err, "the variant was not caught:\n%s", output)
			assert.Regexp(t, `(?m)^(--- FAIL: `+mutant.test+`|panic: )`, output, "it must build")
			assert.NotContains(t, output, "panic: test timed out", "it must end")
		})
	}
}

// testOverlaid runs one of the property tests with another text for a file.
func testOverlaid(t *testing.T, file, text, test string) (string, error) {
	dir := t.TempDir()
	changed := filepath.Join(dir, file)
	require.NoError(t, os.WriteFile(changed, []byte(text), 0o600))
	original, err := filepath.Abs(file)
	require.NoError(t, err)
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{original: changed}})
	require.NoError(t, err)
	config := filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(config, overlay, 0o600))
	arguments := []string{"test", "-overlay", config, "-run", "^" + test + "$"}
	if test == "TestPrograms" || test == "TestCatalogue" {
		arguments = append(arguments, "./internal/writetest", "-programs", "1000")
	}
	command := exec.CommandContext(t.Context(), "go", arguments...)
	output, err := command.CombinedOutput()
	return string(output), err
}
