package rohrpost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rohrpost/rohrpost/internal/access"
	"github.com/rohrpost/rohrpost/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// byHeader identifies a client by the header "User".
func byHeader(r *http.Request) (Identity, error) { return Identity{ID: r.Header.Get("User")}, nil }

func dialAs(t testing.TB, url, user string) *websocket.Conn {
	t.Helper()
	ws, _, err := websocket.DefaultDialer.Dial(url, http.Header{"User": {user}})
	require.NoError(t, err)
	t.Cleanup(func() { _ = ws.Close() })
	return ws
}

const helloAll = `{"id":0,"type":"rohrpost:hello","data":{"version":1,"wants":["unsubscribed","parts","expiring","status"]}}`

// greet sends a hello with all wants.
func greet(t testing.TB, ws *websocket.Conn) {
	t.Helper()
	send(t, ws, helloAll)
	require.Contains(t, receive(t, ws), `"type":"rohrpost:hello"`)
}

// granting returns a hub on which Allow admits the users of a set to all groups.
func granting(config Config) (*Hub, *rights) {
	config.Authenticate = byHeader
	config.Logger = quiet(Config{}).log
	hub := NewHub(config)
	hub.portable = *portable
	r := &rights{}
	hub.Allow("{any}", r.allow)
	return hub, r
}

// rights are those that Allow knows. The zero value grants everything.
type rights struct {
	calls atomic.Int64
	check atomic.Pointer[func(user, group string) error]
}

func (r *rights) allow(_ context.Context, c *Conn, p Params) error {
	r.calls.Add(1)
	if check := r.check.Load(); check != nil {
		return (*check)(c.Identity().ID, p["any"])
	}
	return nil
}

func (r *rights) set(check func(user, group string) error) { r.check.Store(&check) }

func (r *rights) deny(user, group string) {
	r.set(func(u, g string) error {
		if u == user && g == group {
			return errors.New("not any more")
		}
		return nil
	})
}

const denied = `"error":"ACCESS_DENIED"`

func TestRevokeEndsMembershipsOfTheUser(t *testing.T) {
	hub, rights := granting(Config{})
	url := serve(t, hub)
	ann, again, bob, silent := dialAs(t, url, "ann"), dialAs(t, url, "ann"), dialAs(t, url, "bob"), dialAs(t, url, "ann")
	for _, ws := range []*websocket.Conn{ann, again, bob} {
		greet(t, ws)
	}
	for _, ws := range []*websocket.Conn{ann, again, bob, silent} {
		join(t, ws, "project-7")
		join(t, ws, "project-8")
	}
	rights.deny("ann", "project-7")
	require.NoError(t, hub.Revoke(t.Context(), "ann", "project-7"))
	require.NoError(t, hub.Publish(t.Context(),
		Change{Group: "project-7", Type: Update, Object: 1}, Change{Group: "project-8", Type: Update, Object: 1}))
	for _, ws := range []*websocket.Conn{ann, again} {
		assert.Contains(t, receive(t, ws), `"data":{"type":"unsubscribed","group":"project-7","object":{"reason":"revoked"}}}`)
		assert.Contains(t, receive(t, ws), `"group":"project-8"`)
	}
	assert.Contains(t, receive(t, silent), `"group":"project-8"`, "without hello nothing tells of the revocation")
	assert.Contains(t, receive(t, bob), `"group":"project-7"`)
	send(t, ann, `{"id":1,"type":"subscribe","data":{"group":"project-7"}}`)
	assert.Contains(t, receive(t, ann), denied)
	assert.EqualValues(t, 3, hub.Stats().Revoked)

	require.NoError(t, hub.Revoke(t.Context(), "", "project-{id}"))
	require.NoError(t, hub.Publish(t.Context(), Change{Group: "project-8", Type: Update, Object: 1}))
	assert.Contains(t, receive(t, bob), `"group":"project-8"`)
	assert.Contains(t, receive(t, bob), `"unsubscribed"`)
	assert.Contains(t, receive(t, bob), `"unsubscribed"`)
	assert.Zero(t, hub.Stats().Memberships)

	require.ErrorContains(t, hub.Revoke(t.Context(), "ann", "{a}{b}"), "two placeholders")
	require.ErrorContains(t, hub.Recheck(t.Context(), "ann", "ä"), "pattern")
	require.ErrorContains(t, hub.Disconnect(t.Context(), "ann", 1006, ""), "1006")
}

