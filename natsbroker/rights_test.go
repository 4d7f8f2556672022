package natsbroker_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/brokertest"
	"github.com/rohrpost/rohrpost/natsbroker"
)

// TestRights runs with a user that may do only what the README lists.
func TestRights(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	publish := []string{"rohrpost.shop.>", "$JS.API.STREAM.*.rohrpost_shop", "$JS.API.STREAM.MSG.GET.rohrpost_shop", "$JS.API.DIRECT.GET.rohrpost_shop"}
	subscribe := []string{"rohrpost.shop.live.>", "_INBOX.>"}
	for _, subject := range append(publish, subscribe...) {
		assert.Contains(t, string(readme), "`"+subject+"`")
	}
	rules := `jetstream {}
authorization { users = [
	{ user: app, password: secret, permissions: { publish: ["` + strings.Join(publish, `","`) + `"], subscribe: ["` + strings.Join(subscribe, `","`) + `"] } }
] }`
	path := filepath.Join(t.TempDir(), "nats.conf")
	require.NoError(t, os.WriteFile(path, []byte(rules), 0o600))
	brokertest.Run(t, brokertest.Config{Patience: patience, Open: func(t *testing.T) broker.Broker {
		s := startServer(t, "--config", path)
		nc, err := nats.Connect(s.address(), nats.UserInfo("app", "secret"))
		require.NoError(t, err)
		t.Cleanup(nc.Close)
		b, err := natsbroker.New(nc, natsbroker.Config{App: "shop", MaxBytes: 16 << 20, MaxAge: 3 * time.Hour})
		require.NoError(t, err)
		return b
	}})
}
