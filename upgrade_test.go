package rohrpost

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestConnectionsAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		config Config
		origin string
		status int
		body   string
	}{
		"no places":        {Config{Limits: Limits{MaxConnections: 1}}, "", http.StatusServiceUnavailable, "too many connections"},
		"readable error":   {Config{Authenticate: refuse(Errorf("unknown user"))}, "", http.StatusUnauthorized, "unknown user"},
		"unreadable error": {Config{Authenticate: refuse(errors.New("secret"))}, "", http.StatusUnauthorized, "Unauthorized"},
		"panic": {
			Config{Authenticate: func(*http.Request) (Identity, error) { panic("secret") }},
			"",
			http.StatusUnauthorized, "Unauthorized",
		},
		"foreign origin": {Config{}, "https://elsewhere.example", http.StatusForbidden, "origin not allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			hub := quiet(test.config)
			address := serve(t, hub)
			if test.config.Limits.MaxConnections > 0 {
				ws := dial(t, address)
				defer func() { _ = ws.Close() }()
			}
			header := http.Header{}
			if test.origin != "" {
				header.Set("Origin", test.origin)
			}
			_, response, err := websocket.DefaultDialer.Dial(address, header)
			require.Error(t, err)
			assert.Equal(t, test.status, response.StatusCode)
			body := make([]byte, 100)
			n, _ := response.Body.Read(body)
			assert.Equal(t, test.body, strings.TrimSpace(string(body[:n])))
			assert.EqualValues(t, 1, hub.Stats().Refused)
		})
	}
}

func refuse(err error) func(*http.Request) (Identity, error) {
	return func(*http.Request) (Identity, error) { return Identity{}, err }
}
