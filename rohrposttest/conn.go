package rohrposttest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rohrpost/rohrpost"
)

// patience is how long a message may take that must come. Nothing waits for a
// message that must not.
const patience = 5 * time.Second

// Conn is a connection to a hub inside the process. It reads all the time, so
// that the hub never waits for it. What does not go as the test says ends the
// test. Its methods are for one goroutine, that of the test.
type Conn struct {
	t        testing.TB
	ws       *websocket.Conn
	incoming mailbox
	waiting  []Message // has come, and was not asked for
	lastID   int
}

// Dial opens a connection, as the given identity, past Config.Authenticate;
// without one, Config.Authenticate decides about a request without anything in
// it. The connection is closed at the end of the test, or by Close.
func Dial(t testing.TB, hub *rohrpost.Hub, as ...rohrpost.Identity) *Conn {
	t.Helper()
	serve := hub.ServeHTTP
	if len(as) > 0 {
		serve = func(w http.ResponseWriter, r *http.Request) { hub.ServeHTTPAs(w, r, as[0]) }
	}
	ws, refusal, err := pipe(serve)
	if err != nil {
		if refusal != nil {
			text, _ := io.ReadAll(refusal.Body)
			t.Fatalf("dial: the hub refused: %s: %s", refusal.Status, text)
		}
		t.Fatalf("dial: %v", err)
	}
	c := &Conn{t: t, ws: ws, incoming: newMailbox()}
	go c.incoming.fill(ws)
	t.Cleanup(c.Close)
	return c
}

// Subscribe joins groups, each with a request.
func (c *Conn) Subscribe(groups ...string) {
	c.t.Helper()
	c.each("subscribe", groups)
}

// Unsubscribe leaves groups, each with a request.
func (c *Conn) Unsubscribe(groups ...string) {
	c.t.Helper()
	c.each("unsubscribe", groups)
}

func (c *Conn) each(request string, groups []string) {
	c.t.Helper()
	for _, group := range groups {
		if reply := c.Call(request, map[string]string{"group": group}); reply.Error != "" {
			c.t.Fatalf("%s %s: %s", request, group, reply.Error)
		}
	}
}

// Call sends a request and returns its reply, also one with an error. What comes
// before the reply is kept for Expect.
func (c *Conn) Call(requestType string, data any) Message {
	c.t.Helper()
	c.lastID++
	id := "rohrposttest-" + strconv.Itoa(c.lastID)
	request := map[string]any{"id": id, "type": requestType}
	if data != nil {
		request["data"] = data
	}
	_ = c.ws.SetWriteDeadline(time.Now().Add(patience)) // never fails
	if err := c.ws.WriteJSON(request); err != nil {
		c.t.Fatalf("call %s: %v%s", requestType, err, c.incoming.farewell())
	}
	for {
		m, ok := c.incoming.next()
		if !ok {
			c.t.Fatalf("call %s: no reply%s", requestType, c.incoming.farewell())
		}
		if string(m.ID) == strconv.Quote(id) {
			return m
		}
		c.waiting = append(c.waiting, m)
	}
}

// Expect takes the next message: it must be a change of the type, to the group,
// that all matchers accept. Order is a promise, so nothing is passed over.
func (c *Conn) Expect(group, changeType string, matchers ...Matcher) rohrpost.Change {
	c.t.Helper()
	want := expectation{group: group, changeType: changeType, matchers: matchers}
	m, ok := c.take()
	if !ok {
		c.t.Fatalf("nothing came%s: %s", c.incoming.farewell(), want.describe())
	}
	change, isChange := m.change()
	if !isChange {
		c.t.Fatalf("expected: %s\nthe next message is no change: %s", want.describe(), m)
	}
	if want.count([]rohrpost.Change{change}) != "" {
		c.t.Fatalf("expected: %s\n%s", want.describe(), want.nearest(append([]rohrpost.Change{change}, c.changes()...)))
	}
	return change
}

// ExpectMessage takes the next message: it must be of the type, as Hub.Send and
// Conn.Send send them.
func (c *Conn) ExpectMessage(messageType string) Message {
	c.t.Helper()
	m, ok := c.take()
	if !ok {
		c.t.Fatalf("nothing came%s: a message of type %s", c.incoming.farewell(), messageType)
	}
	if m.Type != messageType {
		c.t.Fatalf("expected: a message of type %s\nthe next message is %s", messageType, m)
	}
	return m
}

