package rohrpost

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rohrpost/rohrpost/broker"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	isolationDeliveries = flag.Int("isolation-deliveries", 5_000, "messages that the pages of TestIsolation get")
	isolationSeed       = flag.Uint64("isolation-seed", 1, "seed of TestIsolation")
)

const (
	tenants         = 20
	usersOfTenant   = 10
	groupsOfTenant  = 25
	isolationHubs   = 2
	canary          = "canary-5b1f" // part of every token, and of what Allow's errors quote
	secretColumn    = "secret-7c2e" // of a row; only the view of the staff has it
	obeyWithin      = time.Second   // the other hub
	publishersCount = 4
)

// isolation is a world in which users gain and lose rights while pages read. It knows when
// each right was gone, and when each message was published: no message that was published
// while a right was gone may reach the user, whatever happens later.
type isolation struct {
	began time.Time
	hubs  []*Hub
	urls  []string
	cuts  []*cutBroker
	log   *logBuffer

	mu       sync.RWMutex // guards what follows
	rights   map[right]bool
	gaps     map[right][]gap
	messages []published

	receipts  []receipt
	delivered atomic.Int64
	resumed   atomic.Int64
	lost      atomic.Int64 // resumes answered "revoked"
	told      atomic.Int64 // "unsubscribed"
	denied    atomic.Int64
	frames    sync.Map     // a text with a secret that is not for its reader
	secrets   atomic.Int64 // frames with the secret column, for the staff
}

type right struct{ user, group int }

// gap is a time without a right, for each hub.
type gap struct {
	from [isolationHubs]time.Duration
	to   time.Duration // 0: it is not over
}

// published is when a message was published: between the call of Publish and the moment
// when the broker had it.
type published struct {
	group    int
	view     string // "": all
	from, to time.Duration
}

type receipt struct {
	right
	hub, message int
}

var isolationViews = []string{"staff", "member", "guest"}

// viewOf returns the view that a user has of all groups.
func viewOf(user int) string { return isolationViews[user%len(isolationViews)] }

// row is the object of a change for a view.
func row(view string, number int) map[string]any {
	object := map[string]any{"number": number}
	if view == "staff" {
		object["salary"] = secretColumn
	}
	return object
}

func (w *isolation) now() time.Duration { return time.Since(w.began) }

func groupName(group int) string {
	return fmt.Sprintf("t%d-g%d", group/groupsOfTenant, group%groupsOfTenant)
}

// TestIsolation plays 20 tenants, 200 users and 500 groups on two hubs, whose broker is
// cut now and then: random grants, revocations, rechecks, disconnects, expiries, renewals,
// reconnects, resumes and snapshots in flight. Each user has one of three views, and a secret
// column is in that of the staff only.
func TestIsolation(t *testing.T) {
	w := newIsolation(t)
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	pages := min(400, 40+*isolationDeliveries/1000)
	for i := range pages {
		p := &isolatedPage{world: w, user: i % (tenants * usersOfTenant), random: rand.New(rand.NewPCG(*isolationSeed, uint64(i)))}
		p.positions = map[int]Position{}
		all.Go(func() { p.live(ctx) })
	}
	for i := range publishersCount {
		all.Go(func() { w.publish(ctx, t, rand.New(rand.NewPCG(*isolationSeed, 1000+uint64(i)))) })
	}
	for i := range 3 {
		all.Go(func() { w.change(ctx, t, rand.New(rand.NewPCG(*isolationSeed, 2000+uint64(i)))) })
	}
	all.Go(func() { w.cut(ctx, rand.New(rand.NewPCG(*isolationSeed, 3000))) })
	for deadline := time.Now().Add(10 * time.Minute); w.delivered.Load() < int64(*isolationDeliveries) && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	stop()
	all.Wait()
	for _, c := range w.cuts {
		c.down.Store(false)
	}
	w.judge(t)
}

