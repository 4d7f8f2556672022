package rohrpost

import (
	"context"
	"net/http"

	"github.com/rohrpost/rohrpost/internal/notify"
	"github.com/rohrpost/rohrpost/internal/wire"
)

// PageHeader is the header by which a page names itself in its requests to the program.
// The function fetch of the JavaScript client sets it.
const PageHeader = "X-Rohrpost-Page"

// WithOrigin returns a context whose changes name the page that made them: those of writes
// under it, and those of Publish and Notify. All members of a group get "origin" with a
// change. The page itself recognizes its change: the JavaScript client sets change.self. id
// is the one that the page sends in its hello and as PageHeader, [A-Za-z0-9_-]{1,64}.
// After any other id the changes have no origin.
//
// The id is known to all that get a change of the page. It grants nothing: whoever sends it
// only lets a change look like one of that page.
//
// Each change has the origin of its own statement. With PluginConfig.NetEffect a change that
// comes of statements with different origins has none. A Resync has none.
func WithOrigin(ctx context.Context, id string) context.Context {
	return notify.WithOrigin(ctx, wire.Origin(id))
}

// WithOriginSkipped is WithOrigin for changes that the page has already shown: the JavaScript
// client does not pass them to its listeners. The hub sends them to all members
// nevertheless, so that offsets have no holes.
func WithOriginSkipped(ctx context.Context, id string) context.Context {
	return notify.WithOrigin(ctx, wire.SkippedOrigin(id))
}

// OriginFromContext returns the id of WithOrigin or WithOriginSkipped, "" for none. The
// context of a handler has the id that the client has named in its hello: what a handler
// writes is a change of the page that has asked for it.
func OriginFromContext(ctx context.Context) string { return wire.PageOf(notify.OriginOf(ctx)) }

// MarkOrigin is a middleware: the context of each request has the origin that the request
// names by PageHeader. Requests of pages of another origin, in the sense of HTTP, need that
// header in Access-Control-Allow-Headers.
func MarkOrigin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if id := r.Header.Get(PageHeader); id != "" {
			r = r.WithContext(WithOrigin(r.Context(), id))
		}
		next.ServeHTTP(w, r)
	})
}
