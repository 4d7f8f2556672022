package origin

import (
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
)

// An entry of Config.Origins that no page can match is a mistake, and says so.
func TestUselessOrigins(t *testing.T) {
	for entry, problem := range map[string]string{
		"example.com":                 "is not scheme://host",
		"https://example.com/":        "is not scheme://host",
		"wss://example.com":           "the scheme of a page is http or https",
		"https://a.*.example.com":     `"*." can only stand before`,
		"https://*example.com":        `"*." can only stand before`,
		"https://*.*.example.com":     `"*." can only stand before`,
		"https://*":                   `"*." can only stand before`,
		"https://bücher.example":      "xn--bcher-kva.example",
		"https://*.bücher.example":    "xn--bcher-kva.example",
		"http://example.com:080":      "the port is not a number from 1 to 65535",
		"http://example.com:65536":    "the port is not a number from 1 to 65535",
		"http://example.com:0":        "the port is not a number from 1 to 65535",
		"http://[0:0:0:0:0:0:0:1]:80": "shortest form of an IPv6 address",
	} {
		assert.Contains(t, Problem(entry), problem, entry)
	}
	for _, entry := range []string{
		"*", "null", "https://example.com", "https://*.example.com", "http://*.EXAMPLE.com:8080", "http://[::1]:5173",
		"https://xn--bcher-kva.example", "capacitor://localhost", "chrome-extension://abcdef", "http://10.0.0.1",
	} {
		assert.Empty(t, Problem(entry), entry)
	}
}

func TestWildcardAndNullOrigins(t *testing.T) {
	extra := []string{"https://*.example.org", "http://*.localhost:5173", "null"}
	for origin, want := range map[string]bool{
		"https://app.example.org":       true,
		"https://a.b.example.org":       true,
		"https://APP.example.org:443":   true,
		"https://example.org":           false,
		"https://.example.org":          false,
		"https://evilexample.org":       false,
		"http://app.example.org":        false,
		"https://app.example.org:8443":  false,
		"https://app.example.org.evil.": false,
		"http://app.localhost:5173":     true,
		"http://app.localhost":          false,
		"null":                          true,
		"NULL":                          false,
	} {
		r := httptest.NewRequest("GET", "http://example.com/", nil)
		r.Header["Origin"] = []string{origin}
		assert.Equal(t, want, Allowed(r, extra), origin)
	}
	r := httptest.NewRequest("GET", "http://example.com/", nil)
	r.Header["Origin"] = []string{"null", "null"}
	assert.False(t, Allowed(r, extra), "two headers")
}
