package wire

import "strings"

const (
	maxOrigin = 64 // bytes of the id of a page

	// skipped begins the origin of a change that its page must not be told of.
	skipped = "!"
)

// Origin returns the origin of the changes of a page, "" for a malformed id: it fits
// [A-Za-z0-9_-]{1,64}.
func Origin(page string) string {
	if page == "" || len(page) > maxOrigin || !fitsGroup(page) || strings.ContainsAny(page, ".:~") {
		return ""
	}
	return page
}

// SkippedOrigin is Origin for changes that the page must not be told of.
func SkippedOrigin(page string) string {
	if Origin(page) == "" {
		return ""
	}
	return skipped + page
}

// PageOf returns the id of the page in an origin.
func PageOf(origin string) string { return strings.TrimPrefix(origin, skipped) }

// ComposedOrigin returns the origin of what two changes have come to. It is none where they
// have different ones: each page would take the change of the other for its own.
func ComposedOrigin(a, b string) string {
	switch {
	case a == b:
		return a
	case PageOf(a) == PageOf(b):
		return PageOf(a)
	}
	return ""
}

// Mark gives the change an origin, unless it has one, or is a resync.
func (ch *Change) Mark(origin string) {
	if ch.Origin == "" && ch.Type != Resync {
		ch.Origin = origin
	}
}
