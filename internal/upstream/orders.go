package upstream

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/rohrpost/rohrpost/broker"
)

const (
	// orderStream carries what hubs tell each other to do.
	orderStream = "!orders"

	// maxOrders is the number of orders that one call of the broker reads.
	maxOrders = 1000
)

// orders obeys the orders of all hubs, in the order of their stream. While it may have
// missed one, it is paused: what the broker delivers is dropped, and histories wait. It
// then reads what it has missed. If it cannot, the memberships are checked again, and all
// groups load their snapshots again.
type orders struct {
	remote *remote
	kept   keptResyncs

	mu      sync.Mutex      // guards what follows
	at      broker.Position // of the latest order that was obeyed; zero: none is known
	resumed chan struct{}   // closed when deliveries go on; nil: they do
	ended   bool            // Run has ended, and does not listen again yet
	reading bool            // a task reads
	again   bool            // another order may be missed since it has begun to
	unread  bool            // an order came that this hub cannot read
}

func (o *orders) init(r *remote) {
	o.remote = r
	o.kept.init(r)
}

// begin takes the position of the stream, which now is followed: orders after it are for
// this hub.
func (o *orders) begin(at broker.Position) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.kept.hasBegun() { // the engine had lost the stream, and another hub may have begun it since
		at.Offset = 0
	}
	o.at = at
	o.startReading() // the first time, the orders before it
	return true
}

// end stops deliveries, since Run has ended, until it listens again and the hub has caught up.
func (o *orders) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
	o.pause()
}

// listen looks for orders that were given before Run listened, which begin does if it comes
// later.
func (o *orders) listen() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = false
	if o.pause(); o.at.Epoch != "" {
		o.startReading()
	}
}

// pause stops deliveries until a task has read what is missed. It is called with the lock.
func (o *orders) pause() {
	if o.resumed == nil {
		o.resumed = make(chan struct{})
	}
}

func (o *orders) isPaused() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.resumed != nil
}

// await waits until deliveries go on.
func (o *orders) await(ctx context.Context) error {
	o.mu.Lock()
	resumed := o.resumed
	o.mu.Unlock()
	return wait(ctx, resumed)
}

// position returns that of the latest order, and whether deliveries are paused.
func (o *orders) position() (at broker.Position, paused bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.at, o.resumed != nil
}

// compare compares the position of the latest order with that of the stream.
func (o *orders) compare(was, stream broker.Position) {
	at, paused := o.position()
	if !paused && at == was && stream != was {
		o.catchUp()
	}
}

// receive takes an order that the broker delivers.
func (o *orders) receive(m *broker.Message) {
	if !o.isNext(m) {
		return
	}
	if !o.obey(m) {
		o.catchUp()
	}
}

// isNext reports whether an order is the next one. It reads what is missing before it.
func (o *orders) isNext(m *broker.Message) bool {
	o.mu.Lock()
	if o.at.Epoch == "" { // begin comes later, perhaps with an earlier position
		o.pause()
		o.mu.Unlock()
		return false
	}
	paused, same := o.resumed != nil, m.Epoch == o.at.Epoch
	next := !paused && same && m.Prev <= o.at.Offset && m.Offset > o.at.Offset
	if next {
		o.at.Offset = m.Offset
	}
	known := same && m.Offset <= o.at.Offset
	o.mu.Unlock()
	if !next && !known {
		o.catchUp()
	}
	return next
}

// catchUp pauses deliveries until all orders are obeyed that the broker has taken so far.
func (o *orders) catchUp() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.pause()
	o.startReading()
}

// startReading is called with the lock.
func (o *orders) startReading() {
	o.again = true
	if !o.reading {
		o.reading = true
		o.remote.Tasks.Go(o.read)
	}
}

// read reads until nothing is missed.
func (o *orders) read(ctx context.Context) {
	for o.goOn() {
		if !o.kept.hasBegun() {
			old, err := o.readAfter(ctx, 0)
			if err != nil {
				return
			}
			o.kept.begin(old)
		}
		at, paused := o.position()
		if !paused || at.Epoch == "" {
			continue
		}
		missed, err := o.readAfter(ctx, at.Offset)
		if err != nil {
			return
		}
		o.obeyRead(ctx, at, missed)
		o.mu.Lock()
		o.at = missed.Position
		o.mu.Unlock()
		if missed.Position.Epoch == "" { // the engine has lost the stream
			o.remote.follower.again(orderStream, func(at broker.Position) { o.begin(at) })
		}
	}
}

// readAfter returns the orders after an offset, or an error when ctx has ended.
func (o *orders) readAfter(ctx context.Context, offset uint64) (h broker.History, err error) {
	err = o.remote.retry(ctx, "read the orders of other hubs", func(ctx context.Context) (err error) {
		h, err = ask(ctx, o.remote, brokerTimeout, func(ctx context.Context) (broker.History, error) {
			return o.remote.Broker.Read(ctx, orderStream, offset, maxOrders)
		})
		return err
	})
	return h, err
}

