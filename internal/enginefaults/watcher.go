package enginefaults

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
)

// watcher is a client that wants to know whether its hub hears the engine.
type watcher struct {
	ws     *websocket.Conn
	mu     sync.Mutex // guards what follows
	status string
	types  map[string]bool // of what has come
}

// watch connects a watcher to a hub. It ends with the hub, or with the test.
func watch(t testing.TB, address string) *watcher {
	ws, answer, err := websocket.DefaultDialer.Dial("ws://"+address+"/", nil)
	require.NoError(t, err)
	_ = answer.Body.Close()
	require.NoError(t, ws.WriteMessage(websocket.TextMessage, []byte(`{"id":1,"type":"rohrpost:hello","data":{"version":1,"wants":["status"]}}`)))
	_, reply, err := ws.ReadMessage()
	require.NoError(t, err)
	require.NotContains(t, string(reply), "error")
	w, ended := &watcher{ws: ws, types: map[string]bool{}}, make(chan struct{})
	go func() {
		defer close(ended)
		w.read()
	}()
	t.Cleanup(func() {
		_ = ws.Close()
		<-ended
	})
	return w
}

func (w *watcher) read() {
	for {
		_, text, err := w.ws.ReadMessage()
		if err != nil {
			return
		}
		var m struct {
			Type string
			Data struct{ Status string }
		}
		_ = json.Unmarshal(text, &m) // other messages have other data
		w.mu.Lock()
		if w.types[m.Type] = true; m.Type == "rohrpost:status" {
			w.status = m.Data.Status
		}
		w.mu.Unlock()
	}
}

// subscribe makes the watcher a member of a group, soon.
func (w *watcher) subscribe(t testing.TB, group string) {
	require.NoError(t, w.ws.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `{"id":2,"type":"subscribe","data":{"group":%q}}`, group)))
}

// heard reports whether a message of a type has come.
func (w *watcher) heard(kind string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.types[kind]
}

// told returns the status that the hub has told last.
func (w *watcher) told() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status
}
