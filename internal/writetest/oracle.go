package writetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
)

// Oracle runs random programs of writes on tables that differ from what their models
// say. After every step a page, which applies changes by key and loads a group again at
// a resync, must show what a SELECT returns.
func Oracle(t *testing.T, e Engine, programs int, first uint64) {
	var steps, wrong, resyncs int
	for _, subject := range subjects() {
		for mode, config := range modes {
			t.Run(subject.name+"/"+mode, func(t *testing.T) {
				o := newOracle(t, e, config, subject)
				for i := range uint64(max(1, programs/len(modes)/len(subjects()))) {
					o.rng = rand.New(rand.NewPCG(first+i, uint64(len(mode))))
					o.run(t)
				}
				assert.Zero(t, o.wrong, "steps after which the page is wrong")
				steps, wrong, resyncs = steps+o.steps, wrong+o.wrong, resyncs+o.resyncs
			})
		}
	}
	t.Logf("%s: %d steps, %d of them wrong, %d with a resync", e.Name, steps, wrong, resyncs)
}

// subject is a table that differs from its model, and the writes to it.
type subject struct {
	name   string
	tables func(e Engine) []string // how to make the table
	fresh  func(db *gorm.DB) error // empties and fills it
	truth  func(db *gorm.DB) page
	steps  []step
}

// step is one kind of write.
type step struct {
	name string
	run  func(r *rand.Rand, db *gorm.DB) error
}

// page holds objects by group and key.
type page map[string]map[string]string

type oracle struct {
	*bench
	engine  Engine
	subject subject
	rng     *rand.Rand
	page    page
	reports int

	steps, wrong, resyncs int
}

const (
	programSteps = 20
	mostReports  = 5 // of one subject
)

func newOracle(tb testing.TB, e Engine, config gorm.Config, s subject) *oracle {
	b := &bench{hub: rohrpost.NewHub(rohrpost.Config{}), logs: &syncBuilder{}, db: e.Open(tb, config)}
	b.use(tb, rohrpost.PluginConfig{NetEffect: config.SkipDefaultTransaction})
	for _, statement := range s.tables(e) {
		require.NoError(tb, b.db.Exec(statement).Error, statement)
	}
	return &oracle{bench: b, engine: e, subject: s}
}

// run plays one program.
func (o *oracle) run(t *testing.T) {
	require.NoError(t, o.subject.fresh(o.withoutNotify()))
	o.recorder.Reset()
	o.page = o.subject.truth(o.db)
	given := slices.Clone(moments)
	defer func() { assert.Equal(t, given, moments, "a value that a write was given has changed") }()
	for range programSteps {
		s := o.subject.steps[o.rng.IntN(len(o.subject.steps))]
		shape := o.step(s, o.subject.steps[o.rng.IntN(len(o.subject.steps))])
		o.steps++
		changes, truth := o.recorder.Sent(), o.subject.truth(o.db)
		o.recorder.Reset()
		o.apply(changes, truth)
		if problem := o.page.differs(truth); problem != "" {
			if o.wrong++; o.reports < mostReports {
				o.reports++
				t.Errorf("after %s, %s: %s\nannounced: %s\nlog: %s", s.name, shape, problem, lines(changes), o.logs)
			}
			o.page = truth
		}
	}
}

// step runs a write alone, in a transaction before another one, or in one that rolls back.
func (o *oracle) step(s, other step) (shape string) {
	switch o.rng.IntN(6) {
	case 0:
		err := o.db.Transaction(func(tx *gorm.DB) error { return errors.Join(s.run(o.rng, tx), errWanted) })
		return fmt.Sprintf("rolled back: %v", err)
	case 1:
		err := o.db.Transaction(func(tx *gorm.DB) error {
			if err := s.run(o.rng, tx); err != nil {
				return err
			}
			return other.run(o.rng, tx)
		})
		return fmt.Sprintf("in a transaction before %s: %v", other.name, err)
	}
	return fmt.Sprintf("alone: %v", s.run(o.rng, o.db))
}

// apply is what the JavaScript client does with changes.
func (o *oracle) apply(changes []rohrpost.Change, truth page) {
	resync := false
	for _, c := range changes {
		if c.Type == rohrpost.Resync {
			resync = true
			o.page.reload(c.Group, truth)
			continue
		}
		object := string(c.Object.(json.RawMessage))
		switch known := o.page[c.Group][idOf(object)]; {
		case c.Type == rohrpost.Delete:
			delete(o.page[c.Group], idOf(object))
		case c.Partial && known != "":
			o.page.set(c.Group, string(wire.Unite(json.RawMessage(known), json.RawMessage(object))))
		default:
			o.page.set(c.Group, object)
		}
	}
	if resync {
		o.resyncs++
	}
}

func (p page) set(group, object string) {
	if p[group] == nil {
		p[group] = map[string]string{}
	}
	p[group][idOf(object)] = object
}

// reload loads the groups that a pattern matches.
func (p page) reload(pattern string, truth page) {
	parsed, err := wire.ParsePattern(pattern)
	matches := func(group string) bool {
		return err == nil && parsed.Matches(group) || group == pattern
	}
	for group := range p {
		if matches(group) {
			delete(p, group)
		}
	}
	for group, objects := range truth {
		if matches(group) {
			p[group] = maps.Clone(objects)
		}
	}
}

// differs returns "" where both pages show the same.
func (p page) differs(truth page) string {
	for group, objects := range truth {
		for id, object := range objects {
			if p[group][id] != object {
				return fmt.Sprintf("%s has %s, the page %q", group, object, p[group][id])
			}
		}
	}
	for group, objects := range p {
		for id, object := range objects {
			if _, there := truth[group][id]; !there {
				return fmt.Sprintf("%s has no %s, the page %s", group, id, object)
			}
		}
	}
	return ""
}

// idOf returns the key in an object.
func idOf(object string) string {
	var keyed struct{ ID json.RawMessage }
	if json.Unmarshal([]byte(object), &keyed) != nil {
		return object
	}
	return string(keyed.ID)
}

func lines(changes []rohrpost.Change) string {
	var text strings.Builder
	for _, c := range changes {
		fmt.Fprintf(&text, "%s %s %s; ", c.Type, c.Group, c.Object)
	}
	return text.String()
}