func newIsolation(t *testing.T) *isolation {
	w := &isolation{began: time.Now(), rights: map[right]bool{}, gaps: map[right][]gap{}, log: &logBuffer{}}
	shared := NewMemoryBroker(HistoryLimits{MaxMessages: 1000})
	for i := range isolationHubs {
		peer := shared
		if i > 0 {
			peer = shared.Peer()
		}
		c := &cutBroker{Broker: peer, world: w}
		unlimited := Rate{-1, -1}
		hub := NewHub(Config{
			Broker: c, Logger: slog.New(slog.NewTextHandler(w.log, nil)), AuthenticateToken: w.authenticate,
			RecheckInterval: 2 * time.Second, Limits: Limits{Messages: unlimited, RefusedGroups: unlimited, MaxHandshakes: -1, MaxUserConnections: -1},
		})
		hub.AllowViews("t{tenant:int}-g{group:int}", isolationViews, func(ctx context.Context, c *Conn, p Params) (string, error) {
			user, _ := strconv.Atoi(strings.TrimPrefix(c.Identity().ID, "u"))
			return viewOf(user), w.allow(ctx, c, p)
		})
		hub.Snapshot("t{tenant:int}-g{group:int}", func(_ context.Context, r SnapshotRequest) (any, error) {
			time.Sleep(time.Duration(rand.N(5)) * time.Millisecond)
			return []any{row(r.View, -1)}, nil
		})
		server := httptest.NewServer(hub)
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			assert.NoError(t, hub.Shutdown(ctx))
			server.Close()
		})
		w.hubs, w.urls, w.cuts = append(w.hubs, hub), append(w.urls, "ws"+strings.TrimPrefix(server.URL, "http")), append(w.cuts, c)
	}
	for user := range tenants * usersOfTenant {
		for group := range tenants * groupsOfTenant {
			r := right{user, group}
			w.gaps[r] = []gap{{}} // nobody has a right before it is granted, and none to groups of other tenants ever
			if user/usersOfTenant == group/groupsOfTenant && rand.N(10) < 6 {
				w.grant(r)
			}
		}
	}
	return w
}

// authenticate knows tokens such as "canary-5b1f.17.2s": for user 17, two seconds.
func (w *isolation) authenticate(_ context.Context, token string) (Identity, error) {
	parts := strings.Split(token, ".")
	d, err := time.ParseDuration(parts[2])
	return Identity{ID: "u" + parts[1], Expires: time.Now().Add(d)}, err
}

func (w *isolation) allow(ctx context.Context, c *Conn, p Params) error {
	time.Sleep(time.Duration(rand.N(500)) * time.Microsecond)
	tenant, _ := strconv.Atoi(p["tenant"])
	group, _ := strconv.Atoi(p["group"])
	user, err := strconv.Atoi(strings.TrimPrefix(c.Identity().ID, "u"))
	if err != nil {
		return Errorf("no user")
	}
	if rand.N(100) == 0 {
		return fmt.Errorf("%w: sometimes", ErrUnavailable)
	}
	w.mu.RLock()
	defer w.mu.RUnlock()
	if !w.rights[right{user, tenant*groupsOfTenant + group}] {
		return fmt.Errorf("no right: %s", RequestFromContext(ctx).Field("auth_jwt"))
	}
	return nil
}

// grant gives a right.
func (w *isolation) grant(r right) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.rights[r] {
		return
	}
	w.rights[r] = true
	if all := w.gaps[r]; len(all) > 0 && all[len(all)-1].to == 0 {
		all[len(all)-1].to = w.now()
	}
}

