package origin

import (
	"crypto/tls"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestOrigin(t *testing.T) {
	tests := []struct {
		origin, host string
		tls          bool
		want         bool
	}{
		{"http://example.com", "example.com", false, true},
		{"https://example.com", "example.com", false, true}, // a proxy may have ended TLS
		{"https://example.com", "example.com", true, true},
		{"http://example.com", "example.com", true, false},
		{"http://EXAMPLE.com", "example.COM", false, true},
		{"HTTP://example.com", "example.com", false, true},
		{"http://example.com:80", "example.com", false, true},
		{"http://example.com", "example.com:80", false, true},
		{"https://example.com:443", "example.com", true, true},
		{"https://example.com", "example.com:443", true, true},
		{"https://example.com", "example.com:80", false, false},
		{"http://example.com:443", "example.com", false, false},
		{"http://example.com:8080", "example.com:8080", false, true},
		{"http://example.com:8080", "example.com:8081", false, false},
		{"http://example.com:8080", "example.com", false, false},
		{"http://example.com", "example.com:8080", false, false},
		{"http://[::1]:80", "[::1]", false, true},
		{"http://[::1]:8080", "[::1]:8080", false, true},
		{"http://[::1]:8080", "[::2]:8080", false, false},
		{"http://127.0.0.1:3000", "127.0.0.1:3000", false, true},
		{"http://127.0.0.1:3000", "localhost:3000", false, false},
		{"http://evil.com", "example.com", false, false},
		{"http://example.com.evil.com", "example.com", false, false},
		{"http://evilexample.com", "example.com", false, false},
		{"http://sub.example.com", "example.com", false, false},
		{"http://example.com", "sub.example.com", false, false},
		{"http://example.com.", "example.com", false, false},
		{"http://example.com/", "example.com", false, false},
		{"http://example.com/path", "example.com", false, false},
		{"http://example.com?q", "example.com", false, false},
		{"http://example.com?", "example.com", false, false},
		{"http://example.com#", "example.com", false, false},
		{"http://example.com#f", "example.com", false, false},
		{"http://user@example.com", "example.com", false, false},
		{"http://example.com@evil.com", "example.com", false, false},
		{"http://evil.com\\@example.com", "example.com", false, false},
		{"http://example.com:", "example.com", false, false},
		{"http://example.com:080", "example.com", false, false},
		{"http://example.com:0x50", "example.com", false, false},
		{"http://:80", "example.com", false, false},
		{"http://", "example.com", false, false},
		{"http:example.com", "example.com", false, false},
		{"//example.com", "example.com", false, false},
		{"example.com", "example.com", false, false},
		{"ws://example.com", "example.com", false, false},
		{"wss://example.com", "example.com", true, false},
		{"ftp://example.com", "example.com", false, false},
		{"file://", "example.com", false, false},
		{"javascript:alert(1)", "example.com", false, false},
		{"chrome-extension://abcdef", "abcdef", false, false},
		{"null", "example.com", false, false},
		{"null", "null", false, false},
		{"", "example.com", false, false},
		{" http://example.com", "example.com", false, false},
		{"http://example.com ", "example.com", false, false},
		{"http://example.com http://evil.com", "example.com", false, false},
		{"http://example.com, http://evil.com", "example.com", false, false},
		{"http://exa%6dple.com", "example.com", false, false},
		{"http://ex\u00e4mple.com", "example.com", false, false},
		{"*", "example.com", false, false},
		// Those of Config.Origins.
		{"https://app.example.org", "example.com", false, true},
		{"https://app.example.org:443", "example.com", true, true},
		{"https://APP.example.org", "example.com", false, true},
		{"http://app.example.org", "example.com", false, false},
		{"https://app.example.org:8443", "example.com", false, false},
		{"https://sub.app.example.org", "example.com", false, false},
		{"http://localhost:5173", "localhost:8080", false, true},
		{"http://localhost:5174", "localhost:8080", false, false},
		{"capacitor://localhost", "example.com", true, true},
	}
	extra := []string{"https://app.example.org", "http://LOCALHOST:5173", "capacitor://localhost"}
	for _, tt := range tests {
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = tt.host
		r.Header["Origin"] = []string{tt.origin}
		if r.TLS = nil; tt.tls {
			r.TLS = &tls.ConnectionState{}
		}
		assert.Equal(t, tt.want, Allowed(r, extra), "%q at %q, TLS %v", tt.origin, tt.host, tt.tls)
	}
}

func TestOriginHeaders(t *testing.T) {
	r := httptest.NewRequest("GET", "http://example.com/", nil)
	assert.True(t, Allowed(r, nil), "no browser sends no Origin")
	r.Header["Origin"] = []string{"http://example.com", "http://example.com"}
	assert.False(t, Allowed(r, nil), "two headers")
	r.Header["Origin"] = []string{"null"}
	assert.True(t, Allowed(r, []string{"*"}))
}
