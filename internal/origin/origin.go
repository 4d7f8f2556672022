// Package origin decides which pages may open a connection.
package origin

import (
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

const (
	anyOrigin  = "*"
	nullOrigin = "null" // that of pages without one: files, sandboxed frames
)

// origin is a parsed web origin, so that two ways of writing one are equal.
type origin struct {
	scheme, host, port string
}

// Allowed reports whether a page may open this connection. A browser sends the
// cookies of the user whichever page asks, so only the Origin header distinguishes a page
// of the program from a hostile one. A request without the header comes from another
// program than a browser, which sends no cookies of a user.
func Allowed(r *http.Request, extra []string) bool {
	values := r.Header.Values("Origin")
	if len(values) == 0 {
		return r.Header.Get("Sec-Fetch-Site") != "cross-site" // a browser sends both headers
	}
	for _, e := range extra {
		if e == anyOrigin || e == nullOrigin && len(values) == 1 && values[0] == nullOrigin {
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
		if want, ok := parseOrigin(e); ok && want.matches(got) {
			return true
		}
	}
	return sameOrigin(r, got)
}

// matches reports whether a page has the origin, or is of one of its subdomains if the
// host of the origin begins with "*.".
func (o origin) matches(page origin) bool {
	if suffix, ok := strings.CutPrefix(o.host, "*"); ok {
		host, found := strings.CutSuffix(page.host, suffix)
		return found && host != "" && page.scheme == o.scheme && page.port == o.port
	}
	return page == o
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

// Problem returns why an entry of a list of origins can match no page, "" if it can.
func Problem(entry string) string {
	if entry == anyOrigin || entry == nullOrigin {
		return ""
	}
	o, ok := parseOrigin(entry)
	if !ok {
		return "is not scheme://host[:port]"
	}
	host := strings.TrimPrefix(o.host, "*.")
	switch {
	case o.scheme == "ws" || o.scheme == "wss":
		return "matches no page: the scheme of a page is http or https"
	case strings.Contains(host, "*"):
		return `matches no page: "*." can only stand before the whole host`
	case !isASCII(host):
		return "matches no page: browsers send the host in Punycode, as in xn--bcher-kva.example for bücher.example"
	case strings.Contains(host, ":") && !isCanonicalIP(host):
		return "matches no page: browsers send the shortest form of an IPv6 address, as in [2001:db8::1]"
	case o.port != "" && !isCanonicalPort(o.port):
		return "matches no page: the port is not a number from 1 to 65535"
	}
	return ""
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > '~' }) < 0
}

func isCanonicalIP(host string) bool {
	address, err := netip.ParseAddr(host)
	return err == nil && address.String() == host
}

func isCanonicalPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0 && strconv.FormatUint(n, 10) == port
}

// HostAllowed reports whether a Host header names one of the hosts. Any does if there are
// none.
func HostAllowed(header string, hosts []string) bool {
	if len(hosts) == 0 {
		return true
	}
	host := strings.ToLower((&url.URL{Host: header}).Hostname())
	for _, h := range hosts {
		h = strings.ToLower(h)
		if suffix, ok := strings.CutPrefix(h, "*"); ok {
			if name, found := strings.CutSuffix(host, suffix); found && name != "" {
				return true
			}
		} else if host == strings.Trim(h, "[]") {
			return true
		}
	}
	return false
}

// HostProblem returns why an entry of a list of hosts can match no request, "" if it can.
func HostProblem(entry string) string {
	host := strings.TrimPrefix(entry, "*.")
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return ""
	}
	if host == "" || !isASCII(host) || strings.ContainsAny(host, ":/*@ ") {
		return "is not a host name without scheme, port and path"
	}
	return ""
}
