package rohrpost

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	modulePath   = "github.com/rohrpost/rohrpost"
	maxRootFiles = 32
	maxCycle     = 12 // files of a package that depend on each other
)

// allowedImports lists the packages of the module that a package may import. Packages
// that import the root package, such as test kits and programs, are not listed.
var allowedImports = map[string]string{
	"broker":              "",
	"internal/abuse":      "",
	"internal/budget":     "",
	"internal/excess":     "internal/budget internal/wire",
	"internal/frames":     "",
	"internal/faults":     "",
	"internal/mempipe":    "",
	"internal/mutants":    "",
	"internal/sqlitetest": "",
	"internal/lazyctx":    "",
	"internal/origin":     "",
	"internal/panics":     "",
	"internal/places":     "",
	"internal/registry":   "",
	"internal/shards":     "",
	"internal/sockio":     "",
	"internal/tasks":      "",
	"internal/wire":       "",
	"js":                  "",

	"brokertest":         "broker",
	"handlers":           "internal/wire",
	"internal/access":    "broker internal/panics",
	"internal/capture":   "internal/wire internal/panics",
	"internal/fanout":    "broker internal/shards internal/sockio internal/tasks internal/wire",
	"internal/history":   "broker internal/shards",
	"internal/logs":      "internal/panics",
	"internal/notify":    "internal/capture internal/panics internal/wire",
	"internal/snapshots": "broker internal/panics internal/tasks internal/wire",
	"internal/upstream":  "broker internal/history internal/panics internal/tasks",
}

// standardOnly lists the packages that import only the standard library.
var standardOnly = []string{
	"broker", "internal/budget", "internal/frames", "internal/lazyctx", "internal/panics", "internal/places", "internal/registry",
	"internal/shards", "internal/sockio",
	"internal/tasks", "internal/wire",
}

// forbidden lists what a package must not depend on, directly or not.
var forbidden = map[string][]string{
	"internal/capture":  {"net/http", "github.com/gorilla/"},
	"internal/fanout":   {"gorm.io/", "github.com/gorilla/"},
	"internal/history":  {"gorm.io/", "github.com/gorilla/"},
	"internal/upstream": {"gorm.io/", "github.com/gorilla/"},
	"internal/wire":     {"gorm.io/", "github.com/gorilla/"},
}

// listed is a package as go list describes it.
type listed struct {
	ImportPath, Dir, Export string
	Standard                bool
	GoFiles, Imports, Deps  []string
}

// name returns the path of the package in the module, "." for the root package.
func (p *listed) name() string {
	if p.ImportPath == modulePath {
		return "."
	}
	return strings.TrimPrefix(p.ImportPath, modulePath+"/")
}

// TestStructure checks how the module is divided into packages and files. With -v it
// prints the figures.
func TestStructure(t *testing.T) {
	if testing.Short() {
		t.Skip("lists and type-checks the whole module")
	}
	all := listPackages(t)
	own := map[string]*listed{}
	for path, p := range all {
		if path == modulePath || strings.HasPrefix(path, modulePath+"/") {
			own[p.name()] = p
		}
	}
	for _, name := range slices.Sorted(maps.Keys(own)) {
		p := own[name]
		cycle := largestCycle(fileGraph(t, all, p))
		t.Logf("%-22s %2d files, largest cycle %2d %v", name, len(p.GoFiles), len(cycle), cycle)
		assert.LessOrEqual(t, len(cycle), maxCycle, "%s: these files depend on each other: %v", name, cycle)
		checkImports(t, all, p)
	}
	assert.LessOrEqual(t, len(own["."].GoFiles), maxRootFiles, "files of the root package")
	assert.Subset(t, []string{"plugin.go", "transaction.go"}, filesImporting(t, own["."], "gorm.io/"),
		"files of the root package that import GORM")
}

