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

// count compares the number of matching changes with the expected one: at least one,
// or that of Times. It returns a description of the problem, or "" if they agree.
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

// differences describes how a change differs from the expected one. Matchers run only
// if the group and the type match.
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

// nearest describes the changes and their differences, the most similar change first.
func (e expectation) nearest(changes []rohrpost.Change) string {
	if len(changes) == 0 {
		return "no change was sent"
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
	return "sent changes, most similar first:\n" + numbered(lines)
}

// distance ranks a change by its differences: the number of failed matchers, then a
// different type, then a different group. Among different groups, one with the same
// prefix ranks first, since it is probably another row of the same model.
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

// describe describes a change in one line.
func describe(c rohrpost.Change) string {
	_, object := decoded(c.Object)
	text := c.Type + " to " + c.Group + ": " + object
	if c.UpdatedFields != nil {
		text += " (updated fields: " + list(c.UpdatedFields) + ")"
	}
	return text
}
