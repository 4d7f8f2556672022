package rohrposttest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/rohrpost/rohrpost"
)

// expectation is a change that a test expects.
type expectation struct {
	group, changeType string
	matchers          []Matcher
}

// count returns what is wrong with the changes, "" if one is as expected, or as
// many as Times says.
func (e expectation) count(changes []rohrpost.Change) string {
	found, times := 0, 0
	for _, change := range changes {
		if len(e.differences(change)) == 0 {
			found++
		}
	}
	for _, m := range e.matchers {
		times = max(times, m.times)
	}
	switch {
	case found == 0:
		return "not sent"
	case times > 0 && found != times:
		return fmt.Sprintf("sent %d times", found)
	}
	return ""
}

// differences are those of a change from what is expected. Matchers get to see
// only what is of the group and the type.
func (e expectation) differences(change rohrpost.Change) []string {
	var found []string
	if change.Group != e.group {
		found = append(found, "group is "+change.Group)
	}
	if change.Type != e.changeType {
		found = append(found, "type is "+change.Type)
	}
	if found != nil {
		return found
	}
	for _, m := range e.matchers {
		if problem := m.check(change); problem != "" {
			found = append(found, problem)
		}
	}
	return found
}

func (e expectation) describe() string {
	text := e.changeType + " to " + e.group
	for _, m := range e.matchers {
		text += "\n     " + m.want
	}
	return text
}

// nearest reports the changes, those that differ least first. Another group is
// further away than anything else.
func (e expectation) nearest(changes []rohrpost.Change) string {
	if len(changes) == 0 {
		return "nothing was sent at all"
	}
	changes = slices.Clone(changes)
	slices.SortStableFunc(changes, func(a, b rohrpost.Change) int { return cmp.Compare(e.distance(a), e.distance(b)) })
	lines := make([]string, len(changes))
	for i, change := range changes {
		lines[i] = describe(change)
		for _, difference := range e.differences(change) {
			lines[i] += "\n       - " + difference
		}
	}
	return "what was sent, nearest first:\n" + numbered(lines)
}

// distance is small for what differs little: in what the matchers say, then in
// its type, then in its group; of those, names that begin like the expected one
// come first, being mostly the right model and the wrong row.
func (e expectation) distance(c rohrpost.Change) int {
	const typeDiffers, groupDiffers = 100, 200
	distance := 0
	switch {
	case c.Group != e.group:
		distance = groupDiffers
		if prefix(c.Group) == prefix(e.group) {
			distance--
		}
		if c.Type != e.changeType {
			distance += typeDiffers
		}
	case c.Type != e.changeType:
		distance = typeDiffers
	default:
		distance = len(e.differences(c))
	}
	return distance
}

func prefix(group string) string {
	text, _, _ := strings.Cut(group, "-")
	return text
}

// describe is one line about a change.
func describe(c rohrpost.Change) string {
	_, object := decoded(c.Object)
	text := c.Type + " to " + c.Group + ": " + object
	if c.UpdatedFields != nil {
		text += " (updated fields: " + list(c.UpdatedFields) + ")"
	}
	return text
}
