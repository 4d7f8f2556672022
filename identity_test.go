package rohrpost

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rohrpost/rohrpost/internal/mempipe"
	"github.com/rohrpost/rohrpost/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestIdentityExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := quiet(Config{Authenticate: func(*http.Request) (Identity, error) {
			return Identity{ID: "ann", Expires: time.Now().Add(90 * time.Second)}, nil
		}})
		ws := pipe(t, hub)
		start := time.Now()
		assert.Equal(t, wire.CloseExpired, closeCode(ws))
		assert.Equal(t, 90*time.Second, time.Since(start))
		require.NoError(t, hub.Shutdown(context.Background()))
	})
}

// tokens is a token function: "ann" names ann, "ann 60" for a minute.
type tokens struct {
	calls atomic.Int64
	away  atomic.Bool
}

func (f *tokens) authenticate(ctx context.Context, token string) (Identity, error) {
	f.calls.Add(1)
	if _, limited := ctx.Deadline(); !limited {
		return Identity{}, errors.New("no deadline")
	}
	if f.away.Load() {
		return Identity{}, fmt.Errorf("%w: no keys", ErrUnavailable)
	}
	id, seconds, limited := strings.Cut(token, " ")
	identity := Identity{ID: id, Value: token}
	if limited {
		d, err := time.ParseDuration(seconds + "s")
		if err != nil {
			return Identity{}, Errorf("Malformed token.")
		}
		identity.Expires = time.Now().Add(d)
	}
	switch id {
	case "bad":
		return Identity{}, Errorf("The token has expired.")
	case "secret":
		return Identity{}, fmt.Errorf("parse %q: no", token)
	case "panic":
		panic(token)
	case "slow":
		<-ctx.Done()
	}
	return identity, nil
}

func helloWith(token string) string {
	return `{"id":0,"type":"rohrpost:hello","data":{"version":1,"token":"` + token + `","wants":["unsubscribed","parts","expiring"]}}`
}

func pipeAs(t *testing.T, hub *Hub, user string) *websocket.Conn {
	t.Helper()
	ws, _, err := mempipe.Dial(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("User", user)
		hub.ServeHTTP(w, r)
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = ws.Close() })
	return ws
}

// end reads to the end, in a bubble.
func end(ws *websocket.Conn, hub *Hub) {
	go func() { _ = closeCode(ws) }()
	_ = hub.Shutdown(context.Background())
}

// The token of hello identifies the client, and a further hello renews it in place.
func TestTokenOfHello(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &tokens{}
		hub := quiet(Config{AuthenticateToken: f.authenticate, PingInterval: -1, Limits: Limits{IdleTimeout: -1}})
		var seen []Identity
		hub.HandlePublic("who", func(_ context.Context, c *Conn, _ *Request) (any, error) {
			seen = append(seen, c.Identity())
			return c.Identity().ID, nil
		})
		ws := pipe(t, hub)
		ask := func(request, want string) {
			t.Helper()
			send(t, ws, request)
			assert.Contains(t, receive(t, ws), want)
		}
		ask(`{"id":1,"type":"who"}`, `"data":""`)
		ask(helloAll, `"token":true`)
		assert.Empty(t, hub.Connections("ann"))
		ask(helloWith("ann 60"), `"expires_in":60`)
		ask(`{"id":1,"type":"who"}`, `"data":"ann"`)
		assert.Len(t, hub.Connections("ann"), 1)
		time.Sleep(50 * time.Second)
		ask(helloWith("ann 100"), `"expires_in":100`)
		ask(helloWith("ann 100"), `"expires_in":100`) // the same token is not asked about again
		assert.EqualValues(t, 2, f.calls.Load())
		time.Sleep(50 * time.Second) // longer than the first token was good for
		ask(`{"id":1,"type":"who"}`, `"data":"ann"`)
		assert.Equal(t, "ann 100", seen[len(seen)-1].Value)
		time.Sleep(40 * time.Second)
		assert.Contains(t, receive(t, ws), `"rohrpost:expiring"`)
		start := time.Now()
		assert.Equal(t, wire.CloseExpired, closeCode(ws))
		assert.Equal(t, 10*time.Second, time.Since(start))
		synctest.Wait()
		assert.Empty(t, hub.Connections("ann"))
		end(ws, hub)
	})
}