func TestDisconnect(t *testing.T) {
	hub, _ := granting(Config{})
	url := serve(t, hub)
	ann, bob := dialAs(t, url, "ann"), dialAs(t, url, "bob")
	join(t, ann, "g")
	join(t, bob, "g")
	require.Len(t, hub.Connections("ann"), 1)
	require.NoError(t, hub.Disconnect(t.Context(), "ann", 4403, "bye"))
	_, _, err := ann.ReadMessage()
	var closed *websocket.CloseError
	require.ErrorAs(t, err, &closed)
	assert.Equal(t, &websocket.CloseError{Code: 4403, Text: "bye"}, closed)
	require.Eventually(t, func() bool { return len(hub.Connections("ann")) == 0 }, 5*time.Second, time.Millisecond)
	require.NoError(t, hub.Publish(t.Context(), Change{Group: "g", Type: Update, Object: 1}))
	assert.Contains(t, receive(t, bob), `"group":"g"`)
	require.NoError(t, hub.Disconnect(t.Context(), "", 4000, ""))
	assert.Equal(t, 4000, closeCode(bob))
}

// ask lets a connection handle a request, as dispatch would.
func ask(c *Conn, text string) {
	received, err := wire.DecodeRequest([]byte(text), 64)
	if err != nil {
		panic(err)
	}
	c.handle(c.hub.handler(received.Name), newRequest(received, []byte(text)))
	c.member.Wake()
}

// Replies that wait in the send queue are taken back too, whatever they bring: the request
// is answered by "UNAVAILABLE", so that a user whom Allow still admits asks again.
func TestRevokeTakesBackAnswers(t *testing.T) {
	for name, data := range map[string]string{
		"plain":    `{"group":"g"}`,
		"resume":   `{"group":"g","since":{{since}}}`,
		"snapshot": `{"group":"g","snapshot":true}`,
	} {
		for _, waits := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " ", waits), func(t *testing.T) {
				hub := quiet(Config{})
				hub.Allow("g", Anyone)
				hub.Snapshot("g", func(context.Context, SnapshotRequest) (any, error) { return "secret", nil })
				at, err := hub.Position(t.Context(), "g")
				require.NoError(t, err)
				since, err := json.Marshal(at)
				require.NoError(t, err)
				require.NoError(t, hub.Publish(t.Context(), Change{Group: "g", Type: Update, Object: "secret"}))
				c, socket := connect(t, hub, waits)
				require.NoError(t, c.Send(Message{Type: "first"}))
				quietNow(t, hub, []*Conn{c})
				socket.setRoom(3)
				require.NoError(t, c.Send(Message{Type: "begun"}))
				socket.awaitBlocked(t)
				ask(c, `{"id":1,"type":"subscribe","data":`+strings.Replace(data, "{{since}}", string(since), 1)+`}`)
				c.tasks.Wait()
				require.NoError(t, hub.Publish(t.Context(), Change{Group: "g", Type: Update, Object: "secret"}))
				idle(hub)
				wait := (*subject)(c).EndMemberships(access.Exactly("g"))
				go func() { time.Sleep(time.Millisecond); socket.setRoom(-1) }()
				require.NoError(t, wait(t.Context()))
				quietNow(t, hub, []*Conn{c})
				var left []string
				for _, text := range socket.received(t) {
					if !strings.Contains(text, `"begun"`) && !strings.Contains(text, `"first"`) {
						left = append(left, text)
					}
				}
				assert.Equal(t, []string{`{"id":1,"type":"subscribe","error":"UNAVAILABLE","error_info":{"code":"unavailable","temporary":true}}`}, left)
				assert.Empty(t, c.Groups())
				ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
				defer cancel()
				_ = hub.Shutdown(ctx)
			})
		}
	}
}

// A revocation while a snapshot is sent in parts ends it; if Allow still admits the user,
// it begins anew.
func TestRevokeDuringParts(t *testing.T) {
	for _, revoked := range []bool{true, false} {
		t.Run(fmt.Sprint(revoked), func(t *testing.T) {
			hub, rights := granting(Config{Limits: Limits{MaxSendQueueBytes: 64 << 10}})
			hub.Snapshot("long", func(context.Context, SnapshotRequest) (any, error) {
				rows := make([]string, 15_000) // more than the buffers of a socket
				for i := range rows {
					rows[i] = strings.Repeat("x", 1000)
				}
				return rows, nil
			})
			ws := dialAs(t, serve(t, hub), "ann")
			greet(t, ws)
			send(t, ws, `{"id":1,"type":"subscribe","data":{"group":"long","snapshot":true}}`)
			require.Contains(t, receive(t, ws), `"part":1,`)
			require.Contains(t, receive(t, ws), `"part":2,`)
			if revoked {
				rights.deny("ann", "long")
			}
			before, returned := hub.ledger.Now(), make(chan error)
			go func() { returned <- hub.Revoke(context.Background(), "ann", "long") }() // it waits for a write
			defer func() { assert.NoError(t, <-returned) }()
			require.Eventually(t, func() bool { return !hub.ledger.Holds("ann", before) }, 5*time.Second, 100*time.Microsecond)
			if revoked {
				for text := receive(t, ws); !strings.Contains(text, denied); text = receive(t, ws) {
					require.Contains(t, text, `"part":`, "what the socket has taken before")
					require.NotContains(t, text, `"last":true`)
				}
				assert.Zero(t, hub.Stats().Memberships)
				return
			}
			next := 3
			for text := receive(t, ws); ; text = receive(t, ws) {
				var m struct {
					Data struct {
						Part int
						Last bool
					}
				}
				require.NoError(t, json.Unmarshal([]byte(text), &m))
				if m.Data.Part == 1 {
					next = 1 // anew
				}
				require.Equal(t, next, m.Data.Part, "no part is missing")
				if next++; m.Data.Last {
					break
				}
			}
			require.Eventually(t, func() bool { return hub.Stats().Memberships == 1 }, 5*time.Second, time.Millisecond)
		})
	}
}

