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
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/access"
	"github.com/rohrpost/rohrpost/internal/budget"
	"github.com/rohrpost/rohrpost/internal/fanout"
	"github.com/rohrpost/rohrpost/internal/history"
	"github.com/rohrpost/rohrpost/internal/logs"
	"github.com/rohrpost/rohrpost/internal/places"
	"github.com/rohrpost/rohrpost/internal/registry"
	"github.com/rohrpost/rohrpost/internal/snapshots"
	"github.com/rohrpost/rohrpost/internal/sockio"
	"github.com/rohrpost/rohrpost/internal/tasks"
	"github.com/rohrpost/rohrpost/internal/upstream"
	"github.com/rohrpost/rohrpost/internal/wire"
)

// Hub connects clients to the groups of a program. It is the http.Handler that opens
// the connections. All its methods may be called concurrently. Make one with NewHub.
type Hub struct {
	config     Config
	log        *slog.Logger
	upgrader   websocket.Upgrader
	upstream   upstream.Upstream
	engine     *fanout.Engine
	tasks      *tasks.Group
	conns      registry.Registry[*Conn]
	places     *places.Connections
	handshakes *places.Shares // that are under way
	functions  *places.Shares // of the program that run
	buffers    sockio.Buffers
	readers    *budget.Slots // of readers that do not wait
	decoders   *budget.Slots // of dispatchers, outside of what may wait
	rates      budget.InboundRates
	pressure   *budget.Pressure // of all queues
	relieving  atomic.Bool
	portable   bool // treat all sockets as those that may wait; for tests
	counters   counters

	calls     *snapshots.Calls
	ledger    *access.Ledger
	enforcer  *access.Enforcer[*subject]
	began     time.Time
	throttles throttles
	stale     atomic.Bool // the broker does not answer

	setup      sync.RWMutex // guards what Handle, Use, Allow, Snapshot and SnapshotFor define
	handlers   map[string]registered
	middleware []func(HandlerFunc) HandlerFunc
	rules      wire.Rules[*rule]
	hasViews   atomic.Bool // some of the rules have views
	snapshots  wire.Rules[snapshotFuncs]
}

// flushTimeout is the time that Shutdown gives a broker to take what waits.
const flushTimeout = 5 * time.Second

// tellTimeout is the time in which a broker must take what a hub tells the others.
const tellTimeout = 10 * time.Second

// throttles are those of log lines that any client can cause.
type throttles struct {
	origin, unauthorized, full, hijacker throttle
	host, address, user, handshake       throttle
	busy, large, whole, outrun           throttle
}

// NewHub returns a hub. It starts nothing: a hub without connections costs nothing and
// needs no Shutdown. It panics if an origin of c.Origins is malformed, or if c.Broker
// is set together with c.History or c.DisableHistory.
func NewHub(c Config) *Hub { return newHub(c, (*Hub).newUpstream) }