// rohrpost-js sends its token with each request: the hub asks about it once.
func TestTokenOfRequests(t *testing.T) {
	f := &tokens{}
	hub := NewHub(Config{AuthenticateToken: f.authenticate, Logger: quiet(Config{}).log})
	hub.Allow("of-{user}-{n}", func(_ context.Context, c *Conn, p Params) error {
		if c.Identity().ID != p["user"] {
			return Errorf("no")
		}
		return nil
	})
	hub.Handle("work", func(_ context.Context, c *Conn, _ *Request) (any, error) { return c.Identity().ID, nil })
	ws := dial(t, serve(t, hub))
	send(t, ws, `{"id":1,"type":"work"}`)
	assert.Equal(t, `{"id":1,"type":"work","error":"Authentication is required.","error_info":{"code":"identity_required","temporary":false}}`, receive(t, ws))
	for i := range 100 {
		send(t, ws, fmt.Sprintf(`{"id":%d,"type":"subscribe","auth_jwt":"ann","data":{"group":"of-ann-%d"}}`, i, i))
		require.Contains(t, receive(t, ws), `"data":{"group":"of-ann-`)
	}
	send(t, ws, `{"id":1,"type":"work","auth_jwt":null}`)
	assert.Contains(t, receive(t, ws), `"data":"ann"`)
	send(t, ws, `{"id":1,"type":"subscribe","data":{"group":"of-bob-1"}}`)
	assert.Contains(t, receive(t, ws), denied)
	assert.EqualValues(t, 1, f.calls.Load())
}

func TestTokensThatEndAConnection(t *testing.T) {
	for name, test := range map[string]struct {
		user     string // by Config.Authenticate
		messages []string
		code     int
		reason   string
		refused  string
	}{
		"refused":                 {"", []string{helloWith("bad")}, 4401, "The token has expired.", "unauthorized"},
		"refused in a request":    {"", []string{`{"id":1,"type":"ping","auth_jwt":"bad"}`}, 4401, "The token has expired.", "unauthorized"},
		"unreadable error":        {"", []string{helloWith("secret")}, 4401, "Unauthorized", "unauthorized"},
		"panic":                   {"", []string{helloWith("panic")}, 4401, "Unauthorized", "unauthorized"},
		"expired":                 {"", []string{helloWith("ann -1")}, 4401, "Unauthorized", "unauthorized"},
		"refused renewal":         {"", []string{helloWith("ann"), helloWith("bad")}, 4401, "The token has expired.", "unauthorized"},
		"another user":            {"", []string{helloWith("ann"), helloWith("bob")}, 4001, "another identity", "other_identity"},
		"an anonymous token":      {"", []string{helloWith("ann"), helloWith(" 60")}, 4001, "another identity", "other_identity"},
		"another user in request": {"", []string{helloWith("ann"), `{"id":1,"type":"ping","auth_jwt":"bob"}`}, 4001, "another identity", "other_identity"},
		"another than the cookie": {"ann", []string{helloWith("bob")}, 4403, "another identity", "other_identity"},
		"cookie, then two tokens": {"ann", []string{helloWith("ann 60"), helloWith("bob")}, 4001, "another identity", "other_identity"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &tokens{}
			hub, log := logged(Config{AuthenticateToken: f.authenticate, Authenticate: byHeader})
			handled := 0
			hub.HandlePublic("after", func(context.Context, *Conn, *Request) (any, error) { handled++; return nil, nil })
			ws := dialAs(t, serve(t, hub), test.user)
			for i, m := range test.messages {
				if send(t, ws, m); i < len(test.messages)-1 {
					require.Contains(t, receive(t, ws), `"version":1`)
				}
			}
			_ = ws.WriteMessage(websocket.TextMessage, []byte(`{"id":1,"type":"after"}`))
			_, text, err := ws.ReadMessage()
			var closed *websocket.CloseError
			require.ErrorAs(t, err, &closed, string(text))
			assert.Equal(t, &websocket.CloseError{Code: test.code, Text: test.reason}, closed)
			assert.Zero(t, handled)
			assert.Equal(t, map[string]uint64{test.refused: 1}, hub.Stats().Refused)
			assert.NotEmpty(t, log.lines("whose token"))
			assert.Empty(t, log.lines("secret\\"), "the hub logs no token")
		})
	}
}