// A revocation while Allow decides, or while the snapshot is read, wins.
func TestRevokeDuringTheDecision(t *testing.T) {
	for _, place := range []string{"allow", "snapshot", "own snapshot"} {
		t.Run(place, func(t *testing.T) {
			hub, rights := granting(Config{})
			reached, revoked := make(chan struct{}, 2), make(chan struct{})
			stop := func(here string) {
				if here == place {
					reached <- struct{}{}
					<-revoked
				}
			}
			var first atomic.Bool
			rights.set(func(string, string) error {
				if first.CompareAndSwap(false, true) {
					stop("allow") // and admits
				}
				select {
				case <-revoked:
					if place != "allow" || rights.calls.Load() > 1 {
						return errors.New("revoked")
					}
				default:
				}
				return nil
			})
			hub.Snapshot("shared", func(context.Context, SnapshotRequest) (any, error) { stop("snapshot"); return "secret", nil })
			hub.SnapshotFor("own", func(context.Context, *Conn, SnapshotRequest) (any, error) { stop("own snapshot"); return "secret", nil })
			ws := dialAs(t, serve(t, hub), "ann")
			group := map[string]string{"allow": "shared", "snapshot": "shared", "own snapshot": "own"}[place]
			send(t, ws, `{"id":1,"type":"subscribe","data":{"group":"`+group+`","snapshot":true}}`)
			<-reached
			require.NoError(t, hub.Revoke(t.Context(), "ann", group))
			close(revoked)
			assert.Contains(t, receive(t, ws), denied)
			assert.Zero(t, hub.Stats().Memberships)
		})
	}
}

// What happened while a right was gone is not replayed.
func TestResumeAfterRevoke(t *testing.T) {
	hub, rights := granting(Config{})
	hub.Snapshot("g", func(context.Context, SnapshotRequest) (any, error) { return "now", nil })
	url := serve(t, hub)
	keeper := dialAs(t, url, "bob")
	join(t, keeper, "g")
	publish := func() {
		t.Helper()
		require.NoError(t, hub.Publish(t.Context(), Change{Group: "g", Type: Update, Object: "x"}))
	}
	epoch := epochOf(t, hub, "g")
	resume := func(user string, offset int) string {
		t.Helper()
		ws := dialAs(t, url, user)
		defer func() { _ = ws.Close() }()
		send(t, ws, fmt.Sprintf(`{"id":1,"type":"subscribe","data":{"group":"g","snapshot":true,"since":{"epoch":%q,"offset":%d}}}`, epoch, offset))
		return receive(t, ws)
	}
	publish() // 1
	assert.Contains(t, resume("ann", 0), `"recovered":true,"missed":1`)
	rights.deny("ann", "g")
	require.NoError(t, hub.Revoke(t.Context(), "ann", "g"))
	assert.Contains(t, resume("ann", 1), denied)
	publish() // 2, while the right is gone
	rights.set(func(string, string) error { return nil })
	const lost = `"recovered":false,"reason":"revoked","snapshot":"now"`
	assert.Contains(t, resume("ann", 1), lost, "from the very position of the revocation, too")
	publish() // 3
	assert.Contains(t, resume("ann", 1), lost)
	assert.Contains(t, resume("ann", 2), `"recovered":true,"missed":1`, "she has come back at 2")
	assert.Contains(t, resume("bob", 0), `"recovered":true,"missed":3`, "others lose nothing")

	rights.deny("ann", "g") // without Revoke: the next resume finds out
	assert.Contains(t, resume("ann", 3), denied)
	publish() // 4
	rights.set(func(string, string) error { return nil })
	assert.Contains(t, resume("ann", 3), lost)

	require.NoError(t, hub.Revoke(t.Context(), "", ""))
	assert.Contains(t, resume("bob", 4), lost)
	assert.Contains(t, resume("cyd", 4), lost)
	assert.Contains(t, resume("bob", 4), `"recovered":true`)
}

