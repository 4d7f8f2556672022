package rohrpost

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkPublish publishes changes to a group with a history and without members. It
// measures the cost of a message before its delivery: for a hub without views, for a hub
// that has views of other groups, and for a group with three views.
//
//	go test -run '^$' -bench '^BenchmarkPublish$' -count 5 .
func BenchmarkPublish(b *testing.B) {
	views := []string{"staff", "editor", "guest"}
	for _, test := range []struct {
		name, pattern string
		views         []string
	}{{"plain", "", nil}, {"views of others", "board-{id}", nil}, {"three views", "g", views}} {
		b.Run(test.name, func(b *testing.B) {
			hub := NewHub(Config{})
			if test.pattern != "" {
				hub.AllowViews(test.pattern, views, func(context.Context, *Conn, Params) (string, error) { return "", nil })
			}
			benchmarkPublish(b, hub, test.views)
		})
	}
}

func benchmarkPublish(b *testing.B, hub *Hub, views []string) {
	if views == nil {
		views = []string{""}
	}
	for _, view := range views {
		_, err := hub.PositionInView(context.Background(), "g", view)
		require.NoError(b, err)
	}
	object := struct {
		ID    int    `json:"id"`
		Title string `json:"title"`
	}{7, strings.Repeat("x", 80)}
	b.ReportAllocs()
	for b.Loop() {
		if err := hub.Publish(context.Background(), Change{Group: "g", Type: Update, Object: object, UpdatedFields: []string{"title"}}); err != nil {
			b.Fatal(err)
		}
	}
	require.NoError(b, hub.Shutdown(context.Background()))
}

// BenchmarkPublishToOne publishes changes to a group of one member, whose socket takes
// everything, until they are written.
//
//	go test -run '^$' -bench '^BenchmarkPublishToOne$' -count 5 .
func BenchmarkPublishToOne(b *testing.B) {
	hub := NewHub(Config{})
	c, socket := connect(b, hub, false)
	socket.onWrite = func([]byte) {}
	require.NoError(b, c.Join("g"))
	idle(hub)
	object := struct {
		ID    int    `json:"id"`
		Title string `json:"title"`
	}{7, strings.Repeat("x", 80)}
	b.ReportAllocs()
	for b.Loop() {
		err := hub.Publish(context.Background(), Change{Group: "g", Type: Update, Object: object, UpdatedFields: []string{"title"}})
		if err != nil {
			b.Fatal(err)
		}
		idle(hub)
	}
	require.NoError(b, c.Close(1000, ""))
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	_ = hub.Shutdown(ctx) // the client does not answer
}
