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
	"github.com/rohrpost/rohrpost/internal/sockio"
	"github.com/rohrpost/rohrpost/internal/tasks"
	"github.com/rohrpost/rohrpost/internal/wire"
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
	tasks    *tasks.Group
	workers  []*worker
	turn     atomic.Uint32 // whose the next connection is
	buffers  sockio.Buffers
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
	h.tasks = tasks.New()
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
	if (*wire.Message)(&m).Empty() {
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
	m := bytes.TrimSpace(message)
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
	p := publication{hub: h, batch: make([]BrokerMessage, 0, len(changes))}
	for i := range changes {
		p.add((*wire.Change)(&changes[i]))
	}
	return p.publish()
}

// publishCaptured is Publish for what the plugin has captured.
func (h *Hub) publishCaptured(changes []wire.Change) error {
	p := publication{hub: h, batch: make([]BrokerMessage, 0, len(changes))}
	for i := range changes {
		p.add(&changes[i])
	}
	return p.publish()
}

// publication encodes the changes of one Publish.
type publication struct {
	hub   *Hub
	batch []BrokerMessage
	errs  []error
}

// publish hands the messages to the broker together.
func (p *publication) publish() error {
	if err := p.hub.carry(p.batch); err != nil {
		p.errs = append(p.errs, err)
	}
	if p.errs == nil {
		return nil
	}
	return fmt.Errorf("publish: %w", errors.Join(p.errs...))
}

// add encodes a change if its group has members or a history.
func (p *publication) add(ch *wire.Change) {
	if err := p.tryAdd(ch); err != nil {
		p.errs = append(p.errs, err)
	}
}

func (p *publication) tryAdd(ch *wire.Change) error {
	if err := ch.Check(); err != nil {
		return err
	}
	if ch.HasPattern() {
		return p.addAll(ch)
	}
	if err := p.hub.count(ch.Group); err != nil || !p.hub.listens(ch.Group) {
		return err
	}
	if ch.Object == (wire.Unrendered{}) {
		*ch = wire.NewResync(ch.Group, "late")
	}
	payload, err := ch.Encode()
	if err != nil {
		return err
	}
	if err = p.hub.fits(wire.FramedBytes(payload)); err != nil { // the group has to load it
		payload = wire.ResyncPayload(ch.Group, "size")
	}
	p.batch = append(p.batch, BrokerMessage{Stream: ch.Group, Payload: payload})
	return err
}

// addAll adds a change for all groups that match its pattern.
func (p *publication) addAll(ch *wire.Change) error {
	pattern, err := wire.ParsePattern(ch.Group)
	if err != nil {
		return err
	}
	if p.hub.remote != nil {
		p.batch = append(p.batch, p.hub.remote.tellAll(ch))
		return nil
	}
	for _, group := range p.hub.matching(pattern) {
		one := *ch
		one.Group = group
		p.add(&one)
	}
	return nil
}

// count counts a message to the group. It fails if there can be none.
func (h *Hub) count(group string) error {
	if !wire.ValidGroup(group) {
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
func (h *Hub) matching(p wire.Pattern) []string {
	names := h.groups.names(func(gr *group) bool {
		_, ok := p.Match(gr.name)
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
func (h *Hub) frame(payload []byte) (wire.Frame, error) {
	if err := h.fits(wire.FramedBytes(payload)); err != nil {
		return nil, err
	}
	return wire.TextFrame(payload), nil
}

// fits reports whether a message, with an offset and framed, fits into a send
// queue.
func (h *Hub) fits(size int) error {
	if over(size, h.config.SendQueueBytes) {
		return fmt.Errorf("a message of %d bytes fits into no send queue", size)
	}
	return nil
}

// send hands one plain message to the broker.
func (h *Hub) send(group string, payload []byte) error {
	if err := h.fits(wire.FramedBytes(payload)); err != nil {
		return err
	}
	return h.carry([]BrokerMessage{{Stream: group, Payload: payload, Plain: true}})
}

// nextWorker returns the worker for a new connection.
func (h *Hub) nextWorker() *worker { return h.workers[int(h.turn.Add(1))%len(h.workers)] }
