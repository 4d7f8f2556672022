package wire

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"slices"
	"strings"
)

// viewMark stands between the name of a group and that of a view in the name of a stream.
// No group and no view has it.
const viewMark = "@"

const (
	maxViews     = 16 // of a group
	maxViewBytes = 32 // of the name of one
)

// CheckViews returns what is wrong with the views of a group.
func CheckViews(views []string) error {
	if len(views) == 0 || len(views) > maxViews {
		return fmt.Errorf("%d views, not 1 to %d", len(views), maxViews)
	}
	for i, view := range views {
		if !ValidView(view) {
			return fmt.Errorf("the view %.100q is not 1 to 32 of a-z, 0-9 and _", view)
		}
		if slices.Contains(views[:i], view) {
			return fmt.Errorf("two views are called %q", view)
		}
	}
	return nil
}

// ValidView reports whether the name of a view fits [a-z0-9_]{1,32}.
func ValidView(name string) bool {
	for i := range len(name) {
		if c := name[i]; !isDigit(c) && (c < 'a' || c > 'z') && c != '_' {
			return false
		}
	}
	return name != "" && len(name) <= maxViewBytes
}

// Stream returns the name of the stream of a view of a group. The stream of a group
// without views, whose view is "", has the name of the group.
func Stream(group, view string) string {
	if view == "" {
		return group
	}
	return group + viewMark + view
}

// SplitStream returns the group and the view of a stream.
func SplitStream(stream string) (group, view string) {
	group, view, _ = strings.Cut(stream, viewMark)
	return group, view
}

// GroupOf returns the group of a stream.
func GroupOf(stream string) string {
	group, _ := SplitStream(stream)
	return group
}

// ValidStream reports whether a stream is that of a group, or of a view of one.
func ValidStream(stream string) bool {
	group, view, has := strings.Cut(stream, viewMark)
	return ValidGroup(group) && (!has || ValidView(view))
}

// EpochFor returns an epoch of a stream as its clients get it. Those of views differ, since
// the position of a client says nothing about another view of its group, and a broker may
// give the same epoch to several streams.
func EpochFor(stream, epoch string) string {
	_, view := SplitStream(stream)
	if view == "" || epoch == "" {
		return epoch
	}
	return epoch + viewSuffix(view)
}

// EpochFrom returns the epoch of a stream that a client gives back, "" for one of another
// view.
func EpochFrom(stream, epoch string) string {
	_, view := SplitStream(stream)
	if view == "" {
		return epoch
	}
	if own, ok := strings.CutSuffix(epoch, viewSuffix(view)); ok {
		return own
	}
	return ""
}

// viewSuffix tells views apart, and not what they are called: a client need not know.
func viewSuffix(view string) string {
	sum := sha256.Sum256([]byte(view))
	return "~" + base32.StdEncoding.EncodeToString(sum[:5])
}
