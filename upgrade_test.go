package rohrpost

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

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
		code   string
	}{
		"no places":        {Config{Limits: Limits{MaxConnections: 1}}, "", http.StatusServiceUnavailable, "too many connections", "full"},
		"readable error":   {Config{Authenticate: refuse(Errorf("unknown user"))}, "", http.StatusUnauthorized, "unknown user", "unauthorized"},
		"unreadable error": {Config{Authenticate: refuse(errors.New("secret"))}, "", http.StatusUnauthorized, "Unauthorized", "unauthorized"},
		"panic": {
			Config{Authenticate: func(*http.Request) (Identity, error) { panic("secret") }},
			"",
			http.StatusUnauthorized, "Unauthorized", "unauthorized",
		},
		"foreign origin": {Config{}, "https://elsewhere.example", http.StatusForbidden, "origin not allowed", "origin"},
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
			assert.Equal(t, map[string]uint64{test.code: 1}, hub.Stats().Refused)
		})
	}
}

func refuse(err error) func(*http.Request) (Identity, error) {
	return func(*http.Request) (Identity, error) { return Identity{}, err }
}

// statusOf returns the status of a handshake with these headers.
func statusOf(t *testing.T, address string, header http.Header) int {
	ws, response, err := websocket.DefaultDialer.Dial(address, header)
	if err == nil {
		_ = ws.Close()
	}
	require.NotNil(t, response)
	return response.StatusCode
}

func TestRequestsAreRefused(t *testing.T) {
	hub := quiet(Config{Hosts: []string{"app.example", "*.app.example", "127.0.0.1", "::1"}})
	address := serve(t, hub)
	for name, test := range map[string]struct {
		header http.Header
		status int
	}{
		"address":                    {http.Header{}, 101},
		"name":                       {http.Header{"Host": {"APP.example:8080"}}, 101},
		"subdomain":                  {http.Header{"Host": {"a.app.example"}}, 101},
		"IPv6":                       {http.Header{"Host": {"[::1]:8080"}}, 101},
		"rebound name":               {http.Header{"Host": {"evil.example"}}, 421},
		"suffix of another name":     {http.Header{"Host": {"evilapp.example"}}, 421},
		"empty subdomain":            {http.Header{"Host": {".app.example"}}, 421},
		"cross-site without Origin":  {http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403},
		"same-origin without Origin": {http.Header{"Sec-Fetch-Site": {"same-origin"}}, 101},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, test.status, statusOf(t, address, test.header)) })
	}
	handshake := "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nHost: 127.0.0.1\r\n"
	for name, request := range map[string]string{
		"HTTP/1.0":     "GET / HTTP/1.0\r\n" + handshake + "\r\n",
		"body":         "GET / HTTP/1.1\r\n" + handshake + "Content-Length: 5\r\n\r\nhello",
		"chunked body": "GET / HTTP/1.1\r\n" + handshake + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", strings.TrimPrefix(address, "ws://"))
			require.NoError(t, err)
			defer func() { _ = conn.Close() }()
			_, err = io.WriteString(conn, request)
			require.NoError(t, err)
			line, err := bufio.NewReader(conn).ReadString('\n')
			require.NoError(t, err)
			assert.Contains(t, line, " 400 ")
		})
	}
	assert.Equal(t, map[string]uint64{"host": 3, "origin": 1, "handshake": 3}, hub.Stats().Refused)
	assert.PanicsWithValue(t, `rohrpost: Config.Hosts: "http://app.example" is not a host name without scheme, port and path`, func() {
		NewHub(Config{Hosts: []string{"http://app.example"}})
	})
}

// behindProxy trusts the clients of a test as proxies.
var behindProxy = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

func from(address string) http.Header { return http.Header{"X-Forwarded-For": {address}} }

