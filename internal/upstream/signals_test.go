package upstream

import (
	"context"
	"strings"
	"testing"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// signaler takes signals as fakeBroker takes messages.
type signaler struct{ *fakeBroker }

func (s signaler) Signal(_ context.Context, messages []broker.Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.published = append(s.published, messages...)
	return nil
}

// TestLargeSignals refuses a signal that the broker would not take, with what the codec adds.
func TestLargeSignals(t *testing.T) {
	b := signaler{&fakeBroker{limits: broker.Limits{PayloadBytes: 20}}}
	r := newTestRemote(t, b)
	fits, large := strings.Repeat("x", 19), strings.Repeat("x", 20)
	require.NoError(t, r.Signal(text("a", fits)))
	require.ErrorIs(t, r.Signal(text("b", large)), errLargeSignal)
	require.NoError(t, r.Signal(text("c", fits)))
	require.NoError(t, r.Flush(t.Context()))
	assert.Equal(t, []string{"a " + fits, "c " + fits}, b.texts())
}