// take takes rights, as a program does: first in its database, then at a hub.
func (w *isolation) take(ctx context.Context, all []right, hub int, order func(ctx context.Context) error) {
	w.mu.Lock()
	var taken []right
	for _, r := range all {
		if w.rights[r] {
			w.rights[r] = false
			taken = append(taken, r)
		}
	}
	w.mu.Unlock()
	var local time.Duration
	for ctx.Err() == nil {
		trying, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := order(trying)
		cancel()
		if err != nil && (strings.Contains(err.Error(), canary) || strings.Contains(err.Error(), secretColumn)) {
			w.frames.Store(err.Error(), true)
		}
		if local == 0 && !errors.Is(err, ErrUnavailable) {
			local = w.now()
		}
		if err == nil {
			break
		}
	}
	if ctx.Err() != nil {
		return
	}
	g := gap{}
	for i := range g.from {
		if g.from[i] = local; i != hub {
			g.from[i] = w.now() + obeyWithin
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range taken {
		if !w.rights[r] { // else it was granted in the meantime
			w.gaps[r] = append(w.gaps[r], g)
		}
	}
}

// change changes rights.
func (w *isolation) change(ctx context.Context, t *testing.T, random *rand.Rand) {
	for ctx.Err() == nil {
		tenant, hub := random.IntN(tenants), random.IntN(isolationHubs)
		user := tenant*usersOfTenant + random.IntN(usersOfTenant)
		group := tenant*groupsOfTenant + random.IntN(groupsOfTenant)
		id, h := fmt.Sprint("u", user), w.hubs[hub]
		one := []right{{user, group}}
		switch roll := random.IntN(100); {
		case roll < 55:
			w.grant(one[0])
		case roll < 80:
			w.take(ctx, one, hub, func(ctx context.Context) error { return h.Revoke(ctx, id, groupName(group)) })
		case roll < 95:
			w.take(ctx, one, hub, func(ctx context.Context) error { return h.Recheck(ctx, id, groupName(group)) })
		case roll < 98:
			var all []right
			for g := range groupsOfTenant {
				all = append(all, right{user, tenant*groupsOfTenant + g})
			}
			w.take(ctx, all, hub, func(ctx context.Context) error { return h.Revoke(ctx, id, "") })
			for _, r := range all {
				if random.IntN(2) == 0 {
					w.grant(r)
				}
			}
		default:
			limited, cancel := context.WithTimeout(ctx, time.Second)
			_ = h.Disconnect(limited, id, 4000, "elsewhere") // or the other hub is away
			cancel()
		}
		time.Sleep(time.Duration(random.IntN(4000)) * time.Microsecond)
	}
}

// publish publishes messages with numbers.
func (w *isolation) publish(ctx context.Context, t *testing.T, random *rand.Rand) {
	for ctx.Err() == nil {
		hub := w.hubs[random.IntN(isolationHubs)]
		var changes []Change
		for range 1 + random.IntN(60) {
			group := random.IntN(tenants * groupsOfTenant)
			w.mu.Lock()
			number := len(w.messages)
			view := append([]string{""}, isolationViews...)[random.IntN(4)]
			w.messages = append(w.messages, published{group: group, view: view, from: w.now()})
			w.mu.Unlock()
			changes = append(changes, Change{Group: groupName(group), Type: Update, Object: row(view, number), View: view})
		}
		assert.NoError(t, hub.Publish(ctx, changes...))
		time.Sleep(time.Duration(random.IntN(1000)) * time.Microsecond)
	}
}

// taken records that the broker has messages.
func (w *isolation) taken(batches []broker.Batch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, b := range batches {
		for _, m := range b.Messages {
			if number, ok := numberIn(m.Payload); ok {
				w.messages[number].to = w.now()
			}
		}
	}
}

func numberIn(payload []byte) (number int, ok bool) {
	_, rest, ok := bytes.Cut(payload, []byte(`"number":`))
	for ok && len(rest) > 0 && rest[0] >= '0' && rest[0] <= '9' {
		number, rest = number*10+int(rest[0]-'0'), rest[1:]
	}
	return number, ok
}

// cut cuts a hub from its broker, now and then.
func (w *isolation) cut(ctx context.Context, random *rand.Rand) {
	for ctx.Err() == nil {
		time.Sleep(time.Duration(500+random.IntN(1500)) * time.Millisecond)
		i := random.IntN(len(w.cuts))
		w.cuts[i].cut()
		time.Sleep(time.Duration(random.IntN(400)) * time.Millisecond)
		w.cuts[i].down.Store(false)
	}
}

// judge compares what pages have got with what they may have.
func (w *isolation) judge(t *testing.T) {
	w.mu.Lock()
	defer w.mu.Unlock()
	leaks := 0
	for _, got := range w.receipts {
		m := &w.messages[got.message]
		require.Equal(t, m.group, got.group)
		require.Contains(t, []string{"", viewOf(got.user)}, m.view, "user %d got message %d of another view", got.user, got.message)
		for _, g := range w.gaps[got.right] {
			if m.to > 0 && g.from[got.hub] <= m.from && (g.to == 0 || m.to <= g.to) {
				if leaks++; leaks <= 5 {
					assert.Fail(t, "a leak", "user %d got message %d of %s, published %v to %v, at hub %d, without the right: %+v",
						got.user, got.message, groupName(got.group), m.from, m.to, got.hub, g)
				}
				break
			}
		}
	}
	stats := fmt.Sprintf("%+v%+v", w.hubs[0].Stats(), w.hubs[1].Stats())
	for _, secret := range []string{canary, secretColumn} {
		assert.NotContains(t, stats, secret)
		assert.Empty(t, w.log.lines(secret), "no log line has a secret")
	}
	w.frames.Range(func(frame, _ any) bool {
		return assert.Fail(t, "a secret in a frame, a close reason or an error", frame)
	})
	t.Logf("%d deliveries, %d leaks; %d messages, %d resumes, %d of them revoked, %d unsubscribed, %d refused, in %v",
		len(w.receipts), leaks, len(w.messages), w.resumed.Load(), w.lost.Load(), w.told.Load(), w.denied.Load(), w.now().Round(time.Second))
	assert.Positive(t, w.resumed.Load())
	assert.Positive(t, w.denied.Load())
	assert.Positive(t, w.secrets.Load())
}

// isolatedPage is a page of one user. It does not care whether it may.
type isolatedPage struct {
	world     *isolation
	user      int
	random    *rand.Rand
	positions map[int]Position // guarded by the world
	receipts  []receipt
}

func (p *isolatedPage) live(ctx context.Context) {
	for ctx.Err() == nil {
		p.connect(ctx)
	}
	p.world.mu.Lock()
	defer p.world.mu.Unlock()
	p.world.receipts = append(p.world.receipts, p.receipts...)
}

func (p *isolatedPage) token() string {
	return fmt.Sprintf("%s.%d.%dms", canary, p.user, 1000+p.random.IntN(5000))
}

func (p *isolatedPage) hello() string {
	return `{"id":0,"type":"rohrpost:hello","data":{"version":1,"token":"` + p.token() + `","wants":["unsubscribed","parts","expiring"]}}`
}

// connect lives through one connection.
func (p *isolatedPage) connect(ctx context.Context) {
	hub := p.random.IntN(isolationHubs)
	ws, _, err := websocket.DefaultDialer.DialContext(ctx, p.world.urls[hub], nil)
	if err != nil {
		return
	}
	defer func() { _ = ws.Close() }()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		p.read(ws, hub)
	}()
	defer func() { _ = ws.Close(); <-gone }()
	say := func(text string) bool { return ws.WriteMessage(websocket.TextMessage, []byte(text)) == nil }
	if !say(p.hello()) {
		return
	}
	tenant := p.user / usersOfTenant
	for range 10 + p.random.IntN(30) {
		if p.random.IntN(10) == 0 {
			tenant = p.random.IntN(tenants) // a foreign one
		}
		if !say(p.subscribe(tenant*groupsOfTenant + p.random.IntN(groupsOfTenant))) {
			return
		}
		tenant = p.user / usersOfTenant
	}
	for ctx.Err() == nil {
		select {
		case <-gone:
			return
		case <-ctx.Done():
			return
		case <-time.After(time.Duration(p.random.IntN(200)) * time.Millisecond):
		}
		switch roll := p.random.IntN(100); {
		case roll < 60:
			if !say(p.subscribe(tenant*groupsOfTenant + p.random.IntN(groupsOfTenant))) {
				return
			}
		case roll < 90:
			if !say(p.hello()) { // renews
				return
			}
		case roll < 96:
			return
		}
	}
}

func (p *isolatedPage) subscribe(group int) string {
	data := map[string]any{"group": groupName(group)}
	p.world.mu.RLock()
	if at, ok := p.positions[group]; ok && p.random.IntN(4) > 0 {
		data["since"] = at
	}
	p.world.mu.RUnlock()
	if p.random.IntN(2) == 0 {
		data["snapshot"] = true
	}
	raw, _ := json.Marshal(map[string]any{"id": group, "type": "subscribe", "data": data})
	return string(raw)
}

// read notes what comes, and keeps the latest position of each group: also one that
// belongs to a time of which the user must get nothing.
func (p *isolatedPage) read(ws *websocket.Conn, hub int) {
	w := p.world
	for {
		_, text, err := ws.ReadMessage()
		if err != nil {
			var closed *websocket.CloseError
			if errors.As(err, &closed) && strings.Contains(closed.Text, canary) {
				w.frames.Store(closed.Text, true)
			}
			return
		}
		if staff := viewOf(p.user) == "staff"; staff && bytes.Contains(text, []byte(secretColumn)) {
			w.secrets.Add(1)
		} else if !staff && bytes.Contains(text, []byte(secretColumn)) {
			w.frames.Store(string(text), true)
		}
		if bytes.Contains(text, []byte(canary)) {
			w.frames.Store(string(text), true)
		}
		var m struct {
			ID   json.Number
			Type string
			Data struct {
				Type, Group, Epoch, Reason string
				Offset                     uint64
				Recovered                  *bool
			}
			Error any
		}
		if json.Unmarshal(text, &m) != nil {
			w.frames.Store("no JSON: "+string(text), true)
			return
		}
		var tenant, n int
		_, _ = fmt.Sscanf(m.Data.Group, "t%d-g%d", &tenant, &n)
		group := tenant*groupsOfTenant + n
		switch {
		case m.Error != nil:
			w.denied.Add(1)
		case m.Type == "subscribe":
			if m.Data.Recovered != nil {
				w.resumed.Add(1)
				if m.Data.Reason == "revoked" {
					w.lost.Add(1)
				}
			}
			if m.Data.Epoch != "" {
				p.move(group, Position{Epoch: m.Data.Epoch, Offset: m.Data.Offset})
			}
		case m.Data.Type == "unsubscribed":
			w.told.Add(1)
		case m.Data.Type == Update:
			number, _ := numberIn(text)
			p.receipts = append(p.receipts, receipt{right{p.user, group}, hub, number})
			w.delivered.Add(1)
			w.mu.RLock()
			at, ok := p.positions[group]
			w.mu.RUnlock()
			if ok && m.Data.Offset > 0 {
				p.move(group, Position{Epoch: at.Epoch, Offset: m.Data.Offset})
			}
		}
	}
}

func (p *isolatedPage) move(group int, at Position) {
	p.world.mu.Lock()
	defer p.world.mu.Unlock()
	p.positions[group] = at
}

// cutBroker is a broker that can be cut off.
type cutBroker struct {
	broker.Broker
	world *isolation
	down  atomic.Bool

	mu     sync.Mutex
	cancel context.CancelFunc // of Run
}

var errCut = errors.New("cut off")

func (c *cutBroker) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down.Store(true)
	if c.cancel != nil {
		c.cancel()
	}
}