func TestPlacesOfAddressesAndUsers(t *testing.T) {
	hub := quiet(Config{
		Limits:       Limits{MaxConnections: 16, MaxUserConnections: 3, TrustedProxies: behindProxy},
		Authenticate: func(r *http.Request) (Identity, error) { return Identity{ID: r.Header.Get("User")}, nil },
	})
	address := serve(t, hub)
	open := func(header http.Header) int {
		ws, response, err := websocket.DefaultDialer.Dial(address, header)
		if err == nil {
			t.Cleanup(func() { _ = ws.Close() })
		}
		return response.StatusCode
	}
	for range 3 {
		assert.Equal(t, 101, open(http.Header{"User": {"ann"}, "X-Forwarded-For": {"192.0.2.1"}}))
	}
	assert.Equal(t, 429, open(http.Header{"User": {"ann"}, "X-Forwarded-For": {"192.0.2.2"}}))
	for range 5 {
		assert.Equal(t, 101, open(from("198.51.100.7")), "below the half")
	}
	assert.Equal(t, 429, open(from("198.51.100.7")))
	for i := range 8 {
		assert.Equal(t, 101, open(from(fmt.Sprintf("203.0.113.%d", i/2))))
	}
	assert.Equal(t, 503, open(from("192.0.2.9")))
	assert.Equal(t, map[string]uint64{"too_many_of_user": 1, "too_many_of_address": 1, "full": 1}, hub.Stats().Refused)
}

// An address that keeps Authenticate busy delays nobody else, and gives up after a while.
func TestHandshakesOfOneAddress(t *testing.T) {
	hub := quiet(Config{
		Limits: Limits{MaxHandshakes: 16, HandshakeTimeout: time.Second, TrustedProxies: behindProxy},
		Authenticate: func(r *http.Request) (Identity, error) {
			if r.Header.Get("X-Forwarded-For") == "198.51.100.7" {
				<-r.Context().Done()
			}
			return Identity{}, nil
		},
	})
	address := serve(t, hub)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() { assert.Equal(t, 503, statusOf(t, address, from("198.51.100.7"))) })
	}
	require.Eventually(t, func() bool { return hub.handshakes.Held() == 2 }, 5*time.Second, time.Millisecond)
	for range 20 {
		assert.Equal(t, 101, statusOf(t, address, from("192.0.2.1")))
	}
	assert.LessOrEqual(t, hub.handshakes.Held(), 2+1)
	all.Wait()
	assert.EqualValues(t, 50, hub.Stats().Refused["slow_handshake"])
}

// A connection that is gone takes no place, also while functions of the program run for it.
func TestPlaceIsFreeWhenTheSocketIsGone(t *testing.T) {
	finish := make(chan struct{})
	hub := quiet(Config{Limits: Limits{MaxConnections: 1}})
	hub.Allow("slow", func(context.Context, *Conn, Params) error { <-finish; return nil })
	address := serve(t, hub)
	ws := dial(t, address)
	send(t, ws, `{"id":1,"type":"subscribe","data":{"group":"slow"}}`)
	require.Eventually(t, func() bool { return hub.functions.Held() == 1 }, 5*time.Second, time.Millisecond)
	require.NoError(t, ws.Close())
	require.Eventually(t, func() bool { return statusOf(t, address, nil) == 101 }, 5*time.Second, 5*time.Millisecond)
	assert.Equal(t, 1, hub.functions.Held(), "it is one of the functions that run")
	close(finish)
}

// One user or address runs an eighth of all functions at most; others do not wait for it.
func TestFunctionsOfOneUser(t *testing.T) {
	finish := make(chan struct{})
	hub := quiet(Config{
		Limits:       Limits{MaxFunctions: 16, MaxUserConnections: -1},
		Authenticate: func(r *http.Request) (Identity, error) { return Identity{ID: r.Header.Get("User")}, nil },
	})
	hub.Handle("slow", func(context.Context, *Conn, *Request) (any, error) { <-finish; return nil, nil })
	hub.Handle("fast", func(context.Context, *Conn, *Request) (any, error) { return 1, nil })
	address := serve(t, hub)
	open := func(user string) *websocket.Conn {
		ws, _, err := websocket.DefaultDialer.Dial(address, http.Header{"User": {user}})
		require.NoError(t, err)
		t.Cleanup(func() { _ = ws.Close() })
		return ws
	}
	var slow []*websocket.Conn
	for range 10 {
		ws := open("mallory")
		send(t, ws, `{"id":1,"type":"slow"}`)
		slow = append(slow, ws)
	}
	require.Eventually(t, func() bool { return hub.functions.Held() == 2 }, 5*time.Second, time.Millisecond)
	ws := open("ann")
	send(t, ws, `{"id":1,"type":"fast"}`)
	assert.Equal(t, `{"id":1,"type":"fast","data":1}`, receive(t, ws))
	close(finish)
	for _, ws := range slow {
		assert.Equal(t, `{"id":1,"type":"slow"}`, receive(t, ws), "each one gets its turn")
	}
}
