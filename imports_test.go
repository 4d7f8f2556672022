package rohrpost

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// halves says which half each file belongs to. What a half may not import is
// what keeps the two apart: the protocol is the only thing both know.
var halves = map[string][]string{
	"protocol": {
		"change.go", "decode.go", "doc.go", "encode.go", "errors.go", "message.go",
		"panic.go", "protocol.go", "request.go", "scan.go",
	},
	"socket": {
		"access.go", "arrival.go", "broker.go", "carry.go", "catchup.go", "config.go", "conn.go", "door.go", "entrance.go", "feed.go",
		"frame.go", "gate.go", "group.go", "groups.go", "handler.go", "history.go", "hub.go", "identity.go", "inbox.go", "keepalive.go",
		"lane.go", "link.go", "membership.go", "memory.go", "origin.go", "outlet.go", "pattern.go", "position.go", "reader.go", "remote.go", "reply.go",
		"requestcontext.go", "rules.go", "runner.go", "scatter.go", "shutdown.go", "socket_linux.go", "socket_other.go", "spread.go", "state.go", "stats.go",
		"stream.go", "sweep.go", "tasks.go", "upgrade.go", "worker.go",
	},
	"database": {
		"announce.go", "commit.go", "describe.go", "engine.go", "held.go", "key.go", "mixins.go", "model.go", "neteffect.go", "own.go",
		"plugin.go", "pool.go", "recording.go", "refused.go", "rows.go", "savepoint.go", "silent.go", "tag.go", "upsert.go", "write.go",
	},
}

var forbidden = map[string][]string{
	"protocol": {"net", "database/sql", "gorm.io/", "github.com/gorilla/"},
	"socket":   {"database/sql", "gorm.io/"},
	"database": {"net", "github.com/gorilla/"},
}

func TestImports(t *testing.T) {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		half := halfOf(file)
		if !assert.NotEmpty(t, half, "%s belongs to no half: add it to the table", file) {
			continue
		}
		for _, path := range forbidden[half] {
			assert.False(t, imports(t, file, path), "%s, of the %s half, imports %s", file, half, path)
		}
	}
}

// TestHandlersAreALeaf: only the standard library.
func TestHandlersAreALeaf(t *testing.T) {
	files, err := filepath.Glob("handlers/*.go")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		if !strings.HasSuffix(file, "_test.go") {
			assert.False(t, imports(t, file, "github.com/"), file)
			assert.False(t, imports(t, file, "gorm.io/"), file)
		}
	}
}

// TestKitAddsNoDependency: only what the library needs itself.
func TestKitAddsNoDependency(t *testing.T) {
	files, err := filepath.Glob("rohrposttest/*.go")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		require.NoError(t, err)
		for _, spec := range f.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			require.NoError(t, err)
			if strings.Contains(strings.Split(path, "/")[0], ".") {
				assert.Contains(t, []string{
					"github.com/rohrpost/rohrpost", "gorm.io/gorm", "gorm.io/gorm/schema", "github.com/gorilla/websocket",
				}, path, file)
			}
		}
	}
}

func TestHalvesNameFiles(t *testing.T) {
	for _, half := range []string{"protocol", "socket", "database"} {
		for _, file := range halves[half] {
			_, err := os.Stat(file)
			assert.NoError(t, err)
		}
	}
}

func halfOf(file string) string {
	for half, files := range halves {
		for _, f := range files {
			if f == file {
				return half
			}
		}
	}
	return ""
}

// imports reports whether file imports path or, below it, anything.
func imports(t *testing.T, file, path string) bool {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	require.NoError(t, err)
	for _, spec := range f.Imports {
		got, err := strconv.Unquote(spec.Path.Value)
		require.NoError(t, err)
		if got == path || strings.HasPrefix(got, strings.TrimSuffix(path, "/")+"/") {
			return true
		}
	}
	return false
}