// listPackages returns the packages of the module and all that they depend on.
func listPackages(t *testing.T) map[string]*listed {
	command := exec.CommandContext(t.Context(), "go", "list", "-deps", "-export",
		"-json=ImportPath,Dir,Export,Standard,GoFiles,Imports,Deps", "./...")
	command.Stderr = os.Stderr
	output, err := command.Output()
	require.NoError(t, err)
	all := map[string]*listed{}
	for decoder := json.NewDecoder(bytes.NewReader(output)); decoder.More(); {
		var p listed
		require.NoError(t, decoder.Decode(&p))
		all[p.ImportPath] = &p
	}
	return all
}

// checkImports compares the imports of a package with the tables.
func checkImports(t *testing.T, all map[string]*listed, p *listed) {
	allowed, isListed := allowedImports[p.name()]
	assert.True(t, isListed || p.name() == "." || slices.Contains(p.Deps, modulePath), "%s must be entered in allowedImports", p.name())
	for _, path := range p.Imports {
		imported := all[path]
		if isListed && strings.HasPrefix(path, modulePath) {
			assert.Contains(t, strings.Fields(allowed), imported.name(), "imports of %s", p.name())
		}
		if slices.Contains(standardOnly, p.name()) {
			assert.True(t, imported.Standard, "%s imports %s", p.name(), path)
		}
	}
	for _, prefix := range forbidden[p.name()] {
		for _, path := range p.Deps {
			assert.False(t, path == prefix || strings.HasSuffix(prefix, "/") && strings.HasPrefix(path, prefix), "%s depends on %s", p.name(), path)
		}
	}
}

func filesImporting(t *testing.T, p *listed, prefix string) (files []string) {
	for _, file := range p.GoFiles {
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, parser.ImportsOnly)
		require.NoError(t, err)
		if slices.ContainsFunc(parsed.Imports, func(s *ast.ImportSpec) bool { return strings.HasPrefix(s.Path.Value, `"`+prefix) }) {
			files = append(files, file)
		}
	}
	return files
}

// fileGraph returns for each file of a package the other files whose objects, methods
// and fields it uses.
func fileGraph(t *testing.T, all map[string]*listed, p *listed) map[string]map[string]bool {
	positions := token.NewFileSet()
	graph := map[string]map[string]bool{}
	var files []*ast.File
	for _, file := range p.GoFiles {
		parsed, err := parser.ParseFile(positions, filepath.Join(p.Dir, file), nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		files = append(files, parsed)
		graph[file] = map[string]bool{}
	}
	config := types.Config{Importer: importer.ForCompiler(positions, "gc", func(path string) (io.ReadCloser, error) {
		if all[path] == nil {
			return nil, fmt.Errorf("%s is not listed", path)
		}
		return os.Open(all[path].Export)
	})}
	info := types.Info{Uses: map[*ast.Ident]types.Object{}}
	_, err := config.Check(p.ImportPath, positions, files, &info)
	require.NoError(t, err)
	for identifier, object := range info.Uses {
		if object.Pkg() == nil || object.Pkg().Path() != p.ImportPath || !object.Pos().IsValid() {
			continue
		}
		from := filepath.Base(positions.Position(identifier.Pos()).Filename)
		to := filepath.Base(positions.Position(object.Pos()).Filename)
		if from != to {
			graph[from][to] = true
		}
	}
	return graph
}

// largestCycle returns the largest set of files that all depend on each other, sorted.
func largestCycle(graph map[string]map[string]bool) (largest []string) {
	reachable := map[string]map[string]bool{}
	for file := range graph {
		reachable[file] = map[string]bool{}
		for next := []string{file}; len(next) > 0; {
			at := next[len(next)-1]
			next = next[:len(next)-1]
			for to := range graph[at] {
				if !reachable[file][to] {
					reachable[file][to] = true
					next = append(next, to)
				}
			}
		}
	}
	for file := range graph {
		var cycle []string
		for other := range reachable[file] {
			if reachable[other][file] {
				cycle = append(cycle, other)
			}
		}
		if slices.Sort(cycle); len(cycle) > len(largest) || len(cycle) == len(largest) && slices.Compare(cycle, largest) < 0 {
			largest = cycle
		}
	}
	return largest
}
