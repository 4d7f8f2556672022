package rohrpost

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// wantParts says hello and asks for parts.
func wantParts(t *testing.T, ws *websocket.Conn) {
	t.Helper()
	send(t, ws, `{"id":0,"type":"rohrpost:hello","data":{"version":1,"wants":["parts"]}}`)
	require.Contains(t, receive(t, ws), `"connection"`)
}

type part struct {
	Type  string
	Error string
	Info  struct{ Code string } `json:"error_info"`
	Data  struct {
		Group, Epoch string
		Offset       *uint64
		Part         int
		Last         bool
		Snapshot     []json.RawMessage
	}
}

// readParts reads a snapshot, and returns its items and how many parts it had.
func readParts(t *testing.T, ws *websocket.Conn) (items []string, parts int) {
	t.Helper()
	for {
		var p part
		text := receive(t, ws)
		require.NoError(t, json.Unmarshal([]byte(text), &p))
		require.Empty(t, p.Error)
		require.Equal(t, "subscribe", p.Type, text)
		parts++
		require.Equal(t, parts, p.Data.Part)
		require.Equal(t, parts == 1, p.Data.Offset != nil, "the first part has the position")
		for _, i := range p.Data.Snapshot {
			items = append(items, string(i))
		}
		if p.Data.Last {
			return items, parts
		}
	}
}

// item is one of about 200 bytes.
func item(n int) string { return fmt.Sprintf(`{"id":%d,"title":"%s"}`, n, strings.Repeat("],[", 60)) }

func rows(count int) json.RawMessage {
	var all []string
	for n := range count {
		all = append(all, item(n))
	}
	return json.RawMessage("[" + strings.Join(all, " , ") + "]")
}

// 50,000 rows of 200 bytes load, with every change that is made meanwhile.
func TestLongSnapshot(t *testing.T) {
	const count, changes = 50_000, 100
	hub := quiet(Config{})
	began := make(chan struct{})
	hub.Snapshot("g", func(context.Context, SnapshotRequest) (any, error) { close(began); return rows(count), nil })
	ws := dial(t, serve(t, hub))
	wantParts(t, ws)
	send(t, ws, loadG)
	go func() {
		<-began
		for n := range changes {
			assert.NoError(t, hub.Publish(context.Background(), change(n)))
			time.Sleep(100 * time.Microsecond)
		}
	}()
	items, parts := readParts(t, ws)
	require.Len(t, items, count)
	for n := range count {
		require.Equal(t, item(n), items[n])
	}
	assert.Greater(t, parts, 100)
	for n := range changes {
		require.Contains(t, receive(t, ws), changed(n, n+1))
	}
	assert.Zero(t, hub.Stats().SlowConsumers)
}

// The next part is handed over when the last is written, and the age of the send queue
// does not count what waits for a part.
func TestPartsGoAsFastAsTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := calm(Config{})
		config.Limits.MaxSendQueueBytes, config.Limits.MaxSendQueueAge = 20_000, 5*time.Second
		hub := quiet(config)
		hub.Snapshot("g", func(context.Context, SnapshotRequest) (any, error) { return rows(500), nil })
		ws := pipe(t, hub)
		join(t, ws, "other")
		wantParts(t, ws)
		send(t, ws, loadG)
		var items, parts int
		for last := false; !last; parts++ {
			time.Sleep(8 * time.Second)
			for _, c := range hub.conns.All() {
				assert.Less(t, c.member.Waiting(), 10_000+500, "one part waits")
			}
			require.NoError(t, hub.Send("other", Message{ID: parts, Type: "x"})) // it waits for the part
			time.Sleep(8 * time.Second)
			var p part
			for p.Type != "subscribe" {
				require.NoError(t, json.Unmarshal([]byte(receive(t, ws)), &p))
			}
			items += len(p.Data.Snapshot)
			last = p.Data.Last
		}
		assert.Equal(t, 500, items)
		assert.Greater(t, parts, 5)
		assert.Zero(t, hub.Stats().SlowConsumers)
		require.NoError(t, ws.Close())
		require.NoError(t, hub.Shutdown(context.Background()))
	})
}

// Changes that are not buffered while the parts are sent come from the history.
func TestPartsCatchUpFromTheHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const changes = 2 * maxBuffered
		config := calm(Config{History: HistoryLimits{MaxMessages: changes}})
		config.Limits.MaxSendQueueBytes = 300_000
		hub := quiet(config)
		hub.Snapshot("g", func(context.Context, SnapshotRequest) (any, error) { return rows(1000), nil })
		ws := pipe(t, hub)
		wantParts(t, ws)
		send(t, ws, loadG)
		synctest.Wait()
		for n := range changes {
			require.NoError(t, hub.Publish(t.Context(), change(n)))
		}
		items, _ := readParts(t, ws)
		assert.Len(t, items, 1000)
		for n := range changes {
			require.Contains(t, receive(t, ws), changed(n, n+1))
		}
		require.NoError(t, ws.Close())
		require.NoError(t, hub.Shutdown(context.Background()))
	})
}

