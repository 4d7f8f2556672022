package natsbroker_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/natsbroker"
)

// TestServerIsBehind lets a server of the cluster answer that has only the mark of a stream. A
// hub reads what all have that were told of a message.
func TestServerIsBehind(t *testing.T) {
	t.Parallel()
	o := openInCluster(t, startCluster(t)[0], natsbroker.Config{MaxBytes: 8 << 20})
	begin := follow(t, o)
	for n := range uint64(3) {
		publish(t, o, n+1, strconv.FormatUint(n+1, 10))
	}
	end, err := o.Positions(t.Context(), []string{"g"})
	require.NoError(t, err)
	all, err := o.Read(t.Context(), "g", begin.Offset, 10)
	require.NoError(t, err)
	require.Len(t, all.Messages, 3)
	answerBehind(t, o, begin.Offset)
	d := &detour{}
	nc, err := nats.Connect(o.server.address(), nats.SetCustomDialer(d))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	b, err := natsbroker.New(nc, o.config)
	require.NoError(t, err)
	for range 5 {
		at, err := b.Positions(t.Context(), []string{"h", "g"})
		require.NoError(t, err)
		require.Equal(t, []broker.Position{{}, end[0]}, at)
		for name, c := range map[string]struct {
			after uint64
			limit int
			want  []broker.Message
		}{
			"from the mark":             {begin.Offset, 10, all.Messages},
			"from the beginning":        {0, 10, all.Messages},
			"from a message":            {all.Messages[0].Offset, 10, all.Messages[1:]},
			"from where no message is":  {all.Messages[1].Offset - 1, 10, all.Messages[1:]},
			"as many as asked for":      {begin.Offset, 2, all.Messages[:2]},
			"before the latest message": {end[0].Offset - 1, 1, all.Messages[2:]},
		} {
			h, err := b.Read(t.Context(), "g", c.after, c.limit)
			require.NoError(t, err, name)
			require.Equal(t, broker.History{Position: end[0], Messages: c.want}, h, name)
		}
	}
	assert.Greater(t, d.asked.Load(), int64(10))
}

// detour leads half of the requests for which hubs ask any server to the one that is behind.
type detour struct{ asked atomic.Int64 }

func (d *detour) Dial(network, address string) (net.Conn, error) {
	conn, err := net.Dial(network, address)
	return detourConn{conn, d}, err
}

type detourConn struct {
	net.Conn
	*detour
}

func (c detourConn) Write(p []byte) (int, error) {
	if anyServer := []byte("$JS.API.DIRECT.GET."); bytes.Contains(p, anyServer) && rand.N(2) == 0 {
		c.asked.Add(1)
		p = bytes.ReplaceAll(p, anyServer, []byte(behind)) // as long
	}
	return c.Conn.Write(p)
}

const behind = "$JS.API.DIRECT.OLD."

// answerBehind answers as a server that has only the mark of the stream "g".
func answerBehind(t *testing.T, o opened, mark uint64) {
	found, err := o.stream(t).GetMsg(t.Context(), mark)
	require.NoError(t, err)
	sequence := strconv.FormatUint(mark, 10)
	_, err = o.nc.Subscribe(behind+"*", func(m *nats.Msg) {
		var request struct {
			Sequence uint64   `json:"seq"`
			Several  []string `json:"multi_last"`
		}
		_ = json.Unmarshal(m.Data, &request)
		end := nats.NewMsg(m.Reply)
		if end.Header["Status"] = []string{"404"}; request.Sequence <= mark {
			has := nats.NewMsg(m.Reply)
			maps.Copy(has.Header, found.Header)
			has.Header["Nats-Subject"], has.Header["Nats-Sequence"] = []string{found.Subject}, []string{sequence}
			has.Header["Nats-Time-Stamp"] = []string{found.Time.Format(time.RFC3339Nano)}
			_ = o.nc.PublishMsg(has)
			end.Header["Status"] = []string{"204"}
		}
		if len(request.Several) > 0 {
			end.Header["Nats-UpTo-Sequence"] = []string{sequence}
		}
		_ = o.nc.PublishMsg(end)
	})
	require.NoError(t, err)
	require.NoError(t, o.nc.Flush())
}
