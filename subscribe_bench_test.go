package rohrpost

import (
	"context"
	"strings"
	"testing"
	"time"
)

// BenchmarkSubscribe measures a subscribe and an unsubscribe request of a group whose Allow
// costs nothing: for Anyone, with Allow, with a token of 1 kB in each request that the
// program would read itself, and with the same token where the hub has AuthenticateToken. "in
// turn" compares them one after another, as quotients to Anyone.
func BenchmarkSubscribe(b *testing.B) {
	token := `,"auth_jwt":"` + strings.Repeat("x", 1000) + `"`
	authenticate := func(context.Context, string) (Identity, error) { return Identity{ID: "ann"}, nil }
	allow := func(context.Context, *Conn, Params) error { return nil }
	variants := []struct {
		name   string
		config Config
		allow  func(context.Context, *Conn, Params) error
		token  string
	}{
		{"anyone", Config{}, Anyone, ""},
		{"allow", Config{}, allow, ""},
		{"token", Config{}, allow, token},
		{"authenticated", Config{AuthenticateToken: authenticate}, allow, token},
	}
	var once []func()
	for _, v := range variants {
		v.config.Limits.Messages = Rate{-1, -1}
		hub := quiet(v.config)
		hub.Allow("g-{id}", v.allow)
		c, socket := connect(b, hub, false)
		socket.onWrite = func([]byte) {}
		ask := func(kind string) {
			c.handleMessage(inbound{data: []byte(`{"id":1,"type":"` + kind + `","data":{"group":"g-1"}` + v.token + `}`)})
		}
		once = append(once, func() {
			hub.decoders.Take()
			defer hub.decoders.Leave()
			ask("subscribe")
			ask("unsubscribe")
			c.member.Work()
		})
		b.Run(v.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				once[len(once)-1]()
			}
		})
	}
	b.Run("in turn", func(b *testing.B) {
		times := make([][]float64, len(once))
		for b.Loop() {
			for i, f := range once {
				began := time.Now()
				for range 32 {
					f()
				}
				times[i] = append(times[i], float64(time.Since(began)))
			}
		}
		b.ReportMetric(0, "ns/op")
		for i, v := range variants[1:] {
			b.ReportMetric(median(times[i+1])/median(times[0]), v.name+"/anyone")
		}
	})
}
