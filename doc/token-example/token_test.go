package tokens

import (
	"fmt"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"
	"github.com/rohrpost/rohrpost"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var key = []byte("a key of thirty-two bytes at least")

func TestAuthenticate(t *testing.T) {
	soon := jwt.NewNumericDate(time.Now().Add(time.Hour))
	sign := func(method jwt.SigningMethod, by any, claims jwt.RegisteredClaims) string {
		token, err := jwt.NewWithClaims(method, claims).SignedString(by)
		require.NoError(t, err)
		return token
	}
	for name, test := range map[string]struct {
		token string
		known bool
	}{
		"good":         {sign(jwt.SigningMethodHS256, key, jwt.RegisteredClaims{Subject: "ann", ExpiresAt: soon}), true},
		"expired":      {sign(jwt.SigningMethodHS256, key, jwt.RegisteredClaims{Subject: "ann", ExpiresAt: jwt.NewNumericDate(time.Now().Add(-time.Hour))}), false},
		"no expiry":    {sign(jwt.SigningMethodHS256, key, jwt.RegisteredClaims{Subject: "ann"}), false},
		"no subject":   {sign(jwt.SigningMethodHS256, key, jwt.RegisteredClaims{ExpiresAt: soon}), false},
		"another key":  {sign(jwt.SigningMethodHS256, []byte("another key"), jwt.RegisteredClaims{Subject: "ann", ExpiresAt: soon}), false},
		"another HMAC": {sign(jwt.SigningMethodHS512, key, jwt.RegisteredClaims{Subject: "ann", ExpiresAt: soon}), false},
		"no signature": {sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, jwt.RegisteredClaims{Subject: "ann", ExpiresAt: soon}), false},
		"no token":     {"x", false},
	} {
		t.Run(name, func(t *testing.T) {
			hub := rohrpost.NewHub(rohrpost.Config{AuthenticateToken: Authenticate(key)})
			server := httptest.NewServer(hub)
			defer server.Close()
			defer func() { assert.NoError(t, hub.Shutdown(t.Context())) }()
			ws, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http"), nil)
			require.NoError(t, err)
			defer func() { _ = ws.Close() }()
			require.NoError(t, ws.SetReadDeadline(time.Now().Add(10*time.Second)))
			hello := fmt.Sprintf(`{"id":1,"type":"rohrpost:hello","data":{"version":1,"token":%q}}`, test.token)
			require.NoError(t, ws.WriteMessage(websocket.TextMessage, []byte(hello)))
			_, reply, err := ws.ReadMessage()
			if !test.known {
				require.True(t, websocket.IsCloseError(err, 4401), "%v %s", err, reply)
				return
			}
			require.NoError(t, err)
			assert.Contains(t, string(reply), `"expires_in":3`)
			assert.Len(t, hub.Connections("ann"), 1)
		})
	}
}

// The guide shows the code as it is.
func TestGuide(t *testing.T) {
	guide, err := os.ReadFile("../AUTHORIZATION.md")
	require.NoError(t, err)
	code, err := os.ReadFile("token.go")
	require.NoError(t, err)
	at := strings.Index(string(code), "func Authenticate")
	assert.Contains(t, string(guide), "```go\n"+string(code)[at:]+"```\n")
}
