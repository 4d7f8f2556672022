package rohrpost

import (
	"net/http"
	"net/url"
	"strings"
)

const anyOrigin = "*"

// origin is a parsed web origin, so that two ways of writing one are equal.
type origin struct {
	scheme, host, port string
}

// originAllowed reports whether a page may open this connection. A browser sends the
// cookies of the user whichever page asks, so only the Origin header distinguishes a page
// of the program from a hostile one. A request without the header comes from another
// program than a browser, which sends no cookies of a user.
func originAllowed(r *http.Request, extra []string) bool {
	values := r.Header.Values("Origin")
	if len(values) == 0 {
		return true
	}
	for _, e := range extra {
		if e == anyOrigin {
			return true
		}
	}
	if len(values) > 1 {
		return false
	}
	got, ok := parseOrigin(values[0])
	if !ok {
		return false
	}
	for _, e := range extra {
		if want, _ := parseOrigin(e); got == want {
			return true
		}
	}
	return sameOrigin(r, got)
}

// sameOrigin reports whether the page has the origin of the request. Without TLS the
// scheme of the request is unknown, since a proxy may have ended TLS: the page may then
// have either.
func sameOrigin(r *http.Request, got origin) bool {
	if got.scheme != "https" && (got.scheme != "http" || r.TLS != nil) {
		return false
	}
	return got == newOrigin(got.scheme, &url.URL{Host: r.Host})
}

// parseOrigin reads scheme://host[:port]. It refuses anything else: "null", a path, a user
// name.
func parseOrigin(value string) (origin, bool) {
	u, err := url.Parse(value)
	if err != nil || u.Scheme == "" || u.Hostname() == "" || strings.HasSuffix(u.Host, ":") {
		return origin{}, false
	}
	if !strings.EqualFold(u.Scheme+"://"+u.Host, value) {
		return origin{}, false
	}
	return newOrigin(strings.ToLower(u.Scheme), u), true
}

func newOrigin(scheme string, u *url.URL) origin {
	o := origin{scheme: scheme, host: strings.ToLower(u.Hostname()), port: u.Port()}
	if o.port == "" {
		switch scheme {
		case "http":
			o.port = "80"
		case "https":
			o.port = "443"
		}
	}
	return o
}