// ExpectNothing reports an error if anything has been sent to the connection
// that Expect has not taken. It does not wait: a ping that comes back has what
// was sent earlier before it.
func (c *Conn) ExpectNothing() bool {
	c.t.Helper()
	c.Call("ping", nil)
	var lines []string
	for _, m := range c.waiting {
		lines = append(lines, m.String())
	}
	c.waiting = nil
	if len(lines) > 0 {
		c.t.Errorf("nothing was to come, but this did:\n%s", numbered(lines))
	}
	return len(lines) == 0
}

// ExpectClosed waits until the hub closes the connection, with the code; what
// comes before is thrown away.
func (c *Conn) ExpectClosed(code int) {
	c.t.Helper()
	for ok := true; ok; {
		_, ok = c.incoming.next()
	}
	var closed *websocket.CloseError
	switch err := c.incoming.end(); {
	case err == nil:
		c.t.Fatalf("the connection is still open; expected: closed with %d", code)
	case !errors.As(err, &closed):
		c.t.Fatalf("the connection ended without a code: %v; expected: closed with %d", err, code)
	case closed.Code != code:
		c.t.Fatalf("closed with %d %s; expected: %d", closed.Code, closed.Text, code)
	}
}

// Close closes the connection with 1000 and returns when the hub has let go of
// it. A second call does nothing.
func (c *Conn) Close() {
	text := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	_ = c.ws.WriteControl(websocket.CloseMessage, text, time.Now().Add(patience)) // it may be closed
	_ = c.ws.NetConn().SetReadDeadline(time.Now().Add(patience))
	<-c.incoming.closed
	_ = c.ws.NetConn().Close()
}

// take removes the next message.
func (c *Conn) take() (Message, bool) {
	if len(c.waiting) == 0 {
		return c.incoming.next()
	}
	m := c.waiting[0]
	c.waiting = c.waiting[1:]
	return m, true
}

// changes are those that wait.
func (c *Conn) changes() (changes []rohrpost.Change) {
	for _, m := range c.waiting {
		if change, ok := m.change(); ok {
			changes = append(changes, change)
		}
	}
	return changes
}

// Message is one as it came.
type Message struct {
	ID    json.RawMessage `json:"id,omitempty"`
	Type  string          `json:"type,omitempty"`
	Data  json.RawMessage `json:"data,omitempty"`
	Group string          `json:"group,omitempty"` // of a message of Hub.Send

	// Error is the text of the error of a reply, or its content as JSON.
	Error string `json:"error,omitempty"`

	// ErrorCode is the code of the error of a reply, such as "access_denied".
	ErrorCode string `json:"error_code,omitempty"`
}

// UnmarshalJSON implements json.Unmarshaler.
func (m *Message) UnmarshalJSON(text []byte) error {
	type plain Message
	var received struct {
		plain
		Error     json.RawMessage       `json:"error"`
		ErrorInfo struct{ Code string } `json:"error_info"`
	}
	if err := json.Unmarshal(text, &received); err != nil {
		return err
	}
	*m = Message(received.plain)
	m.ErrorCode = received.ErrorInfo.Code
	if json.Unmarshal(received.Error, &m.Error) != nil {
		m.Error = string(received.Error)
	}
	return nil
}

// Bind decodes the data of the message.
func (m Message) Bind(into any) error { return json.Unmarshal(m.Data, into) }

// String returns the message as JSON.
func (m Message) String() string {
	text, err := json.Marshal(m)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// change returns the change that the message is, as it was published: without the
// updated fields that were set in its object on the way.
func (m Message) change() (rohrpost.Change, bool) {
	var data struct {
		Group, Type   string
		Object        json.RawMessage
		UpdatedFields json.RawMessage `json:"updated_fields"`
	}
	if m.Type != "subscription-update" || m.Bind(&data) != nil {
		return rohrpost.Change{}, false
	}
	change := rohrpost.Change{Group: data.Group, Type: data.Type, Object: data.Object}
	if data.UpdatedFields == nil {
		return change, true
	}
	if json.Unmarshal(data.UpdatedFields, &change.UpdatedFields) != nil {
		return rohrpost.Change{}, false
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(data.Object, &object) == nil && bytes.Equal(object["updated_fields"], data.UpdatedFields) {
		delete(object, "updated_fields")
		change.Object = object
	}
	return change, true
}