// If the history does not reach the end of the parts, the hub reads the snapshot once more,
// and then gives up with an error that names the settings.
func TestOutrunSnapshot(t *testing.T) {
	for outruns, calls := range []int32{1, 2, 2} {
		t.Run(fmt.Sprint(outruns, " times"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				config := calm(Config{History: HistoryLimits{MaxMessages: 10}})
				config.Limits.MaxSendQueueBytes = 50_000
				hub, log := logged(config)
				var called atomic.Int32
				hub.Snapshot("g", func(context.Context, SnapshotRequest) (any, error) { called.Add(1); return rows(500), nil })
				ws := pipe(t, hub)
				wantParts(t, ws)
				send(t, ws, loadG)
				published := 0
				for range outruns {
					synctest.Wait()
					for range 2 * maxBuffered {
						require.NoError(t, hub.Publish(t.Context(), change(published)))
						published++
					}
					for number := 1; number < 5; number++ { // all parts but the last
						var p part
						require.NoError(t, json.Unmarshal([]byte(receive(t, ws)), &p))
						require.Equal(t, number, p.Data.Part)
						require.False(t, p.Data.Last)
					}
				}
				if outruns == 2 {
					text := receive(t, ws)
					assert.Contains(t, text, `{"id":1,"type":"subscribe","error":"`)
					assert.Contains(t, text, `"error_info":{"code":"snapshot_outrun","temporary":false}}`)
					assert.Contains(t, text, "Config.History")
					assert.Contains(t, text, "Limits.MaxSnapshotBytes")
					require.Len(t, log.lines("Config.History"), 1)
					assert.Contains(t, log.lines("Config.History")[0], "group=g")
					assert.Contains(t, log.lines("Config.History")[0], "MaxSnapshotBytes")
					assert.Zero(t, hub.Stats().Memberships)
					assert.Equal(t, map[string]uint64{"snapshot_outrun": 1}, hub.Stats().Refused)
				} else {
					items, parts := readParts(t, ws)
					assert.Len(t, items, 500)
					assert.Equal(t, 5, parts)
					require.NoError(t, hub.Publish(t.Context(), change(7)))
					assert.Contains(t, receive(t, ws), changed(7, published+1))
				}
				assert.Equal(t, calls, called.Load())
				require.NoError(t, ws.Close())
				require.NoError(t, hub.Shutdown(context.Background()))
			})
		})
	}
}

// An unsubscribe cancels a subscription whose parts are being sent.
func TestPartsAreCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := calm(Config{})
		config.Limits.MaxSendQueueBytes = 50_000
		hub := quiet(config)
		hub.Snapshot("g", func(context.Context, SnapshotRequest) (any, error) { return rows(500), nil })
		ws := pipe(t, hub)
		wantParts(t, ws)
		send(t, ws, loadG)
		synctest.Wait()
		send(t, ws, `{"id":2,"type":"unsubscribe","data":{"group":"g"}}`)
		synctest.Wait()
		assert.Contains(t, receive(t, ws), `"part":1,`)
		replies := []string{receive(t, ws), receive(t, ws)}
		assert.ElementsMatch(t, []string{`{"id":2,"type":"unsubscribe","data":{"group":"g"}}`, `{"id":1,"type":"subscribe",` + cancelled}, replies)
		assert.Zero(t, hub.Stats().Memberships)
		assert.Zero(t, hub.Stats().Groups)
		require.NoError(t, ws.Close())
		require.NoError(t, hub.Shutdown(context.Background()))
	})
}

// counted counts how often it is encoded.
type counted struct{ times *atomic.Int32 }

func (c counted) MarshalJSON() ([]byte, error) { c.times.Add(1); return rows(3000), nil }

func TestOneEncodedCopyServesAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := quiet(calm(Config{}))
		var encoded atomic.Int32
		hub.Snapshot("g", func(context.Context, SnapshotRequest) (any, error) {
			time.Sleep(time.Second)
			return counted{&encoded}, nil
		})
		var all []*websocket.Conn
		for range 10 {
			ws := pipe(t, hub)
			wantParts(t, ws)
			send(t, ws, loadG)
			all = append(all, ws)
		}
		for _, ws := range all {
			items, parts := readParts(t, ws)
			assert.Len(t, items, 3000)
			assert.Greater(t, parts, 8)
			require.NoError(t, ws.Close())
		}
		assert.EqualValues(t, 1, encoded.Load())
		require.NoError(t, hub.Shutdown(context.Background()))
	})
}

func TestSizesOfSnapshots(t *testing.T) {
	const tooLarge = `"error":"The snapshot is too large.","error_info":{"code":"snapshot_too_large","temporary":false}}`
	for name, test := range map[string]struct {
		snapshot any
		parts    bool   // the client wants them
		reply    string // contains this
		log      string // a line with the group contains this
	}{
		"small":                 {[]int{1}, true, `"snapshot":[1]}}`, ""},
		"half":                  {rows(20), true, `"part":1,`, ""},
		"one frame":             {rows(20), false, `"offset":0,"snapshot":[`, ""},
		"no frame":              {rows(40), false, tooLarge, "MaxSendQueueBytes=6000"},
		"no list":               {strings.Repeat("x", 7000), true, tooLarge, "MaxSendQueueBytes=6000"},
		"long item":             {[]string{strings.Repeat("x", 7000)}, true, tooLarge, "MaxSendQueueBytes=6000"},
		"half of the limit":     {rows(60), true, `"part":1,`, "MaxSnapshotBytes=20000"},
		"more than the limit":   {rows(110), true, tooLarge, "MaxSnapshotBytes=20000"},
		"more, and no part":     {rows(110), false, tooLarge, "MaxSnapshotBytes=20000"},
		"one item of two parts": {[]string{strings.Repeat("x", 4000)}, true, `"offset":0,"snapshot":["xxx`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			hub, log := logged(Config{Limits: Limits{MaxSendQueueBytes: 6000, MaxSnapshotBytes: 20_000}})
			hub.Snapshot("g", func(context.Context, SnapshotRequest) (any, error) { return test.snapshot, nil })
			ws := dial(t, serve(t, hub))
			if test.parts {
				wantParts(t, ws)
			}
			send(t, ws, loadG)
			assert.Contains(t, receive(t, ws), test.reply)
			if lines := log.lines("group=g"); test.log == "" {
				assert.Empty(t, lines)
			} else if assert.Len(t, lines, 1) {
				assert.Contains(t, lines[0], test.log)
			}
		})
	}
}
