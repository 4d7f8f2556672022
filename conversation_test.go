package rohrpost

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// conversation is one file of testdata/conversations, see the README there.
type conversation struct {
	Name, About       string
	MaxSendQueueBytes int
	Tokens            bool
	Steps             []conversationStep
}

type conversationStep struct {
	On         string
	Send       *string
	SendBinary *string
	SendHex    *string
	Expect     *string
	Close      int
	Reason     string
	Publish    *struct {
		Group, Type   string
		Object        json.RawMessage
		UpdatedFields []string `json:"updated_fields"`
		Partial       bool
		Origin        string
		View          string
	}
	SendToGroup *struct {
		Group   string
		Raw     string
		Message struct {
			Type string
			Data json.RawMessage
		}
	}
}

func TestConversations(t *testing.T) {
	for _, c := range loadConversations(t) {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			_, err := playConversation(t, c)
			require.NoError(t, err)
		})
	}
}

// TestConversationsNoticeOneByte changes every byte of every expected frame,
// one at a time: the comparison must notice each. A whole conversation is then
// played with one of them.
func TestConversationsNoticeOneByte(t *testing.T) {
	for _, c := range loadConversations(t) {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			got, err := playConversation(t, c)
			require.NoError(t, err)
			for i, step := range c.Steps {
				if step.Expect == nil {
					continue
				}
				for at := range len(*step.Expect) {
					wrong := []byte(*step.Expect)
					wrong[at] ^= 1
					assert.Error(t, compareFrame(string(wrong), got[i]), "%s", wrong)
				}
			}
		})
	}
	ping := "{\"id\":1,\"type\":\"ping\"}"
	wrong := "{\"id\":2,\"type\":\"pong\"}"
	_, err := playConversation(t, conversation{Steps: []conversationStep{{Send: &ping}, {Expect: &wrong}}})
	assert.ErrorContains(t, err, "step 2")
}

var updatePage = flag.Bool("update", false, "write the conversations into doc/PROTOCOL.md")

// TestProtocolPage shows that doc/PROTOCOL.md has every conversation, as it is.
func TestProtocolPage(t *testing.T) {
	page, err := os.ReadFile("doc/PROTOCOL.md")
	require.NoError(t, err)
	all := map[string]conversation{}
	for _, c := range loadConversations(t) {
		all[c.Name] = c
	}
	shown := 0
	updated := regexp.MustCompile("(?s)```conversation ([a-z0-9-]+)\n(.*?)```").ReplaceAllStringFunc(string(page), func(block string) string {
		name, _, _ := strings.Cut(strings.TrimPrefix(block, "```conversation "), "\n")
		shown++
		return "```conversation " + name + "\n" + all[name].render() + "```"
	})
	assert.Len(t, all, shown, "the page has each conversation once, and no others")
	if *updatePage {
		require.NoError(t, os.WriteFile("doc/PROTOCOL.md", []byte(updated), 0o600))
	}
	assert.True(t, updated == string(page) || *updatePage, "the page shows them as they are: go test -run TestProtocolPage -update .")
}

func loadConversations(t *testing.T) []conversation {
	t.Helper()
	files, err := filepath.Glob("testdata/conversations/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	var all []conversation
	for _, f := range files {
		raw, err := os.ReadFile(f)
		require.NoError(t, err)
		var c conversation
		d := json.NewDecoder(strings.NewReader(string(raw)))
		d.DisallowUnknownFields()
		require.NoError(t, d.Decode(&c), f)
		require.Equal(t, c.Name+".json", filepath.Base(f))
		all = append(all, c)
	}
	return all
}

// playConversation returns the frame that came at each step, or the first
// difference.
func playConversation(t *testing.T, c conversation) (map[int]string, error) {
	t.Helper()
	hub := conversationHub(c)
	url := serve(t, hub)
	conns := map[string]*websocket.Conn{}
	got := map[int]string{}
	epoch := ""
	for i, step := range c.Steps {
		on := step.On
		if on == "" {
			on = "a"
		}
		if conns[on] == nil {
			conns[on] = dial(t, url)
		}
		if step.Send != nil {
			text := strings.ReplaceAll(*step.Send, "{{epoch}}", epoch)
			step.Send = &text
		}
		var err error
		if got[i], err = step.play(hub, conns[on]); err != nil {
			return got, fmt.Errorf("step %d: %w", i+1, err)
		}
		if m := epochInFrame.FindStringSubmatch(got[i]); m != nil {
			epoch = m[1]
		}
	}
	if last := c.Steps[len(c.Steps)-1]; last.Close != 0 {
		return got, nil
	}
	down := make(chan error, 1)
	go func() { down <- hub.Shutdown(t.Context()) }()
	defer func() { assert.NoError(t, <-down) }()
	for on, ws := range conns {
		if _, data, err := ws.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseGoingAway) {
			return got, fmt.Errorf("unread on %s: %s, %w", on, data, err)
		}
	}
	return got, nil
}