// goOn reports whether something is to be read. If not, deliveries go on, unless Run has
// ended: what is ordered from now on is missed too.
func (o *orders) goOn() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.again {
		o.again = false
		return true
	}
	if o.reading = false; o.resumed != nil && !o.ended && o.at.Epoch != "" {
		close(o.resumed)
		o.resumed = nil
		o.remote.askForCheck()
	}
	return false
}

// obeyRead obeys the orders after a position, and waits for it. Where they are not
// complete, or not readable, it does what all of them could have ordered.
func (o *orders) obeyRead(ctx context.Context, at broker.Position, h broker.History) {
	missed := h.Position.Epoch != at.Epoch || h.Position.Offset < at.Offset
	for i := range h.Messages {
		m := &h.Messages[i]
		if missed = missed || m.Prev > at.Offset; missed {
			break
		}
		at.Offset = m.Offset
		order, err := o.decode(m)
		if err != nil {
			o.setUnread()
		} else {
			o.do(ctx, order)
		}
	}
	if missed = missed || at.Offset != h.Position.Offset; missed {
		o.remote.Logger.Warn("rohrpost: orders of other hubs are missed: all memberships are checked again, and all groups load their snapshots again")
		o.do(ctx, control{Order: Order{Kind: OrderResync, Pattern: o.remote.AnyGroup, Object: o.remote.Unread}, At: time.Now().Unix()})
	}
	if o.takeUnread() || missed {
		o.remote.Receiver.Recheck(ctx)
	}
}

func (o *orders) setUnread() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.unread = true
}

func (o *orders) takeUnread() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	unread := o.unread
	o.unread = false
	return unread
}

// obey obeys an order that was delivered. It does not wait. It reports false for one that
// this hub cannot read, after which all memberships are checked again.
func (o *orders) obey(m *broker.Message) bool {
	if len(m.Payload) == 0 {
		return true
	}
	order, err := o.decode(m)
	switch {
	case err != nil:
		o.setUnread()
		return false
	case order.Kind == OrderResync:
		o.resync(order)
	default:
		o.remote.Tasks.Go(func(ctx context.Context) { o.do(ctx, order) })
	}
	return true
}

// do obeys an order. A hub has obeyed its own before.
func (o *orders) do(ctx context.Context, order control) {
	switch {
	case order.Kind == OrderResync:
		o.resync(order)
	case order.From != o.remote.source:
		o.remote.Receiver.Obey(ctx, order.Order)
	}
}

// resync publishes resyncs to the groups of this hub, and remembers those of others.
func (o *orders) resync(order control) {
	groups, err := o.remote.Receiver.Matching(order.Pattern)
	if err == nil {
		var batch []broker.Message
		batch, err = resyncs(o.remote.Receiver, groups, order.Object)
		o.remote.Publish(batch)
	}
	if err == nil {
		err = o.kept.add(order.Pattern, order.at(), groups)
	}
	if err != nil {
		o.remote.Logger.Error("rohrpost: obey a resync", "pattern", order.Pattern, "error", err)
	}
}

// control is what hubs tell each other.
type control struct {
	Order
	From string `json:"from"` // the source of the hub that orders
	At   int64  `json:"at"`   // when, in seconds since 1970
}

func (c *control) at() time.Time { return time.Unix(c.At, 0) }

func (o *orders) decode(m *broker.Message) (order control, err error) {
	if len(m.Payload) == 0 {
		return order, nil
	}
	payload, err := o.remote.codec.decode(m.Stream, m.Payload)
	if err == nil {
		err = json.Unmarshal(payload, &order)
	}
	if err == nil && order.Kind == "" {
		err = errors.New("an order of no kind")
	}
	if err != nil {
		o.remote.countUnread(m, err)
	}
	return order, err
}

// Order publishes an order under a source of its own, so that the hub can repeat the call.
func (r *remote) Order(ctx context.Context, o Order) error {
	messages, err := r.order(o)
	if err != nil {
		return err
	}
	p := &publishCall{remote: r, batches: []broker.Batch{{Source: rand.Text(), Number: 1, Messages: r.encoded(messages)}}}
	return r.retry(ctx, "order other hubs", p.publish)
}

// order returns the message that carries an order.
func (r *remote) order(o Order) ([]broker.Message, error) {
	payload, err := json.Marshal(control{Order: o, From: r.source, At: time.Now().Unix()})
	return []broker.Message{{Stream: orderStream, Payload: payload}}, err
}

func (r *remote) ResyncAll(pattern string, object json.RawMessage) ([]broker.Message, error) {
	return r.order(Order{Kind: OrderResync, Pattern: pattern, Object: object})
}

// resyncsOf returns what makes groups load their snapshots again: a resync for each, or one
// order for all groups if these are too many for a batch, or one of them is no group.
func (r *remote) resyncsOf(groups []string, most int) []broker.Message {
	if len(groups) <= min(most, maxOverflowed) && !slices.ContainsFunc(groups, isOwn) {
		if messages, err := resyncs(r.Receiver, groups, r.Overflow); err == nil {
			return r.encoded(messages)
		}
	}
	messages, _ := r.ResyncAll(r.AnyGroup, r.Overflow) // always encodes
	return r.encoded(messages)
}