// While nothing can be decided, the connection stays what it is.
func TestTokenUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &tokens{}
		hub := quiet(Config{AuthenticateToken: f.authenticate})
		ws := pipe(t, hub)
		send(t, ws, helloWith("ann"))
		receive(t, ws)
		f.away.Store(true)
		const unavailable = `"error":"UNAVAILABLE","error_info":{"code":"unavailable","temporary":true}`
		send(t, ws, helloWith("ann 60"))
		assert.Contains(t, receive(t, ws), unavailable)
		send(t, ws, `{"id":1,"type":"ping","auth_jwt":"bob"}`)
		assert.Equal(t, `{"id":1,"type":"ping",`+unavailable+`}`, receive(t, ws))
		f.away.Store(false)
		send(t, ws, helloWith("slow"))
		assert.Contains(t, receive(t, ws), unavailable, "after AuthorizeTimeout")
		assert.Equal(t, "ann", hub.Connections("ann")[0].Identity().ID)
		send(t, ws, helloWith("ann 60"))
		assert.Contains(t, receive(t, ws), `"expires_in":60`)
		end(ws, hub)
	})
}

// What is renewed is checked again: a token may take rights with it.
func TestRenewalRechecks(t *testing.T) {
	f := &tokens{}
	hub := NewHub(Config{AuthenticateToken: f.authenticate, Logger: quiet(Config{}).log})
	var calls atomic.Int32
	hub.Allow("g-{n}", func(_ context.Context, c *Conn, p Params) error {
		calls.Add(1)
		if c.Identity().Value == "ann 60" && p["n"] == "1" {
			return Errorf("not with this token")
		}
		return nil
	})
	ws := dial(t, serve(t, hub))
	send(t, ws, helloWith("ann"))
	receive(t, ws)
	join(t, ws, "g-1")
	join(t, ws, "g-2")
	send(t, ws, helloWith("ann 60"))
	texts := receive(t, ws) + receive(t, ws)
	assert.Contains(t, texts, `"expires_in":60`)
	assert.Contains(t, texts, `"data":{"type":"unsubscribed","group":"g-1","object":{"reason":"revoked"}}}`)
	require.Eventually(t, func() bool { return calls.Load() == 4 }, 5*time.Second, time.Millisecond)
	assert.Equal(t, []string{"g-2"}, hub.Connections("ann")[0].Groups())
}

func TestRequireIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &tokens{}
		hub := quiet(Config{AuthenticateToken: f.authenticate, RequireIdentity: true, PingInterval: -1, Limits: Limits{IdleTimeout: -1}})
		hub.Handle("work", func(context.Context, *Conn, *Request) (any, error) { return nil, nil })
		late, known := pipe(t, hub), pipe(t, hub)
		start := time.Now()
		time.Sleep(9 * time.Second)
		send(t, known, helloWith("ann"))
		receive(t, known)
		_, _, err := late.ReadMessage()
		var closed *websocket.CloseError
		require.ErrorAs(t, err, &closed)
		assert.Equal(t, &websocket.CloseError{Code: 4401, Text: "identity required"}, closed)
		assert.Equal(t, 10*time.Second, time.Since(start))
		time.Sleep(time.Minute / 2)
		send(t, known, `{"id":1,"type":"work"}`)
		assert.Equal(t, `{"id":1,"type":"work"}`, receive(t, known))
		assert.EqualValues(t, 1, hub.Stats().Refused["identity_required"])
		end(known, hub)
	})
}