func (s conversationStep) play(hub *Hub, ws *websocket.Conn) (string, error) {
	switch {
	case s.Send != nil:
		return "", ws.WriteMessage(websocket.TextMessage, []byte(*s.Send))
	case s.SendBinary != nil:
		return "", ws.WriteMessage(websocket.BinaryMessage, []byte(*s.SendBinary))
	case s.SendHex != nil:
		raw, err := hex.DecodeString(*s.SendHex)
		return "", errors.Join(err, ws.WriteMessage(websocket.TextMessage, raw))
	case s.Publish != nil:
		p := s.Publish
		ch := Change{Group: p.Group, Type: p.Type, UpdatedFields: p.UpdatedFields, Partial: p.Partial, Origin: p.Origin, View: p.View}
		if p.Object != nil {
			ch.Object = compactJSON(p.Object)
		}
		return "", hub.Publish(context.Background(), ch)
	case s.SendToGroup != nil && s.SendToGroup.Raw != "":
		return "", hub.SendRaw(s.SendToGroup.Group, []byte(s.SendToGroup.Raw))
	case s.SendToGroup != nil:
		m := s.SendToGroup.Message
		var data any
		err := json.Unmarshal(m.Data, &data)
		return "", errors.Join(err, hub.Send(s.SendToGroup.Group, Message{Type: m.Type, Data: data}))
	}
	_ = ws.SetReadDeadline(time.Now().Add(10 * time.Second))
	kind, data, err := ws.ReadMessage()
	if s.Expect != nil {
		if err == nil && kind != websocket.TextMessage {
			err = errors.New("not a text frame")
		}
		return string(data), errors.Join(err, compareFrame(*s.Expect, string(data)))
	}
	var ce *websocket.CloseError
	if !errors.As(err, &ce) || ce.Code != s.Close || ce.Text != s.Reason {
		return "", fmt.Errorf("want close %d %q, got %s, %w", s.Close, s.Reason, data, err)
	}
	return "", nil
}

var epochInFrame = regexp.MustCompile(`"epoch":"([A-Z2-7]{20}(?:~[A-Z2-7]{8})?)"`)

// compareFrame reports how got differs from want, byte for byte.
func compareFrame(want, got string) error {
	re := strings.ReplaceAll(regexp.QuoteMeta(want), `\{\{id\}\}`, `([0-9]{16})`)
	re = strings.ReplaceAll(re, `\{\{epoch\}\}`, `[A-Z2-7]{20}(?:~[A-Z2-7]{8})?`)
	re = strings.ReplaceAll(re, `\{\{connection\}\}`, `[A-Z2-7]{26}`)
	m := regexp.MustCompile("^" + re + "$").FindStringSubmatch(got)
	if m == nil {
		return fmt.Errorf("want %s\n got %s", want, got)
	}
	for _, id := range m[1:] {
		if id < "4503599627370496" || id >= "9007199254740992" {
			return fmt.Errorf("id %s is not between 2^52 and 2^53", id)
		}
	}
	return nil
}

func compactJSON(raw json.RawMessage) json.RawMessage {
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		panic(err)
	}
	out, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return out
}

// render returns the conversation as doc/PROTOCOL.md shows it.
func (c conversation) render() string {
	var b strings.Builder
	several := false
	for _, s := range c.Steps {
		several = several || s.On != ""
	}
	for _, s := range c.Steps {
		who := ""
		if several && s.Publish == nil && s.SendToGroup == nil {
			who = s.On + " "
		}
		switch {
		case s.Send != nil:
			fmt.Fprintln(&b, strings.TrimRight(who+"-> "+visible(*s.Send), " "))
		case s.SendBinary != nil:
			fmt.Fprintf(&b, "%s-> binary: %s\n", who, *s.SendBinary)
		case s.SendHex != nil:
			fmt.Fprintf(&b, "%s-> bytes: %s\n", who, *s.SendHex)
		case s.Expect != nil:
			fmt.Fprintf(&b, "%s<- %s\n", who, *s.Expect)
		case s.Publish != nil:
			fields, _ := json.Marshal(s.Publish.UpdatedFields)
			fmt.Fprintf(&b, "# published in %s: %s, object %s, updated fields %s", s.Publish.Group, s.Publish.Type, orNull(s.Publish.Object), fields)
			if s.Publish.Partial {
				b.WriteString(", partial")
			}
			if s.Publish.Origin != "" {
				fmt.Fprintf(&b, ", origin %s", s.Publish.Origin)
			}
			if s.Publish.View != "" {
				fmt.Fprintf(&b, ", view %s", s.Publish.View)
			}
			fmt.Fprintln(&b)
		case s.SendToGroup != nil && s.SendToGroup.Raw != "":
			fmt.Fprintf(&b, "# sent raw to %s: %s\n", s.SendToGroup.Group, s.SendToGroup.Raw)
		case s.SendToGroup != nil:
			fmt.Fprintf(&b, "# sent to %s: type %s, data %s\n", s.SendToGroup.Group, s.SendToGroup.Message.Type, s.SendToGroup.Message.Data)
		default:
			fmt.Fprintf(&b, "%s<- closed with %d, %q\n", who, s.Close, s.Reason)
		}
	}
	return b.String()
}

// visible shows the one invisible thing in a conversation, a byte order mark.
func visible(s string) string { return strings.ReplaceAll(s, "\ufeff", "<BOM>") }

func orNull(raw json.RawMessage) string {
	if raw == nil {
		return "null"
	}
	return string(compactJSON(raw))
}

func TestConversationHubIsDocumented(t *testing.T) {
	readme, err := os.ReadFile("testdata/conversations/README.md")
	require.NoError(t, err)
	for name := range conversationHub(conversation{}).handlers {
		if name != "ping" && name != "subscribe" && name != "unsubscribe" && !isReserved(name) {
			assert.Contains(t, string(readme), "`"+name+"`")
		}
	}
}