func epochOf(t *testing.T, hub *Hub, group string) string {
	t.Helper()
	at, err := hub.Position(t.Context(), group)
	require.NoError(t, err)
	return at.Epoch
}

// A refused re-subscribe leaves the group, unless Conn.Join has made the membership.
func TestRefusedResubscribeLeaves(t *testing.T) {
	for _, data := range []string{`{"group":"g"}`, `{"group":"g","snapshot":true}`, `{"group":"g","since":{"epoch":"X","offset":1}}`} {
		hub, rights := granting(Config{})
		ws := dialAs(t, serve(t, hub), "ann")
		greet(t, ws)
		join(t, ws, "g")
		require.NoError(t, hub.Connections("ann")[0].Join("joined"))
		rights.set(func(string, string) error { return ErrUnavailable })
		send(t, ws, `{"id":2,"type":"subscribe","data":`+data+`}`)
		assert.Contains(t, receive(t, ws), `"code":"unavailable"`)
		assert.Equal(t, 2, hub.Stats().Memberships, "nothing is decided")
		rights.set(func(string, string) error { return errors.New("no") })
		send(t, ws, `{"id":2,"type":"subscribe","data":`+data+`}`)
		require.Contains(t, receive(t, ws), `"type":"unsubscribed","group":"g","object":{"reason":"revoked"}`)
		assert.Contains(t, receive(t, ws), denied)
		send(t, ws, `{"id":3,"type":"subscribe","data":{"group":"joined"}}`)
		assert.Contains(t, receive(t, ws), denied)
		assert.Equal(t, []string{"joined"}, hub.Connections("ann")[0].Groups())
	}
}

// A connection whose user is disconnected while it is being authenticated is closed when it
// is open.
func TestDisconnectDuringTheHandshake(t *testing.T) {
	reached, disconnected := make(chan struct{}), make(chan struct{})
	hold := func() { reached <- struct{}{}; <-disconnected }
	hub := quiet(Config{
		Authenticate: func(r *http.Request) (Identity, error) {
			if r.Header.Get("User") != "" {
				hold()
			}
			return Identity{ID: r.Header.Get("User")}, nil
		},
		AuthenticateToken: func(context.Context, string) (Identity, error) { hold(); return Identity{ID: "ann"}, nil },
	})
	url := serve(t, hub)
	byToken := dial(t, url)
	codes := make(chan int)
	go func() { codes <- closeCode(dialAs(t, url, "ann")) }()
	<-reached
	send(t, byToken, helloWith("ann"))
	<-reached
	require.NoError(t, hub.Disconnect(t.Context(), "ann", 4444, "removed"))
	close(disconnected)
	assert.Equal(t, 4444, <-codes)
	assert.Equal(t, 4444, closeCode(byToken))
}

// Other hubs obey, and none obeys its own order once more.
func TestOrdersReachOtherHubs(t *testing.T) {
	shared := NewMemoryBroker(HistoryLimits{})
	here, rightsHere := granting(Config{Broker: shared})
	there, rightsThere := granting(Config{Broker: shared.Peer()})
	near, far := dialAs(t, serve(t, here), "ann"), dialAs(t, serve(t, there), "ann")
	for _, ws := range []*websocket.Conn{near, far} {
		greet(t, ws)
		join(t, ws, "g")
		join(t, ws, "h")
	}
	rightsHere.deny("ann", "g")
	rightsThere.deny("ann", "g")
	require.NoError(t, here.Revoke(t.Context(), "ann", "g"))
	const gone = `"type":"unsubscribed","group":"%s","object":{"reason":"revoked"}`
	for _, ws := range []*websocket.Conn{near, far} {
		assert.Contains(t, receive(t, ws), fmt.Sprintf(gone, "g"))
	}
	rightsHere.deny("ann", "h")
	rightsThere.deny("ann", "h")
	require.NoError(t, here.Recheck(t.Context(), "ann", "{any}"))
	for _, ws := range []*websocket.Conn{near, far} {
		assert.Contains(t, receive(t, ws), fmt.Sprintf(gone, "h"))
	}
	rightsHere.set(func(string, string) error { return nil })
	join(t, near, "g")
	require.NoError(t, here.Disconnect(t.Context(), "ann", 4400, "bye"))
	for _, ws := range []*websocket.Conn{near, far} {
		assert.Equal(t, 4400, closeCode(ws))
	}
	assert.EqualValues(t, 2, here.Stats().Revoked, "once each")
}