func newHub(c Config, newUpstream func(*Hub, upstream.Receiver) upstream.Upstream) *Hub {
	c = c.withDefaults()
	h := &Hub{
		config:   c,
		log:      logs.New(c.Logger),
		upgrader: newUpgrader(),
		tasks:    tasks.New(),
		handlers: make(map[string]registered),
		ledger:   access.New(),
		began:    time.Now(),
	}
	h.readers, h.decoders = budget.NewSlots(runtime.GOMAXPROCS(0)), budget.NewSlots(runtime.GOMAXPROCS(0))
	h.rates = budget.InboundRates{
		Bytes: budget.Rate(c.Limits.InboundBytes), Messages: budget.Rate(c.Limits.Messages), Controls: budget.Rate(c.Limits.ControlFrames),
	}
	h.conns.Init()
	h.pressure = budget.NewPressure(c.Limits.MaxQueuedBytes, func() { h.tasks.Go(func(context.Context) { h.relieve() }) })
	h.places = places.NewConnections(c.Limits.MaxConnections, c.Limits.MaxUserConnections)
	h.handshakes = places.NewShares(c.Limits.MaxHandshakes, 8*c.Limits.MaxHandshakes)
	h.functions = places.NewShares(c.Limits.MaxFunctions, -1)
	h.calls = snapshots.New(snapshots.Config{Go: h.tasks.Go, Max: c.Limits.MaxSnapshots, Timeout: c.Limits.RequestTimeout})
	h.enforcer = access.NewEnforcer(h.ledger, c.RecheckInterval, h.subjects, h.tellLost)
	r := &receiver{log: c.Logger, enforcer: h.enforcer, limits: c.Limits, setStale: h.setStale}
	h.upstream = newUpstream(h, r)
	h.engine = fanout.New(fanout.Config{
		Logger:            h.log,
		Upstream:          h.upstream,
		Go:                h.tasks.Go,
		Workers:           runtime.GOMAXPROCS(0),
		Frame:             h.frameFunc(),
		Shared:            h.upstream.Shared(),
		MaxGroups:         c.Limits.MaxGroups,
		Queued:            h.pressure.Add,
		MaxSendQueueBytes: c.Limits.MaxSendQueueBytes,
		MaxSendQueueAge:   c.Limits.MaxSendQueueAge,
		WriteTimeout:      c.Limits.WriteTimeout,
		OpenTimeout:       c.Limits.AuthorizeTimeout,
	})
	r.engine, r.upstream = h.engine, h.upstream
	h.handleBuiltIns()
	h.log.Info("rohrpost: a new hub", "broker", h.brokerName())
	return h
}

// brokerName names what connects the hub to those of other processes.
func (h *Hub) brokerName() string {
	if h.config.Broker == nil {
		return "none: one process"
	}
	return fmt.Sprintf("%T", h.config.Broker)
}

// tellLost lets other hubs recheck what a user has lost.
func (h *Hub) tellLost(user, group string) {
	if h.upstream.Shared() {
		h.tasks.Go(func(ctx context.Context) {
			ctx, cancel := context.WithTimeout(ctx, tellTimeout)
			defer cancel()
			_ = h.upstream.Order(ctx, upstream.Order{Kind: upstream.OrderRecheck, User: user, Pattern: wire.GroupOf(group)}) // or they find it by themselves
		})
	}
}

// newUpstream chooses between the broker of the configuration and a history in memory.
func (h *Hub) newUpstream(r upstream.Receiver) upstream.Upstream {
	if h.config.Broker == nil {
		return upstream.NewLocal(history.New(history.Config{
			Limits:   history.Limits(h.config.History),
			Disabled: h.config.DisableHistory,
			Frame: func(group string, payload []byte, offset uint64) []byte {
				return wire.ChangeFrame(h.addSpread(group, payload), offset-1, offset)
			},
		}), r)
	}
	return upstream.New(upstream.Config{
		Broker:   h.config.Broker,
		Receiver: r,
		Logger:   h.log,
		Tasks:    h.tasks,
		Key:      h.config.BrokerKey,
		Frame:    func(payload []byte) []byte { return wire.TextFrame(payload) },
		Skipped:  &h.counters.skipped,
		Foreign:  &h.counters.foreign,
		Lost:     &h.counters.lost,
		AnyGroup: wire.AnyGroup,
		Overflow: wire.ResyncObject(wire.ReasonOverflow),
		Unread:   wire.ResyncObject(wire.ReasonBroker),
	})
}

// frameFunc returns what frames the messages of a broker. The history of a hub alone
// keeps frames.
func (h *Hub) frameFunc() func(payload []byte, prev, offset uint64, members int) wire.Frame {
	if h.config.Broker == nil {
		return nil
	}
	return func(payload []byte, prev, offset uint64, members int) wire.Frame {
		return wire.ChangeFrame(wire.AddSpread(payload, members), prev, offset)
	}
}

