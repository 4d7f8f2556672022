package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestWrite writes a page twice: the text around the tables stays, and the chart is
// XML with a bar for each server.
func TestWrite(t *testing.T) {
	dir := t.TempDir()
	page, chart := filepath.Join(dir, "page.md"), filepath.Join(dir, "chart.svg")
	if err := os.WriteFile(page, []byte("before\n"+beginMark+"old\n"+endMark+"after\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	reports := []report{{
		scenario: scenario{kind: requests, members: 100, inFlight: 32, duration: time.Second},
		names:    []string{"hub", "gws"},
		results: map[string][]result{
			"hub": {{rate: 300, cpu: 1, generatorLimit: 301}, {rate: 100, cpu: 2, generatorLimit: 301}, {rate: 200, cpu: 9, generatorLimit: 301}},
			"gws": {{rate: 100, cpu: 4, generatorLimit: 129}},
		},
	}}
	for range 2 {
		if err := write(reports, page, chart); err != nil {
			t.Fatal(err)
		}
	}
	want := "before\n" + beginMark + `
#### requests on 100 connections, 32 in flight on each

| server | per second | × hub | server CPU µs per operation | × hub | generator limit per second |
|---|---:|---:|---:|---:|---:|
| hub | 200 | 1.00 | 2.00 | 1.00 | 301 |
| gws | 100 | 0.50 | 4.00 | 2.00 | 129, generator-bound |

` + endMark + "after\n"
	if got := read(t, page); got != want {
		t.Errorf("the page is\n%s", got)
	}
	bars := 0
	for d := xml.NewDecoder(strings.NewReader(read(t, chart))); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if element, ok := token.(xml.StartElement); ok && element.Name.Local == "rect" {
			bars++
		}
	}
	if bars != 2 {
		t.Errorf("the chart has %d bars", bars)
	}
	if err := write(reports, chart, chart); err == nil {
		t.Error("write accepted a page without marks")
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestRotated(t *testing.T) {
	for _, test := range []struct {
		names string
		round int
		want  string
	}{
		{"hub gws node", 0, "hub gws node"}, {"hub gws node", 1, "gws node hub"}, {"hub gws node", 5, "node hub gws"}, {"", 2, ""},
	} {
		if got := strings.Join(rotated(strings.Fields(test.names), test.round), " "); got != test.want {
			t.Errorf("round %d: %q, not %q", test.round, got, test.want)
		}
	}
}

// TestAhead names those who are ahead of the first of our servers, in either direction.
func TestAhead(t *testing.T) {
	r := race{names: []string{"handwritten", "method", "centrifuge", "floor"}}
	faster := [][]float64{{50, 60}, {100, 100}, {99, 101}, {1, 1}}
	last := r.ahead(0, 7, faster)
	if len(last) != 1 || last[0] != "handwritten with 7 pages (0.60 × method)" {
		t.Errorf("%q", last)
	}
	const commits = 2
	if got := r.ahead(commits, 7, faster); len(got) != 0 {
		t.Errorf("fewer commits are not ahead: %q", got)
	}
	if got := r.ahead(commits, 7, [][]float64{{200}, {100}, {103}, {900}}); len(got) != 2 {
		t.Errorf("%q", got)
	}
	text := sentences([][]string{last, nil, nil, nil})
	if !strings.Contains(text, "ahead of rohrpost are handwritten") || strings.Count(text, "no other library") != 3 {
		t.Error(text)
	}
}
