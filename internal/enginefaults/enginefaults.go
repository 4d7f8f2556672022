package enginefaults

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/broker"
	"github.com/rohrpost/rohrpost/internal/faults"
)

// Config configures a run.
type Config struct {
	// Open returns the broker of one more hub. Required.
	Open func() broker.Broker

	// Fault lets the engine fail, and returns when it is there again. meanwhile is for a
	// fault that needs changes in between, such as a restore: it returns after some have
	// been published. Required.
	Fault func(meanwhile func())

	Hubs   int           // defaults to 2
	Groups int           // defaults to 20
	Pages  int           // each of 3 groups; defaults to 200
	Rate   int           // changes per second; defaults to 200
	Quiet  time.Duration // without a fault, before and after it; defaults to 2 seconds
	Cut    bool          // lines of pages fail too

	// Log gets the log of the hubs. Defaults to none.
	Log io.Writer

	fault func(t testing.TB, e *test) // in place of Fault
}

func (c Config) withDefaults() Config {
	c.Hubs, c.Groups = cmp.Or(c.Hubs, 2), cmp.Or(c.Groups, 20)
	c.Pages, c.Rate = cmp.Or(c.Pages, 200), cmp.Or(c.Rate, 200)
	c.Quiet = cmp.Or(c.Quiet, 2*time.Second)
	if c.Log == nil {
		c.Log = io.Discard
	}
	return c
}

// Result is what a run has shown.
type Result struct {
	faults.Result

	// Back is how long after the end of the fault all pages had what was published until
	// then.
	Back time.Duration
}

// Run lets the engine fail once while pages follow groups at several hubs, and compares
// what each page got with what was published. It fails t if a change was lost silently,
// came twice, in another order or without being published, or if a page has not caught
// up a minute after the fault.
func Run(t testing.TB, c Config) Result {
	r := run(t, c.withDefaults())
	assert.False(t, r.Failed(), "%v", r.Problems)
	return r
}

// test is a run.
type test struct {
	Config
	hubs      []*rohrpost.Hub
	addresses []string // of the hubs
	pages     []*faults.Client
	proxies   []*faults.Proxy
	numbering sync.Mutex     // held while a change gets its number and is published
	published []atomic.Int64 // to each group
}

func run(t testing.TB, c Config) Result {
	e := &test{Config: c, published: make([]atomic.Int64, c.Groups)}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	e.startHubs(t)
	e.connect(t)
	var pages, publisher sync.WaitGroup
	for _, p := range e.pages {
		pages.Go(func() { p.Run(ctx) })
	}
	require.Eventually(t, func() bool { return faults.AllSubscribed(e.pages) }, time.Minute, 20*time.Millisecond, "all pages subscribe")
	publishing, stopPublishing := context.WithCancel(ctx)
	publisher.Go(func() { e.publish(publishing) })
	time.Sleep(c.Quiet)
	back := e.fail(t)
	time.Sleep(c.Quiet)
	stopPublishing()
	publisher.Wait()
	require.Eventually(t, func() bool { return e.have(e.counts()) }, time.Minute, 20*time.Millisecond, "all pages catch up")
	stop()
	pages.Wait()
	return Result{Result: e.check(), Back: back}
}

func (e *test) group(g int) string { return fmt.Sprint("group-", g) }

func (e *test) startHubs(t testing.TB) {
	for range e.Hubs {
		hub := rohrpost.NewHub(rohrpost.Config{Broker: e.Open(), Logger: slog.New(slog.NewTextHandler(e.Log, nil))})
		hub.Allow("group-{n}", rohrpost.Anyone)
		e.hubs = append(e.hubs, hub)
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			assert.NoError(t, hub.Shutdown(ctx))
		})
	}
}

// connect makes the pages, each at one hub, by a proxy of its own.
func (e *test) connect(t testing.TB) {
	for _, hub := range e.hubs {
		server := httptest.NewServer(hub)
		t.Cleanup(server.Close)
		e.addresses = append(e.addresses, server.Listener.Addr().String())
	}
	for i := range e.Pages {
		proxy, err := faults.NewProxy(e.addresses[i%e.Hubs])
		require.NoError(t, err)
		t.Cleanup(proxy.Close)
		page := &faults.Client{
			URL: "ws://" + proxy.Addr() + "/", PingAfter: time.Second, Timeout: 4 * time.Second, MaxBackoff: time.Second,
			Load: func(_ context.Context, group string) ([]int64, error) { return e.rows(group), nil },
		}
		for g := range min(3, e.Groups) {
			page.Groups = append(page.Groups, e.group((i/e.Hubs+g*7)%e.Groups))
		}
		e.proxies, e.pages = append(e.proxies, proxy), append(e.pages, page)
	}
}

// rows is the truth: the numbers of all changes of a group.
func (e *test) rows(group string) []int64 {
	var g int
	_, _ = fmt.Sscanf(group, "group-%d", &g)
	rows := make([]int64, e.published[g].Load())
	for i := range rows {
		rows[i] = int64(i) + 1
	}
	return rows
}

func (e *test) counts() []int64 {
	counts := make([]int64, e.Groups)
	for g := range counts {
		counts[g] = e.published[g].Load()
	}
	return counts
}

// have reports whether all pages have what was published up to some counts.
func (e *test) have(counts []int64) bool {
	for _, p := range e.pages {
		for _, group := range p.Groups {
			var g int
			_, _ = fmt.Sscanf(group, "group-%d", &g)
			if p.Last(group) < counts[g] {
				return false
			}
		}
	}
	return true
}

// publish publishes numbered changes. Each group has one hub that does, so that its
// numbers have an order.
func (e *test) publish(ctx context.Context) {
	start := time.Now()
	for done := 0; ctx.Err() == nil; time.Sleep(5 * time.Millisecond) {
		for ; done < int(time.Since(start).Seconds()*float64(e.Rate)); done++ {
			g := rand.IntN(e.Groups)
			e.publishOne(g, "a title")
		}
	}
}

// publishOne publishes the next change of a group.
func (e *test) publishOne(g int, title string) {
	e.numbering.Lock()
	defer e.numbering.Unlock()
	change := rohrpost.Change{Group: e.group(g), Type: rohrpost.Update, Object: map[string]any{"n": e.published[g].Add(1), "title": title}}
	if err := e.hubs[g%e.Hubs].Publish(context.Background(), change); err != nil {
		panic(err) // a broker that is away fails no Publish
	}
}

// fail lets the engine fail, and returns how long after that all pages were up to date.
func (e *test) fail(t testing.TB) time.Duration {
	if e.Cut {
		for i := range e.proxies {
			if i%3 == 0 {
				e.proxies[i].Inject(faults.Reset, 0)
			}
		}
	}
	if e.fault != nil {
		e.fault(t, e)
	} else {
		e.Fault(func() { time.Sleep(e.Quiet / 2) })
	}
	for _, p := range e.proxies {
		p.Clear(false)
	}
	ended, counts := time.Now(), e.counts()
	require.Eventually(t, func() bool { return e.have(counts) }, time.Minute, 10*time.Millisecond, "all pages are back")
	return time.Since(ended)
}

func (e *test) check() (all faults.Result) {
	for i, p := range e.pages {
		for _, group := range p.Groups {
			all.Add(faults.Check(fmt.Sprintf("page %d, %s", i, group), e.rows(group), p.Events(group)))
		}
	}
	return all
}