// Run implements Broker.
func (c *cutBroker) Run(ctx context.Context, ready func(), deliver func([]broker.Message)) error {
	if c.down.Load() {
		return errCut
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.mu.Lock()
	c.cancel = cancel
	c.mu.Unlock()
	return c.Broker.Run(ctx, ready, func(batch []broker.Message) {
		if !c.down.Load() {
			deliver(batch)
		}
	})
}

// Publish implements Broker.
func (c *cutBroker) Publish(ctx context.Context, batches []broker.Batch) error {
	if c.down.Load() {
		return errCut
	}
	if err := c.Broker.Publish(ctx, batches); err != nil {
		return err
	}
	c.world.taken(batches)
	return nil
}

// Follow implements Broker.
func (c *cutBroker) Follow(ctx context.Context, streams []string) ([]broker.Position, error) {
	if c.down.Load() {
		return nil, errCut
	}
	return c.Broker.Follow(ctx, streams)
}

// Read implements Broker.
func (c *cutBroker) Read(ctx context.Context, stream string, after uint64, limit int) (broker.History, error) {
	if c.down.Load() {
		return broker.History{}, errCut
	}
	return c.Broker.Read(ctx, stream, after, limit)
}

// Positions implements Broker.
func (c *cutBroker) Positions(ctx context.Context, streams []string) ([]broker.Position, error) {
	if c.down.Load() {
		return nil, errCut
	}
	return c.Broker.Positions(ctx, streams)
}