// addSpread tells the members of a group how long to spread the reloads that a resync
// causes. It returns other messages as they are.
func (h *Hub) addSpread(group string, payload []byte) []byte {
	if !wire.IsResync(payload) {
		return payload
	}
	return wire.AddSpread(payload, h.engine.Members(group))
}

// Send sends a plain message to all members of a group. The message ends with the key
// "group". Send does not wait. A message for a group without members is not even encoded.
// A client gets the message once or, if it is disconnected, not at all; Publish is for
// messages that must arrive. Without a broker, the message keeps its order with the other
// messages of the group; with one it does not, and Send returns an error if the broker is
// no broker.Signaler, or takes no message of that size. After Shutdown Send returns ErrClosed.
func (h *Hub) Send(group string, m Message) error {
	if err := h.send(group, m, ""); err != nil {
		return fmt.Errorf("rohrpost: send to a group: %w", err)
	}
	return nil
}

func (h *Hub) send(group string, m Message, origin string) error {
	if (*wire.Message)(&m).Empty() {
		return errEmptyMessage
	}
	if err := h.checkGroup(group); err != nil || !h.hasMembers(group) {
		return err
	}
	payload, err := m.encode(group, origin)
	if err != nil {
		return err
	}
	return h.publishPlain(group, payload)
}

// SendRaw is Send for a message that is a JSON object already. The hub sends it byte
// for byte.
func (h *Hub) SendRaw(group string, message []byte) error {
	m := bytes.TrimSpace(message)
	if len(m) == 0 || m[0] != '{' || !json.Valid(m) || !utf8.Valid(m) {
		return errors.New("rohrpost: send raw to a group: the message is not a JSON object")
	}
	err := h.checkGroup(group)
	if err == nil && h.hasMembers(group) {
		err = h.publishPlain(group, bytes.Clone(m)) // the caller may use the bytes again
	}
	if err != nil {
		return fmt.Errorf("rohrpost: send raw to a group: %w", err)
	}
	return nil
}

func (h *Hub) publishPlain(group string, payload []byte) error {
	if err := h.config.Limits.checkFrame(wire.FramedBytes(payload)); err != nil {
		return err
	}
	if h.viewsOf(group) == nil {
		return h.upstream.Signal(broker.Message{Stream: group, Payload: payload})
	}
	var errs []error
	for _, stream := range h.streamsOf(group) {
		errs = append(errs, h.upstream.Signal(broker.Message{Stream: stream, Payload: payload}))
	}
	return errors.Join(errs...)
}

// checkGroup counts a message to a group. It fails for a malformed name, and after
// Shutdown.
func (h *Hub) checkGroup(group string) error {
	if !wire.ValidGroup(group) {
		return fmt.Errorf("malformed group name %.250q", group)
	}
	return h.countPublished()
}

// countPublished counts a message to a group. It fails after Shutdown.
func (h *Hub) countPublished() error {
	if h.conns.IsClosed() {
		return ErrClosed
	}
	h.counters.published.Add(1)
	return nil
}

// hasMembers reports whether the group may have members, at this hub or another. A
// message to a group without any need not be encoded.
func (h *Hub) hasMembers(group string) bool {
	if h.viewsOf(group) == nil {
		return h.streamHasMembers(group)
	}
	return slices.ContainsFunc(h.streamsOf(group), h.streamHasMembers)
}

func (h *Hub) streamHasMembers(stream string) bool {
	return h.upstream.Shared() || h.engine.HasMembers(stream)
}

// hasMembersOrHistory reports whether a client may get a change of a stream, now or later.
// A group with views stands for all of them.
func (h *Hub) hasMembersOrHistory(stream string) bool {
	if h.viewsOf(stream) == nil {
		return h.streamHasMembersOrHistory(stream)
	}
	return slices.ContainsFunc(h.streamsOf(stream), h.streamHasMembersOrHistory)
}

