package places_test

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rohrpost/rohrpost/internal/places"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAddressOf(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("2001:db8:1::/48")}
	for name, test := range map[string]struct {
		remote    string
		forwarded []string
		trusted   []netip.Prefix
		want      string
	}{
		"address":                    {"203.0.113.9:1234", nil, nil, "203.0.113.9"},
		"mapped address":             {"[::ffff:203.0.113.9]:1234", nil, nil, "203.0.113.9"},
		"IPv6 stands for its /64":    {"[2001:db8::1:2:3:4]:1234", nil, nil, "2001:db8::/64"},
		"IPv6 with a zone":           {"[fe80::1%eth0]:1234", nil, nil, ""},
		"loopback":                   {"127.0.0.1:1234", nil, nil, ""},
		"private":                    {"192.168.1.2:1234", nil, nil, ""},
		"Unix socket":                {"@", nil, nil, ""},
		"header without trust":       {"203.0.113.9:1234", []string{"198.51.100.1"}, nil, "203.0.113.9"},
		"header of another":          {"203.0.113.9:1234", []string{"198.51.100.1"}, proxies, "203.0.113.9"},
		"trusted proxy":              {"127.0.0.1:1234", []string{"198.51.100.1"}, proxies, "198.51.100.1"},
		"the client writes one":      {"127.0.0.1:1234", []string{"192.0.2.7, 198.51.100.1"}, proxies, "198.51.100.1"},
		"two headers":                {"127.0.0.1:1234", []string{"192.0.2.7", "198.51.100.1"}, proxies, "198.51.100.1"},
		"chain of proxies":           {"127.0.0.1:1234", []string{"192.0.2.7, 198.51.100.1, 10.2.3.4"}, proxies, "198.51.100.1"},
		"address with a port":        {"127.0.0.1:1234", []string{"198.51.100.1:5555"}, proxies, "198.51.100.1"},
		"IPv6 behind a proxy":        {"[2001:db8:1::1]:1", []string{"2001:db8:2:3::4"}, proxies, "2001:db8:2:3::/64"},
		"proxy without a header":     {"127.0.0.1:1234", nil, proxies, "127.0.0.1"},
		"nonsense in the header":     {"127.0.0.1:1234", []string{"198.51.100.1, unknown"}, proxies, "127.0.0.1"},
		"private client of a proxy":  {"127.0.0.1:1234", []string{"192.168.1.2"}, proxies, ""},
		"only proxies in the header": {"127.0.0.1:1234", []string{"10.1.1.1"}, proxies, "10.1.1.1"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &http.Request{RemoteAddr: test.remote, Header: http.Header{}}
			for _, f := range test.forwarded {
				r.Header.Add("X-Forwarded-For", f)
			}
			assert.Equal(t, test.want, places.AddressOf(r, test.trusted))
		})
	}
}

func TestConnections(t *testing.T) {
	c := places.NewConnections(80, 3)
	var held []*places.Place
	for i := range 40 { // below the half nobody is refused
		p, err := c.Take("attacker", "")
		require.NoError(t, err, i)
		held = append(held, p)
	}
	_, err := c.Take("attacker", "")
	require.ErrorIs(t, err, places.ErrAddress, "it has more than an eighth")
	require.ErrorIs(t, c.Check("attacker"), places.ErrAddress)
	require.NoError(t, c.Check(""), "an exempt address")
	for i := range 40 {
		p, err := c.Take(fmt.Sprint("honest-", i/10), "")
		require.NoError(t, err)
		held = append(held, p)
	}
	_, err = c.Take("", "")
	require.ErrorIs(t, err, places.ErrFull)
	for _, p := range held {
		p.Free()
		p.Free() // once
	}
	for range 3 {
		_, err = c.Take("a", "ann")
		require.NoError(t, err)
	}
	_, err = c.Take("a", "ann")
	require.ErrorIs(t, err, places.ErrUser)
	p, err := c.Take("a", "")
	require.NoError(t, err)
	require.ErrorIs(t, p.SetUser("ann"), places.ErrUser)
	require.NoError(t, p.SetUser("bob"))
	assert.Equal(t, places.Names{"a", "bob"}, p.Names())
	p.Free()
	require.NoError(t, p.SetUser("ann"), "a place that is free counts nobody")
}

func TestSharesWaitInTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := places.NewShares(16, 32) // a name holds 2, and 4 wait
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		attacker, honest := places.Names{"attacker"}, places.Names{"honest", "ann"}
		busy := 0
		for range 20 {
			go func() {
				if s.Take(ctx, attacker) == places.ErrBusy {
					busy++
				}
			}()
			synctest.Wait()
		}
		assert.Equal(t, 2, s.Held(), "an eighth")
		assert.Equal(t, 14, busy, "beyond two that hold and four that wait")
		require.NoError(t, s.Take(ctx, honest), "others do not wait for those")
		s.Leave(attacker)
		synctest.Wait()
		assert.Equal(t, 3, s.Held(), "the next one has it")
		time.Sleep(6 * time.Second) // the others give up
		s.Leave(attacker)
		s.Leave(attacker)
		s.Leave(honest)
		assert.Zero(t, s.Held())
	})
}

func TestSharesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := places.NewShares(2, -1)
		for range 2 {
			require.NoError(t, s.Take(t.Context(), places.Names{}))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, s.Take(ctx, places.Names{}), context.DeadlineExceeded)
		assert.Equal(t, 2, s.Held())

		many := places.NewShares(16, -1)
		for range 2 {
			require.NoError(t, many.Take(t.Context(), places.Names{"a"}))
		}
		late, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		require.ErrorIs(t, many.Take(late, places.Names{"a"}), context.DeadlineExceeded, "an address holds an eighth")
		require.NoError(t, many.Take(t.Context(), places.Names{"b"}))

		none := places.NewShares(-1, -1)
		for range 100 {
			require.NoError(t, none.Take(t.Context(), places.Names{"a"}))
		}
	})
}
