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

// originAllowed decides whether a page may open this connection. A browser
// sends the cookies of the user whatever page asks, so only the Origin header
// tells a page of ours from a hostile one. Without the header it is no browser,
// and no cookie of a user can be abused.
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

// sameOrigin reports whether the page comes from where the request goes to.
// Without TLS the scheme is not known, since a proxy may have ended it: then
// both will do.
func sameOrigin(r *http.Request, got origin) bool {
	if got.scheme != "https" && (got.scheme != "http" || r.TLS != nil) {
		return false
	}
	return got == newOrigin(got.scheme, &url.URL{Host: r.Host})
}

// parseOrigin reads scheme://host[:port], and nothing else: "null", a path and
// a user name are refused.
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
