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
	"github.com/rohrpost/rohrpost/internal/mempipe"
)

// timeout limits the wait for an expected message. No assertion waits to see that a
// message does not arrive.
const timeout = 5 * time.Second

// Conn is an in-memory connection to a hub. It reads all messages immediately, so that
// the hub never waits for it. Except for ExpectNothing, a method that fails ends the
// test. Only the goroutine of the test may call its methods.
type Conn struct {
	t        testing.TB
	ws       *websocket.Conn
	incoming mailbox
	unread   []Message // read by Call before the reply
	lastID   int
}

// Dial opens a connection with the given identity and skips Config.Authenticate.
// Without an identity Config.Authenticate decides about a request without cookies and
// credentials. The connection closes at the end of the test.
func Dial(t testing.TB, hub *rohrpost.Hub, as ...rohrpost.Identity) *Conn {
	t.Helper()
	serve := hub.ServeHTTP
	if len(as) > 0 {
		serve = func(w http.ResponseWriter, r *http.Request) { hub.ServeHTTPAs(w, r, as[0]) }
	}
	ws, rejection, err := mempipe.Dial(serve)
	if err != nil {
		if rejection != nil {
			text, _ := io.ReadAll(rejection.Body)
			t.Fatalf("dial: the hub rejected the connection: %s: %s", rejection.Status, text)
		}
		t.Fatalf("dial: %v", err)
	}
	c := &Conn{t: t, ws: ws, incoming: newMailbox()}
	go c.incoming.readAll(ws)
	t.Cleanup(c.Close)
	return c
}

// Subscribe subscribes to groups, with one request each.
func (c *Conn) Subscribe(groups ...string) {
	c.t.Helper()
	c.requestEach("subscribe", groups)
}

// Unsubscribe unsubscribes from groups, with one request each.
func (c *Conn) Unsubscribe(groups ...string) {
	c.t.Helper()
	c.requestEach("unsubscribe", groups)
}

func (c *Conn) requestEach(request string, groups []string) {
	c.t.Helper()
	for _, group := range groups {
		if reply := c.Call(request, map[string]string{"group": group}); reply.Error != "" {
			c.t.Fatalf("%s %s: %s", request, group, reply.Error)
		}
	}
}

// Call sends a request and returns the reply, which may contain an error. Expect and
// the other assertions still see the messages that arrive before the reply.
func (c *Conn) Call(requestType string, data any) Message {
	c.t.Helper()
	c.lastID++
	id := "rohrposttest-" + strconv.Itoa(c.lastID)
	request := map[string]any{"id": id, "type": requestType}
	if data != nil {
		request["data"] = data
	}
	_ = c.ws.SetWriteDeadline(time.Now().Add(timeout)) // never fails
	if err := c.ws.WriteJSON(request); err != nil {
		c.t.Fatalf("call %s: %v%s", requestType, err, c.incoming.closeReason())
	}
	for {
		m, ok := c.incoming.next()
		if !ok {
			c.t.Fatalf("call %s: no reply%s", requestType, c.incoming.closeReason())
		}
		if string(m.ID) == strconv.Quote(id) {
			return m
		}
		c.unread = append(c.unread, m)
	}
}

// Expect removes the next message and returns its change. The message must be a change
// of the type to the group that satisfies all matchers. Expect skips no message, since
// the hub guarantees their order.
func (c *Conn) Expect(group, changeType string, matchers ...Matcher) rohrpost.Change {
	c.t.Helper()
	want := expectation{group: group, changeType: changeType, matchers: matchers}
	m, ok := c.take()
	if !ok {
		c.t.Fatalf("expected: %s\nno message arrived%s", want.describe(), c.incoming.closeReason())
	}
	change, isChange := m.change()
	if !isChange {
		c.t.Fatalf("expected: %s\nthe next message is not a change: %s", want.describe(), m)
	}
	if want.count([]rohrpost.Change{change}) != "" {
		c.t.Fatalf("expected: %s\n%s", want.describe(), want.nearest(append([]rohrpost.Change{change}, c.changes()...)))
	}
	return change
}

// ExpectMessage removes and returns the next message. The message must be of the type,
// as sent by Hub.Send or Conn.Send.
func (c *Conn) ExpectMessage(messageType string) Message {
	c.t.Helper()
	m, ok := c.take()
	if !ok {
		c.t.Fatalf("expected: a message of type %s\nno message arrived%s", messageType, c.incoming.closeReason())
	}
	if m.Type != messageType {
		c.t.Fatalf("expected: a message of type %s\nthe next message is %s", messageType, m)
	}
	return m
}

// ExpectNothing reports an error if there are messages that no Expect method has
// removed, discards them, and returns whether there were none. It does not wait: it
// sends a ping, and all earlier messages arrive before the pong.
func (c *Conn) ExpectNothing() bool {
	c.t.Helper()
	c.Call("ping", nil)
	var lines []string
	for _, m := range c.unread {
		lines = append(lines, m.String())
	}
	c.unread = nil
	if len(lines) > 0 {
		c.t.Errorf("unexpected messages:\n%s", numbered(lines))
	}
	return len(lines) == 0
}

// ExpectClosed waits until the hub closes the connection and checks the close code. It
// discards the messages that arrive before.
func (c *Conn) ExpectClosed(code int) {
	c.t.Helper()
	for ok := true; ok; {
		_, ok = c.incoming.next()
	}
	var closed *websocket.CloseError
	switch err := c.incoming.end(); {
	case err == nil:
		c.t.Fatalf("expected: close code %d\nthe connection is still open", code)
	case !errors.As(err, &closed):
		c.t.Fatalf("expected: close code %d\nthe connection ended without a code: %v", code, err)
	case closed.Code != code:
		c.t.Fatalf("expected: close code %d\nthe close code is %d %s", code, closed.Code, closed.Text)
	}
}

// Close closes the connection with code 1000 and waits until the hub has closed its
// side. Further calls do nothing.
func (c *Conn) Close() {
	text := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	_ = c.ws.WriteControl(websocket.CloseMessage, text, time.Now().Add(timeout)) // the connection may be closed already
	_ = c.ws.NetConn().SetReadDeadline(time.Now().Add(timeout))
	<-c.incoming.closed
	_ = c.ws.NetConn().Close()
}

// take removes and returns the next message.
func (c *Conn) take() (Message, bool) {
	if len(c.unread) == 0 {
		return c.incoming.next()
	}
	m := c.unread[0]
	c.unread = c.unread[1:]
	return m, true
}

// changes returns the changes among the unread messages.
func (c *Conn) changes() (changes []rohrpost.Change) {
	for _, m := range c.unread {
		if change, ok := m.change(); ok {
			changes = append(changes, change)
		}
	}
	return changes
}

// Message is a message from the hub.
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

// Bind decodes the data of the message into a pointer.
func (m Message) Bind(into any) error { return json.Unmarshal(m.Data, into) }

// String returns the message as JSON.
func (m Message) String() string {
	text, err := json.Marshal(m)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// change returns the published change. It removes the updated fields that the hub adds
// to the object.
func (m Message) change() (rohrpost.Change, bool) {
	var data struct {
		Group, Type   string
		Object        json.RawMessage
		Partial       bool
		Origin        string
		UpdatedFields json.RawMessage `json:"updated_fields"`
	}
	if m.Type != "subscription-update" || m.Bind(&data) != nil {
		return rohrpost.Change{}, false
	}
	change := rohrpost.Change{Group: data.Group, Type: data.Type, Object: data.Object, Partial: data.Partial, Origin: data.Origin}
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
