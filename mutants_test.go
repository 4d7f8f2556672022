package rohrpost

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMutantsAreCaught calibrates the property tests: each wrong variant of the
// production code must make the named test fail.
func TestMutantsAreCaught(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the package once for each variant")
	}
	const capture, notify = "internal/capture/", "internal/notify/"
	for _, mutant := range []struct{ name, file, old, wrong, test string }{
		{"sends before commit", capture + "callbacks.go", "		tx.wrote(s)\n		kept.Captured(s)\n", "		kept = p.consumer.Begin(s.Context)\n		kept.Captured(s)\n		p.publish(kept, nil)\n", "TestPrograms"},
		{"ignores savepoints", capture + "savepoint.go", `if verb == "" {`, `if verb != "-" {`, "TestPrograms"},
		{"sends on a failed COMMIT", capture + "tx.go", "case err == nil:", "case err == nil || !wasDone:", "TestPrograms"},
		{"sends although the context was cancelled", capture + "tx.go", "case !wasDone && !errors.Is(err, sql.ErrTxDone) &&", "case (wasDone || !answered(err)) && !errors.Is(err, sql.ErrTxDone) || false &&", "TestPrograms"},
		{"ROLLBACK TO gives up the savepoint", capture + "tx.go", "t.savepoints = t.savepoints[:i+1]", "t.savepoints = t.savepoints[:i]", "TestPrograms"},
		{"RELEASE is not seen", capture + "savepoint.go", `case next("RELEASE"):`, `case next("RELEASED"):`, "TestPrograms"},
		{"the oldest savepoint of a name counts", capture + "tx.go", "for i := len(t.savepoints) - 1; i >= 0; i-- {", "for i := range t.savepoints {", "TestPrograms"},
		{"shows the half-filled struct", notify + "model.go", "return m.namesGroup || m.namesGroups || m.makesPayload ||", "return", "TestPrograms"},
		{"takes an existing row for a created one", capture + "upserted.go", "before[w.before[i].Key.text] =", `before[""] =`, "TestPrograms"},
		{"takes an update for nothing", capture + "upserted.go", "case u.nothing ||", "case !u.nothing ||", "TestPrograms"},
		{"announces what changed nothing", capture + "callbacks.go", "db.RowsAffected != 0 &&", "", "TestCatalogue"},
		{"leaves moved rows in the old group", capture + "plan.go", "(f.hides || f.before)", "f.hides", "TestPrograms"},
		{"does not see what comes back", capture + "plan.go", "(f.hides || f.before)", "f.before", "TestPrograms"},
		{"shows what is soft-deleted", capture + "table.go", "!isZero && !isZeroValue(field, value) {", "!isZero && !isZeroValue(field, value) && false {", "TestPrograms"},
		{"leaves rows in the order of the database", capture + "changed.go", "s.Rows = sortRows(rows)", "s.Rows = rows", "TestCatalogue"},

		{"enters after COMMIT", capture + "tx.go", "	t.plugin.order.enter(&t.turn, t.rows)\n	return true", "	return true", "TestCommitOrder"},
		{"does not wait", capture + "order.go", "	if len(t.earlier) == 0 {", "	if true {", "TestCommitOrder"},
		{"a refused COMMIT leaves at once", capture + "plugin.go", "	if t != nil {\n		p.order.wait(t)", "	if t != nil && o != RolledBack {\n		p.order.wait(t)", "TestCommitOrder"},
		{"leaves before publishing", capture + "plugin.go", "	if kept != nil {\n		kept.End(o)\n	}\n	overtaken := t != nil && p.order.leave(t)\n", "	overtaken := t != nil && p.order.leave(t)\n	if kept != nil {\n		kept.End(o)\n	}\n", "TestCommitOrder"},
		{"leaves after the functions", capture + "plugin.go", "	overtaken := t != nil && p.order.leave(t)\n	if kept != nil {\n		kept.Finish(overtaken)\n	}", "	if kept != nil {\n		kept.Finish(t != nil && t.overtaken)\n	}\n	if t != nil {\n		p.order.leave(t)\n	}", "TestCommitOrder"},
		{"says nothing of being overtaken", capture + "order.go", "	return t.overtaken", "	return false", "TestCommitOrder"},
		{"only the first row counts", capture + "order.go", "	for _, row := range rows {", "	for _, row := range rows[:1] {", "TestCommitOrder"},
		{"does not tell tables apart", capture + "order.go", "rowID{s.Table.schema.Table, key.text}", "rowID{\"\", key.text}", "TestCommitOrder"},
		{"waits for ever", capture + "order.go", "time.NewTimer(maxWait)", "time.NewTimer(maxWait * 10000)", "TestCommitOrder"},
		{"waits anew for each", capture + "order.go", "	for _, earlier := range t.earlier {\n		select {", "	for _, earlier := range t.earlier {\n		late.Reset(maxWait)\n		select {", "TestCommitOrder"},
		{"waits for one only", capture + "order.go", "	for _, earlier := range t.earlier {\n		select {", "	for _, earlier := range t.earlier[:1] {\n		select {", "TestCommitOrder"},
		{"stays in the map", capture + "order.go", "		if o.last[row] == t {", "		if o.last[row] != t {", "TestCommitOrder"},
		{"takes the place of a later one along", capture + "order.go", "		if o.last[row] == t {\n", "		{\n", "TestCommitOrder"},
		{"does not take the place", capture + "order.go", "		o.last[row] = t\n", "		if o.last[row] == nil {\n			o.last[row] = t\n		}\n", "TestCommitOrder"},
		{"overtakes only whom it waits for", capture + "order.go", "			o.overtake(t.earlier)\n		}", "		}", "TestCommitOrder"},
		{"unknown rows wait for nobody", capture + "order.go", "		if row == (rowID{}) {\n			for", "		if false {\n			for", "TestCommitOrder"},
		{"nobody waits for unknown rows", capture + "order.go", "	t.follow(o.last[rowID{}])\n", "", "TestCommitOrder"},
		{"unknown rows take no place", capture + "order.go", "	if s.Unknown != nil || s.rowless {", "	if s.rowless {", "TestCommitOrder"},
		{"does not leave after a panic", capture + "tx.go", "	defer func() {\n		kept, outcome := t.finish(outcome)\n		t.plugin.end(kept, &t.turn, outcome)\n	}()\n	wasDone := t.ctx.Err() != nil\n	err := t.Tx.Commit()\n", "	wasDone := t.ctx.Err() != nil\n	err := t.Tx.Commit()\n	defer func() {\n		kept, outcome := t.finish(outcome)\n		t.plugin.end(kept, &t.turn, outcome)\n	}()\n", "TestCommitOrder"},
		{"a second COMMIT ends the turn", capture + "tx.go", "		return sql.ErrTxDone\n	}\n	outcome", "		t.plugin.order.leave(&t.turn)\n		return sql.ErrTxDone\n	}\n	outcome", "TestCommitOrder"},
		{"enters what was rolled back", capture + "tx.go", "	t.rows = t.rows[:t.savepoints[i].rows]\n", "", "TestCommitOrder"},
		{"waits for what was overtaken", capture + "order.go", "			o.remove(t)\n			o.overtake", "			o.overtake", "TestCommitOrder"},

		{"tells nothing to who came late", "publish.go", "ch.Object == (wire.Unrendered{})", "ch.Object == nil", "TestUnrenderedChanges"},
		{"overtakes the backlog", "outlet.go", "busy, dead := o.draining, o.dead", "busy, dead := false, o.dead", "TestSchedules"},
		{"repeats the beginning of a frame", "outlet.go", "bytes: f[written:], since", "bytes: f, since", "TestSchedules"},
		{"forgets what the socket did not take", "outlet.go", "if n == len(l.joined) {", "if n > 0 {", "TestSchedules"},
		{"takes back half a frame", "outlet.go", "if c.rest || c.farewell {", "if c.farewell {", "TestSchedules"},
		{"takes what is mixed for the same", "worker.go", "ops[0].kind == opPost && samePart(ops)", "ops[0].kind == opPost", "TestSchedules"},
		{"holds replies behind a slow handler", "runner.go", "time.AfterFunc(maxHold, c.release)", "time.AfterFunc(time.Hour, c.release)", "TestRepliesDoNotWaitForSlowHandlers"},
		{"goes on holding them", "runner.go", "if c.slow.Load() {", "if false {", "TestRepliesDoNotWaitForSlowHandlers"},
		{"forgets when a request ended", "requestcontext.go", "if c.err != nil { // it has ended before", "if false {", "TestRequestContext"},
		{"lets another member go", "group.go", "if int(place) < len(p.members) {", "if false {", "TestSchedules"},

		{"keeps nothing while it reads", "arrival.go", "if p.plain || a.lossy {", "if true {", "TestResume"},
		{"does not look for gaps", "gate.go", "offset == g.Offset+1", "offset > g.Offset", "TestResume"},
		{"does not look for duplicates", "gate.go", "return duplicate", "return passes", "TestResume"},
		{"accepts an old epoch", "entrance.go", "case p.Epoch != since.Epoch, since.Offset", "case since.Offset", "TestResume"},
		{"takes another epoch for the same", "gate.go", "epoch == g.Epoch && offset == g.Offset+1", "offset == g.Offset+1", "TestResume"},
		{"gives an epoch again", "stream.go", "rand.Text()[:epochSize]", `rand.Text()[:0] + "AAAAAAAAAAAAAAAAAAAA"`, "TestResume"},
		{"forgets the oldest message that is kept", "stream.go", "from = min(offset-before,", "from = min(offset-before+1,", "TestResume"},
		{"moves on after handing over", "gate.go", "		g.Offset = offset\n		return passes", "		return passes", "TestResume"},
		{"holds a lock while it reads", "entrance.go", "	e.begin()\n	e.reply =", "	defer e.hub.groups.lock(e.group)()\n	e.reply =", "TestResume"},
		{"takes what is trimmed for whole", "entrance.go", "case !whole(posts, from, p.Offset):", "case false:", "TestResume"},
		{"tells what is new before the answer", "entrance.go", "c.worker.hold(ops...)", "slices.Reverse(ops); c.worker.hold(ops...)", "TestResume"},
		{"does not look for the last message", "groups.go", "broker.Epoch == now.Epoch && broker.Offset > now.Offset {", "false {", "TestResume"},
		{"says nothing of a history that has ended", "catchup.go", "		gr.resync(p, reason)", "		gate.Position, _ = p, reason", "TestResume"},
		{"tells only who asked", "entrance.go", "			e.group.tell(&e.read[i])", "", "TestResume"},
		{"takes the position after the state", "entrance.go", "	if !e.lossy() {", "	if e.begin(); !e.lossy() {", "TestResume"},
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
	changed := filepath.Join(dir, filepath.Base(file))
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
	if test == "TestCommitOrder" {
		arguments = append(arguments, "./internal/capture")
	}
	if test == "TestResume" {
		arguments = append(arguments, "-resumes", "3000")
	}
	command := exec.CommandContext(t.Context(), "go", arguments...)
	output, err := command.CombinedOutput()
	return string(output), err
}
