package rohrpost

import (
	"fmt"
	"log/slog"
	"strconv"
	"sync"

	"github.com/rohrpost/rohrpost/internal/wire"
)

// Params holds the values of the placeholders of a pattern, by name. They are what a
// program has given FormatGroup: a value may contain any character.
type Params map[string]string

// Int64 returns the value of a placeholder as an integer. Its error is an *Error with the
// text "ACCESS_DENIED", which a function of Allow can return as it is: no group with
// another value exists.
func (p Params) Int64(name string) (int64, error) {
	n, err := strconv.ParseInt(p[name], 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != p[name] {
		return 0, errDenied
	}
	return n, nil
}

// FormatGroup returns the name of the group for a pattern, as Hub.Allow describes it, and
// the values of its placeholders:
//
//	FormatGroup("wiki-{team}-{wiki}", Params{"team": "acme-west", "wiki": "plans"}) // wiki-acme~2Dwest-plans
//
// The name has one reading: different values never give one name, and the functions of
// Allow and Snapshot get back the values. For this, bytes of a value are escaped: those
// that no group name can have, "~", and each that equals the first byte of the literal
// text behind the placeholder. An escaped byte is "~" and two upper-case hexadecimal
// digits. Values of {name:int} and {name:uuid} are never escaped. Markers and the
// function formatGroup of the JavaScript client make the same names.
//
// The error is about a malformed pattern, a value that is missing, empty, no UTF-8 or not of
// the type of its placeholder, a value without placeholder, and a name of more than 200
// bytes.
func FormatGroup(pattern string, p Params) (string, error) {
	parsed, err := wire.ParsePattern(pattern)
	if err != nil {
		return "", fmt.Errorf("rohrpost: pattern %q: %w", pattern, err)
	}
	name, err := parsed.Format(p)
	if err != nil {
		return "", fmt.Errorf("rohrpost: group of %q: %w", pattern, err)
	}
	return name, nil
}

// define adds one to the rules that setup guards. It warns of patterns that match one name.
// It panics if the pattern is malformed or defined already.
func define[F any](setup *sync.RWMutex, log *slog.Logger, rules *wire.Rules[F], pattern string, do F) {
	for _, c := range addRule(setup, rules, pattern, do) {
		log.Warn("rohrpost: two patterns match one group: the one with more literal bytes decides, of equals the first one defined",
			"decides", c.Decides, "other", c.Other, "group", c.Name)
	}
}

func addRule[F any](setup *sync.RWMutex, rules *wire.Rules[F], pattern string, do F) []wire.Conflict {
	setup.Lock()
	defer setup.Unlock()
	more, conflicts, err := rules.With(pattern, do)
	if err != nil {
		panic(fmt.Sprintf("rohrpost: %v", err))
	}
	*rules = more
	return conflicts
}
