package notify

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/rohrpost/rohrpost/internal/capture"
)

// defaultRows is the most changes of one commit that a group gets one by one.
const defaultRows = 100

// tag holds the options of a marker's struct tag.
type tag struct {
	group      groupTemplate
	namesGroup bool     // the tag has the option group
	fields     []string // an update is announced when one of these is set; nil: any
	depends    []string // the columns on which the group depends; nil: see changesGroups
	preload    []string // associations that the methods need
	payload    []string // the columns of an object; nil: a method, or only the key
	rows       int      // the most changes of one commit for one group
	alwaysSend bool     // also when no updated field is in the object

	setsAlwaysSend bool
	reread         capture.Reread
}

// parseTag reads the options: separated by ";", the key up to the first ":".
func parseTag(text string, t *capture.Table) (*tag, error) {
	parsed := &tag{rows: defaultRows, alwaysSend: true}
	for option := range strings.SplitSeq(text, ";") {
		if option == "" {
			continue
		}
		key, value, _ := strings.Cut(option, ":")
		var err error
		switch key {
		case "group":
			parsed.namesGroup, err = true, parsed.group.parse(value, t)
		case "fields":
			if parsed.fields, err = columns(value, t); len(parsed.fields) == 0 && err == nil {
				err = errors.New("a column is missing")
			}
		case "depends":
			parsed.depends, err = columns(value, t)
		case "preload":
			parsed.preload, err = associations(value, t)
		case "payload":
			if parsed.payload, err = columns(value, t); len(parsed.payload) == 0 && err == nil {
				err = errors.New("a column is missing")
			}
		case "rows":
			if parsed.rows, err = strconv.Atoi(value); err == nil && parsed.rows < 1 {
				err = errors.New("less than one row")
			}
		case "always_send":
			parsed.alwaysSend, err = strconv.ParseBool(value)
			parsed.setsAlwaysSend = true
		case "reread":
			var always bool
			if always, err = strconv.ParseBool(value); always {
				parsed.reread = capture.RereadAlways
			} else {
				parsed.reread = capture.RereadNever
			}
		default:
			return nil, fmt.Errorf("unknown option %q in the marker's tag", key)
		}
		if err != nil {
			return nil, fmt.Errorf("option %s: %w", key, err)
		}
	}
	return parsed, parsed.check()
}

// check returns what is wrong with options that are given together.
func (t *tag) check() error {
	if t.payload == nil {
		return nil
	}
	for _, name := range t.fields {
		if !slices.Contains(t.payload, name) {
			return fmt.Errorf("option fields: the column %q is not among those of payload", name)
		}
	}
	switch {
	case t.preload != nil:
		return errors.New("option preload: an object of the option payload needs no associations")
	case t.setsAlwaysSend:
		return errors.New("option always_send: an update of the option payload is sent if it sets one of the columns")
	}
	return nil
}

// columns reads a list of database columns; an empty one is not nil.
func columns(list string, t *capture.Table) ([]string, error) {
	names := []string{}
	for name := range strings.SplitSeq(list, ",") {
		if name == "" {
			continue
		}
		if t.Column(name) == nil {
			return nil, fmt.Errorf("the model has no column %q", name)
		}
		names = append(names, name)
	}
	return names, nil
}

// associations reads a list of associations, which may contain those of others: "Author.Team".
func associations(list string, t *capture.Table) ([]string, error) {
	names := strings.Split(list, ",")
	for _, name := range names {
		if first, _, _ := strings.Cut(name, "."); !t.HasAssociation(first) {
			return nil, fmt.Errorf("the model has no association %q", first)
		}
	}
	return names, nil
}
