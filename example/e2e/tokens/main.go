// Command tokens is a test server with two hubs. One requires tokens in the cookie of a
// connection, in a subscription and in a call; a test can revoke all tokens. The other
// has a function for tokens; a test can take the rights of its user away.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/js"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:0", "`address` to listen on")
	flag.Parse()
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("The token server is at http://%s/\n", listener.Addr())
	log.Fatal((&http.Server{Handler: newHandler(), ReadHeaderTimeout: time.Second}).Serve(listener))
}

// tokens holds the current token, a number, and counts the calls.
type tokens struct {
	newest, calls atomic.Int64
	banned        atomic.Bool // the user of the other hub
}

func newHandler() http.Handler {
	var t tokens
	hub := rohrpost.NewHub(rohrpost.Config{Authenticate: t.authenticate})
	hub.Allow("news", rohrpost.Anyone)
	hub.Allow("secrets", func(ctx context.Context, _ *rohrpost.Conn, _ rohrpost.Params) error {
		return t.check(rohrpost.RequestFromContext(ctx))
	})
	hub.Handle("count", t.count)

	other := rohrpost.NewHub(rohrpost.Config{AuthenticateToken: authenticateToken})
	other.Allow("secrets", t.admit)
	other.Snapshot("secrets", func(context.Context, rohrpost.SnapshotRequest) (any, error) {
		return []map[string]any{{"id": 1, "title": "The secret"}}, nil
	})

	mux := http.NewServeMux()
	mux.Handle("/ws/rohrpost/", hub)
	mux.Handle("/ws/other/", other)
	mux.HandleFunc("POST /ban", func(w http.ResponseWriter, r *http.Request) {
		t.banned.Store(r.FormValue("end") == "")
		if err := other.Revoke(r.Context(), "guest", ""); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	mux.Handle("/rohrpost/", js.Handler())
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
	})
	mux.HandleFunc("GET /token", t.issue)
	mux.HandleFunc("POST /revoke", func(http.ResponseWriter, *http.Request) { t.newest.Add(1) })
	mux.HandleFunc("POST /news", func(w http.ResponseWriter, r *http.Request) {
		if err := hub.Publish(r.Context(), rohrpost.Change{Group: "news", Type: rohrpost.Create, Object: r.FormValue("title")}); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	return mux
}

// issue returns the current token in the body, for the requests of the page, and in
// a cookie, for its connection.
func (t *tokens) issue(w http.ResponseWriter, _ *http.Request) {
	token := t.current()
	http.SetCookie(w, &http.Cookie{Name: "token", Value: token, HttpOnly: true, SameSite: http.SameSiteStrictMode})
	fmt.Fprint(w, token)
}

// authenticate accepts a cookie with the current token. The identity expires after
// the milliseconds in the URL.
func (t *tokens) authenticate(r *http.Request) (user rohrpost.Identity, err error) {
	cookie, err := r.Cookie("token")
	if err != nil || cookie.Value != t.current() {
		return user, rohrpost.Errorf("Unauthorized")
	}
	ms, err := strconv.Atoi(r.FormValue("ms"))
	return rohrpost.Identity{ID: "guest", Expires: time.Now().Add(time.Duration(ms) * time.Millisecond)}, err
}

// authenticateToken accepts a token that consists of the milliseconds of its life and
// anything else.
func authenticateToken(_ context.Context, token string) (user rohrpost.Identity, err error) {
	life, _, _ := strings.Cut(token, " ")
	ms, err := strconv.Atoi(life)
	return rohrpost.Identity{ID: "guest", Expires: time.Now().Add(time.Duration(ms) * time.Millisecond)}, err
}

// admit admits the user of the other hub.
func (t *tokens) admit(_ context.Context, c *rohrpost.Conn, _ rohrpost.Params) error {
	if c.Identity().ID != "guest" || t.banned.Load() {
		return rohrpost.Errorf("ACCESS_DENIED")
	}
	return nil
}

// count returns the number of its calls, with any token.
func (t *tokens) count(_ context.Context, _ *rohrpost.Conn, r *rohrpost.Request) (any, error) {
	calls := t.calls.Add(1)
	return map[string]int64{"calls": calls}, t.check(r)
}

// check refuses a request without the current token.
func (t *tokens) check(r *rohrpost.Request) error {
	var token string
	if err := json.Unmarshal(r.Field("auth_jwt"), &token); err != nil || token != t.current() {
		return rohrpost.Errorf("ACCESS_DENIED")
	}
	return nil
}

func (t *tokens) current() string { return strconv.FormatInt(t.newest.Load(), 10) }
