package rohrpost

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

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