// A client that asks for it in its hello is told that its identity expires: 15 seconds
// before, or a tenth of its lifetime.
func TestExpiryNotice(t *testing.T) {
	for name, test := range map[string]struct {
		lifetime, notice time.Duration
		hello            string
	}{
		"long":         {time.Hour, 15 * time.Second, helloAll},
		"short":        {20 * time.Second, 2 * time.Second, helloAll},
		"not wanted":   {time.Hour, 0, `{"id":1,"type":"rohrpost:hello","data":{"version":1,"wants":["parts"]}}`},
		"rohrpost-js":  {time.Hour, 0, `{"id":1,"type":"ping"}`},
		"second hello": {time.Hour, 15 * time.Second, helloAll},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hub := quiet(Config{PingInterval: -1, Limits: Limits{IdleTimeout: -1}, Authenticate: func(*http.Request) (Identity, error) {
					return Identity{ID: "ann", Expires: time.Now().Add(test.lifetime)}, nil
				}})
				ws := pipe(t, hub)
				start := time.Now()
				send(t, ws, test.hello)
				receive(t, ws)
				if name == "second hello" {
					send(t, ws, test.hello)
					receive(t, ws)
				}
				if test.notice > 0 {
					text := receive(t, ws)
					assert.Equal(t, test.lifetime-test.notice, time.Since(start))
					assert.Contains(t, text, fmt.Sprintf(`,"type":"rohrpost:expiring","data":{"expires_in":%g}}`, test.notice.Seconds()))
				}
				assert.Equal(t, wire.CloseExpired, closeCode(ws))
				assert.Equal(t, test.lifetime, time.Since(start))
				end(ws, hub)
			})
		})
	}
}

// No log line has a token or a part of a query string, whatever the errors of the program
// quote.
func TestNoSecretsInTheLog(t *testing.T) {
	const canary = "canary-6f1c0a"
	hub, log := logged(Config{
		Authenticate: func(r *http.Request) (Identity, error) {
			if r.URL.Query().Get("token") != "" {
				return Identity{}, fmt.Errorf("token %q of %s, %s", r.URL.Query().Get("token"), r.URL, r.Header.Get("Authorization"))
			}
			return Identity{}, nil
		},
		AuthenticateToken: func(_ context.Context, token string) (Identity, error) {
			switch {
			case strings.HasPrefix(token, "panic"):
				panic("cannot parse " + token)
			case strings.HasPrefix(token, "away"):
				return Identity{}, fmt.Errorf("%w: %s", ErrUnavailable, token)
			case strings.HasPrefix(token, "ann"):
				return Identity{ID: "ann"}, nil
			}
			return Identity{}, fmt.Errorf("cannot parse %q", token)
		},
	})
	hub.Allow("quoting", func(ctx context.Context, _ *Conn, _ Params) error {
		return fmt.Errorf("cannot parse %s", RequestFromContext(ctx).Field("auth_jwt"))
	})
	url := serve(t, hub)
	_, _, err := websocket.DefaultDialer.Dial(url+"?token="+canary+"&more="+canary+"2", http.Header{"Authorization": {"Bearer " + canary}})
	require.Error(t, err)
	for _, message := range []string{
		helloWith("x" + canary), helloWith("panic" + canary), helloWith("away" + canary),
		`{"id":1,"type":"ping","auth_jwt":"x` + canary + `"}`,
		`{"id":1,"type":"subscribe","auth_jwt":"ann` + canary + `","data":{"group":"quoting"}}`,
	} {
		ws := dial(t, url+"?q="+canary)
		send(t, ws, message)
		_, text, _ := ws.ReadMessage()
		assert.NotContains(t, string(text), canary)
	}
	require.NotEmpty(t, log.lines("[secret]"))
	assert.Empty(t, log.lines(canary))
}