func (h *Hub) streamHasMembersOrHistory(stream string) bool {
	return h.streamHasMembers(stream) || h.upstream.HasHistory(stream)
}

// warn logs what any client can cause, once a minute at most.
func (h *Hub) warn(t *throttle, text string, args ...any) {
	if skipped, ok := t.pass(); ok {
		h.log.Warn(text, append(args, "skipped", skipped)...)
	}
}

// Shutdown ends the hub. It refuses new connections with 503, sends open connections
// what waits for them, closes them with 1001 and a delay after which their clients should
// come back, random so that they do not come at the same time, and returns when all goroutines of the
// hub have ended. It cancels the contexts of running handlers. If ctx ends first, the
// hub aborts the connections that are left, and Shutdown returns the error of ctx; then
// only handlers that ignore their context may still run. Shutdown may be called more
// than once.
//
// Call http.Server.Shutdown first: it waits for requests that write, whose changes the hub
// then still sends, and knows none of the hub's connections.
func (h *Hub) Shutdown(ctx context.Context) error {
	conns := h.conns.Close()
	for _, c := range conns {
		c.shutDown(len(conns))
	}
	select {
	case <-h.conns.Drained:
		if err := h.endTasks(ctx); err != nil {
			return fmt.Errorf("rohrpost: shut down: %w", err)
		}
		return nil
	case <-ctx.Done():
	}
	left := h.conns.All()
	for _, c := range left {
		c.member.Abort()
	}
	h.tasks.Cancel()
	h.upstream.Close(ctx)
	return fmt.Errorf("rohrpost: shut down with %d connections left: %w", len(left), ctx.Err())
}

// endTasks ends what belongs to no connection.
func (h *Hub) endTasks(ctx context.Context) error {
	if err := h.engine.Wait(ctx); err != nil {
		return err
	}
	flushing, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	err := h.upstream.Flush(flushing)
	h.upstream.Close(flushing)
	defer h.engine.Close()
	if err != nil && ctx.Err() == nil {
		h.log.Error("rohrpost: shut down: changes are lost that the broker has not taken: the groups are told nothing", "error", err)
	}
	return h.tasks.End(ctx)
}

// now returns the time on the clock of budgets.
func (h *Hub) now() time.Duration { return time.Since(h.began) }

// Stats returns the figures of the hub. It is cheap and may be called at any time.
func (h *Hub) Stats() Stats {
	e := h.engine.Stats()
	return Stats{
		Broker:        h.brokerName(),
		Connections:   h.conns.Count(),
		Groups:        e.Groups,
		Memberships:   e.Memberships,
		Recovered:     e.Recovered,
		Unrecovered:   e.Unrecovered,
		Revoked:       h.counters.revoked.Load(),
		Published:     h.counters.published.Load(),
		Delivered:     e.Delivered,
		SlowConsumers: h.counters.slow.Load(),
		Skipped:       h.counters.skipped.Load(),
		Foreign:       h.counters.foreign.Load(),
		Lost:          h.counters.lost.Load(),
		Untracked:     h.counters.untracked.Load(),
		Refused:       h.counters.refused.all(),
		Closed:        h.counters.closed.all(),
	}
}

// relieve closes the connections for which most waits until all queues together are within
// Limits.MaxQueuedBytes.
func (h *Hub) relieve() {
	if !h.relieving.CompareAndSwap(false, true) {
		return
	}
	defer h.relieving.Store(false)
	var all []budget.Queue[*Conn]
	for _, c := range h.conns.All() {
		if !c.member.Ended() {
			all = append(all, budget.Queue[*Conn]{Of: c, Bytes: c.member.Waiting() + c.inbox.size()})
		}
	}
	for _, c := range budget.Largest(all, h.config.Limits.MaxQueuedBytes) {
		c.member.EndSlow("close the connection for which most waits: all queues exceed Limits.MaxQueuedBytes")
	}
}
