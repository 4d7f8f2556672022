package rohrpost

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// callers returns for each function or method name of a folder, alone and after the field to
// which it belongs, the functions that mention it.
func callers(t *testing.T, dir string) map[string][]string {
	found := map[string][]string{}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), ".go") || strings.HasSuffix(entry.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), dir+"/"+entry.Name(), nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			ast.Inspect(f.Body, func(n ast.Node) bool {
				s, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				names := []string{s.Sel.Name}
				if of, ok := s.X.(*ast.SelectorExpr); ok {
					names = append(names, of.Sel.Name+"."+s.Sel.Name)
				}
				for _, name := range names {
					if !slices.Contains(found[name], f.Name.Name) {
						found[name] = append(found[name], f.Name.Name)
					}
				}
				return true
			})
		}
	}
	for _, names := range found {
		slices.Sort(names)
	}
	return found
}

// One function asks Allow, for subscriptions, resumes, snapshots and rechecks, and no other
// way leads a client into a group.
func TestOneWayIntoAGroup(t *testing.T) {
	root, fanout, access := callers(t, "."), callers(t, "internal/fanout"), callers(t, "internal/access")
	for _, test := range []struct {
		what    string
		found   map[string][]string
		name    string
		callers []string
	}{
		{"the function of Allow is known to", root, "ruleFor", []string{"authorize", "isPublic"}},
		{"authorize is called by", root, "authorize", []string{"Authorize", "Decide"}},
		{"a subscription begins in", root, "member.Subscribe", []string{"Move", "subscribe"}},
		{"a decision is made in", root, "Decide", []string{"Move", "subscribe"}},
		{"a handler may join by", root, "member.Join", []string{"Join"}},
		{"a decision is made again in", fanout, "Decide", []string{"reauthorize"}},
		{"a decision is compared in", fanout, "Holds", []string{"pushPart", "reauthorize"}},
		{"a decision is used in", fanout, "Admit", []string{"finish"}},
		{"a replay is allowed in", fanout, "MayResume", []string{"mayResume"}},
		{"a member is added by", fanout, "addTo", []string{"Join", "finish"}},
		{"a part is sent by", fanout, "pushPart", []string{"sendPart"}},
		{"a recheck asks in", access, "Authorize", []string{"ask"}},
	} {
		assert.Equal(t, test.callers, test.found[test.name], test.what)
	}
}
