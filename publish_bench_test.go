package rohrpost

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkPublish publishes changes to a group with a history and without members. It
// measures the cost of a message before its delivery.
//
//	go test -run '^$' -bench '^BenchmarkPublish$' -count 5 .
func BenchmarkPublish(b *testing.B) {
	hub := NewHub(Config{})
	_, err := hub.Position(context.Background(), "g")
	require.NoError(b, err)
	object := struct {
		ID    int    `json:"id"`
		Title string `json:"title"`
	}{7, strings.Repeat("x", 80)}
	b.ReportAllocs()
	for b.Loop() {
		if hub.Publish(context.Background(), Change{Group: "g", Type: Update, Object: object, UpdatedFields: []string{"title"}}) != nil {
			b.Fatal(err)
		}
	}
	require.NoError(b, hub.Shutdown(context.Background()))
}
