package rohrpost

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
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
	broker   Broker
	memory   *Memory // the broker, if it is the hub's own
	remote   *remote // the hub's end of any other broker
	tasks    *tasks
	workers  []*worker
	turn     atomic.Uint32 // whose the next connection is
	buffers  buffers
	portable bool // treat all sockets as those that cannot be asked not to wait; for tests
	counters counters

	setup    sync.RWMutex // guards what Handle and Allow define
	handlers map[string]HandlerFunc
	rules    rules[allowFunc]
	states   rules[stateFunc]

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
		handlers: make(map[string]HandlerFunc),
		conns:    make(map[*Conn]struct{}),
		drained:  make(chan struct{}),
	}
	h.groups = newGroups(h.catchUp)
	h.tasks = newTasks()
	h.useBroker()
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
	err := h.count(group)
	if err == nil && h.present(group) {
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
	err := h.count(group)
	if err == nil && h.present(group) {
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
	batch := make([]BrokerMessage, 0, len(changes))
	for i := range changes {
		var err error
		if batch, err = h.post(batch, &changes[i]); err != nil {
			errs = append(errs, fmt.Errorf("publish: %w", err))
		}
	}
	if err := h.carry(batch); err != nil {
		errs = append(errs, fmt.Errorf("publish: %w", err))
	}
	return errors.Join(errs...)
}

// post appends what a change is to the groups that it is for.
func (h *Hub) post(batch []BrokerMessage, ch *Change) ([]BrokerMessage, error) {
	if err := ch.check(); err != nil {
		return batch, err
	}
	if ch.hasPattern() {
		return h.postAll(batch, ch)
	}
	if err := h.count(ch.Group); err != nil || !h.listens(ch.Group) {
		return batch, err
	}
	if ch.Object == (notMade{}) {
		*ch = newResync(ch.Group, "late")
	}
	payload, err := ch.encode()
	if err != nil {
		return batch, err
	}
	if err = h.fits(payload); err != nil { // it is too large: the group has to load it
		payload = resyncPayload(ch.Group, "size")
	}
	return append(batch, BrokerMessage{Stream: ch.Group, Payload: payload}), err
}

// postAll posts a change to all groups that match its pattern and are listened to.
func (h *Hub) postAll(batch []BrokerMessage, ch *Change) ([]BrokerMessage, error) {
	p, err := parsePattern(ch.Group)
	if err != nil {
		return batch, err
	}
	if h.remote != nil {
		return append(batch, h.remote.tellAll(ch)), nil
	}
	var errs []error
	for _, group := range h.matching(p) {
		one := *ch
		one.Group = group
		batch, err = h.post(batch, &one)
		errs = append(errs, err)
	}
	return batch, errors.Join(errs...)
}

// count counts a message to the group. It fails if there can be none.
func (h *Hub) count(group string) error {
	if !validGroup(group) {
		return fmt.Errorf("malformed group name %.250q", group)
	}
	if h.closed.Load() {
		return ErrClosed
	}
	h.counters.published.Add(1)
	return nil
}

// present reports whether somebody gets what is sent to the group: for nobody it
// need not be encoded.
func (h *Hub) present(group string) bool { return h.remote != nil || h.groups.has(group) }

// listens reports whether somebody gets a change in the group, now or later.
func (h *Hub) listens(group string) bool { return h.present(group) || h.memory.has(group) }

// matching returns the groups that are listened to and match, sorted.
func (h *Hub) matching(p pattern) []string {
	names := h.groups.names(func(gr *group) bool {
		_, ok := p.match(gr.name)
		return ok
	})
	if h.memory != nil {
		names = append(names, h.memory.matching(p)...)
		slices.Sort(names)
		names = slices.Compact(names)
	}
	return names
}

// frame frames a message once for all who get it.
func (h *Hub) frame(payload []byte) (frame, error) {
	if err := h.fits(payload); err != nil {
		return nil, err
	}
	return textFrame(payload), nil
}

// fits reports whether a message, with an offset and framed, fits into a send
// queue.
func (h *Hub) fits(payload []byte) error {
	if over(len(payload)+maxHeader, h.config.SendQueueBytes) {
		return fmt.Errorf("a message of %d bytes fits into no send queue", len(payload))
	}
	return nil
}

// send hands one plain message to the broker.
func (h *Hub) send(group string, payload []byte) error {
	if err := h.fits(payload); err != nil {
		return err
	}
	return h.carry([]BrokerMessage{{Stream: group, Payload: payload, Plain: true}})
}

// nextWorker returns the worker for a new connection.
func (h *Hub) nextWorker() *worker { return h.workers[int(h.turn.Add(1))%len(h.workers)] }
