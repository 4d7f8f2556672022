package rohrpost

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rohrpost/rohrpost/internal/access"
)

// Identity identifies the client of a connection. The zero Identity is anonymous and
// never expires. That of a connection changes when its client sends a token to a hub that
// has Config.AuthenticateToken.
type Identity struct {
	// ID names the user, the same on all connections of the user. The hub logs it.
	// Defaults to "", anonymous.
	ID string

	// Expires is when the hub closes the connection with 4001, so that the client
	// authenticates again. Defaults to never.
	Expires time.Time

	// Value is for the handlers of the program. Defaults to nil.
	Value any
}

func (id Identity) expired(now time.Time) bool {
	return !id.Expires.IsZero() && !now.Before(id.Expires)
}

// current refuses an identity that has expired.
func current(identity Identity) (Identity, error) {
	if identity.expired(time.Now()) {
		return identity, Errorf("Unauthorized")
	}
	return identity, nil
}

// credentials are what a connection knows of its client at a time. They do not change,
// except for noticed.
type credentials struct {
	Identity
	token   tokenHash       // zero: the client has sent none
	field   json.RawMessage // "auth_jwt" as it came, where the program reads tokens itself
	notice  time.Time       // when the client is told that the identity expires; zero: never
	noticed atomic.Bool
}

type tokenHash = access.TokenHash

const (
	maxNotice  = 15 * time.Second // before the identity expires
	noticePart = 10               // or a tenth of its lifetime, whichever is less
)

func newCredentials(identity Identity, token tokenHash) *credentials {
	c := &credentials{Identity: identity, token: token}
	if !identity.Expires.IsZero() {
		c.notice = identity.Expires.Add(-min(maxNotice, time.Until(identity.Expires)/noticePart))
	}
	return c
}

// minSecret is the length of the shortest text that is taken for a secret.
const minSecret = 6

// scrubbed returns the text of an error without secrets, which an error of the program
// may quote.
func scrubbed(err error, secrets ...string) string {
	text := err.Error()
	for _, s := range secrets {
		if len(s) >= minSecret {
			text = strings.ReplaceAll(text, s, "[secret]")
		}
	}
	return text
}

// secretsOf returns what of a request must not be logged.
func secretsOf(r *http.Request) []string {
	secrets := []string{r.URL.RawQuery, r.Header.Get("Authorization")}
	if _, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok {
		secrets = append(secrets, token)
	}
	for _, values := range r.URL.Query() {
		secrets = append(secrets, values...)
	}
	for _, c := range r.Cookies() {
		secrets = append(secrets, c.Value)
	}
	return secrets
}
