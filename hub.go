package rohrpost

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"github.com/gorilla/websocket"
)

// Hub knows all connections and all groups of a program, and is the
// http.Handler that opens the connections. All its methods may be called
// concurrently. Make one with NewHub.
type Hub struct {
	config   Config
	log      *slog.Logger
	upgrader websocket.Upgrader
	groups   *groups
	workers  []*worker
	turn     atomic.Uint32 // whose the next connection is
	buffers  buffers
	portable bool // treat all sockets as those that cannot be asked not to wait; for tests
	counters counters

	setup    sync.RWMutex // guards what Handle and Allow define
	handlers map[string]HandlerFunc
	rules    []rule

	mu      sync.Mutex // guards what follows
	conns   map[*Conn]struct{}
	open    int           // connections, and those being opened or taken down
	closed  atomic.Bool   // changes under mu, once
	drained chan struct{} // closed when closed and none is open
}

// NewHub returns a hub. It starts nothing: a hub without connections costs
// nothing and needs no Shutdown. It panics if c.Origins has a malformed origin.
func NewHub(c Config) *Hub {
	c = c.withDefaults()
	h := &Hub{
		config:   c,
		log:      c.Logger,
		upgrader: newUpgrader(),
		groups:   newGroups(),
		handlers: make(map[string]HandlerFunc),
		conns:    make(map[*Conn]struct{}),
		drained:  make(chan struct{}),
	}
	for range runtime.GOMAXPROCS(0) {
		h.workers = append(h.workers, &worker{hub: h})
	}
	h.handleBuiltIns()
	return h
}

// Send sends a plain message to all members of a group, in order with what else
// is sent to it. It waits for nobody. For a group without members the message
// is not even encoded. After Shutdown it returns ErrClosed.
func (h *Hub) Send(group string, m Message) error {
	if m.empty() {
		return fmt.Errorf("send to group: %w", errEmptyMessage)
	}
	heard, err := h.heard(group)
	if heard {
		var payload []byte
		if payload, err = m.encode(); err == nil {
			err = h.send(group, payload)
		}
	}
	if err != nil {
		return fmt.Errorf("send to group: %w", err)
	}
	return nil
}

// SendRaw is Send for a message that is a JSON object already. It is sent byte
// for byte.
func (h *Hub) SendRaw(group string, message []byte) error {
	m := trimSpace(message)
	if len(m) == 0 || m[0] != '{' || !json.Valid(m) || !utf8.Valid(m) {
		return errors.New("send raw to group: not a JSON object")
	}
	heard, err := h.heard(group)
	if heard {
		err = h.send(group, bytes.Clone(m)) // the caller may use his bytes again
	}
	if err != nil {
		return fmt.Errorf("send raw to group: %w", err)
	}
	return nil
}

// Publish tells the members of the groups what has changed, in the order given
// and with nothing of another Publish in between. It waits for nobody, and does
// not look at ctx: what has happened is told also when who did it has given up.
// Changes that together would fill the send queue of a connection reach it as
// one Resync for each group instead. An error of one change does not stop the
// others. After Shutdown it returns ErrClosed.
func (h *Hub) Publish(_ context.Context, changes ...Change) error {
	var errs []error
	var one [1]post // most commits change one row
	posts := one[:0]
	for i := range changes {
		var err error
		if posts, err = h.post(posts, &changes[i]); err != nil {
			errs = append(errs, fmt.Errorf("publish: %w", err))
		}
	}
	h.deliver(posts)
	return errors.Join(errs...)
}

// post appends what a change is to the groups that it is for.
func (h *Hub) post(posts []post, ch *Change) ([]post, error) {
	if err := ch.check(); err != nil {
		return posts, err
	}
	if ch.hasPattern() {
		return h.postAll(posts, ch)
	}
	if heard, err := h.heard(ch.Group); !heard {
		return posts, err
	}
	if ch.Object == (notMade{}) {
		*ch = newResync(ch.Group, "late")
	}
	payload, err := ch.encode()
	if err != nil {
		return posts, err
	}
	f, err := h.frame(payload)
	if err != nil { // it is too large: the group has to load it
		f = resyncFrame(ch.Group, "size")
	}
	return append(posts, post{group: ch.Group, frame: f}), err
}

// postAll posts a change to all groups with members that match its pattern.
func (h *Hub) postAll(posts []post, ch *Change) ([]post, error) {
	p, err := parsePattern(ch.Group)
	if err != nil {
		return posts, err
	}
	var errs []error
	for _, group := range h.groups.matching(p) {
		one := *ch
		one.Group = group
		posts, err = h.post(posts, &one)
		errs = append(errs, err)
	}
	return posts, errors.Join(errs...)
}

// heard counts a message to the group and reports whether anybody is to have
// it: for nobody it need not be encoded.
func (h *Hub) heard(group string) (bool, error) {
	if !validGroup(group) {
		return false, fmt.Errorf("malformed group name %.250q", group)
	}
	if h.closed.Load() {
		return false, ErrClosed
	}
	h.counters.published.Add(1)
	return h.groups.has(group), nil
}

// frame frames a message once for all who get it.
func (h *Hub) frame(payload []byte) (frame, error) {
	if over(len(payload)+maxHeader, h.config.SendQueueBytes) {
		return nil, fmt.Errorf("a message of %d bytes fits into no send queue", len(payload))
	}
	return textFrame(payload), nil
}

// deliver hands frames to all members of their groups. It is the only way to
// one.
func (h *Hub) deliver(posts []post) {
	if len(posts) == 0 {
		return
	}
	budget := h.config.SendQueueBytes
	if budget > 0 {
		budget /= 2
	}
	h.groups.publish(posts, budget)
}

// send delivers one message that is encoded already.
func (h *Hub) send(group string, payload []byte) error {
	f, err := h.frame(payload)
	if err == nil {
		h.deliver([]post{{group: group, frame: f}})
	}
	return err
}

// nextWorker returns the worker for a new connection.
func (h *Hub) nextWorker() *worker { return h.workers[int(h.turn.Add(1))%len(h.workers)] }
