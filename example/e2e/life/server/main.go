// Command server is the test server of the life of a page: a list in memory, groups whose
// snapshots are large or slow, a call, and the page that shows them.
package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/js"
)

//go:embed page.html page.js
var page embed.FS

func main() {
	addr := flag.String("addr", "127.0.0.1:0", "`address` to listen on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	hub := rohrpost.NewHub(rohrpost.Config{})
	server := &http.Server{Handler: newHandler(hub), ReadHeaderTimeout: 5 * time.Second}
	secure := httptest.NewUnstartedServer(server.Handler)
	secure.StartTLS()
	defer secure.Close()
	fmt.Printf("The test server is at http://%s/ and at %s/\n", listener.Addr(), secure.URL)
	go func() {
		<-ctx.Done()
		within, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := errors.Join(hub.Shutdown(within), server.Shutdown(within)); err != nil {
			log.Print(err)
		}
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}

type item struct {
	ID    int    `json:"id"`
	Title string `json:"title"`
}

// list is what the groups show.
type list struct {
	mu    sync.Mutex
	items []item

	database chan struct{} // its connections
	reads    atomic.Int64  // of the database
}

func newHandler(hub *rohrpost.Hub) http.Handler {
	l := &list{database: make(chan struct{}, 5)}
	hub.Allow("{any}", rohrpost.Anyone)
	hub.Snapshot("list", func(context.Context, rohrpost.SnapshotRequest) (any, error) { return l.all(), nil })
	hub.Snapshot("large", large)
	hub.Snapshot("slow", func(ctx context.Context, _ rohrpost.SnapshotRequest) (any, error) {
		return l.all(), wait(ctx, 12*time.Second)
	})
	hub.Snapshot("shared", func(ctx context.Context, _ rohrpost.SnapshotRequest) (any, error) { return l.read(ctx) })
	hub.SnapshotFor("own", func(ctx context.Context, _ *rohrpost.Conn, _ rohrpost.SnapshotRequest) (any, error) {
		return l.read(ctx)
	})
	hub.Handle("length", func(_ context.Context, _ *rohrpost.Conn, r *rohrpost.Request) (any, error) { return len(r.Data), nil })

	engine := &gated{MemoryBroker: rohrpost.NewMemoryBroker(rohrpost.HistoryLimits{})}
	shared := rohrpost.NewHub(rohrpost.Config{Broker: engine})
	shared.Allow("list", rohrpost.Anyone)
	shared.Snapshot("list", func(context.Context, rohrpost.SnapshotRequest) (any, error) { return l.all(), nil })

	mux := http.NewServeMux()
	mux.Handle("/ws/", hub)
	mux.Handle("/shared/", shared)
	mux.HandleFunc("POST /engine", func(_ http.ResponseWriter, r *http.Request) { engine.away.Store(r.FormValue("away") != "") })
	mux.Handle("/exact", hub) // one path only
	mux.Handle("/rohrpost/", js.Handler())
	mux.HandleFunc("/", servePage)
	mux.HandleFunc("POST /list", func(w http.ResponseWriter, r *http.Request) { answer(w, l.add(r, hub, shared)) })
	mux.HandleFunc("POST /resync", func(w http.ResponseWriter, r *http.Request) {
		answer(w, hub.Publish(r.Context(), rohrpost.Change{Group: r.FormValue("group"), Type: rohrpost.Resync}))
	})
	mux.HandleFunc("GET /reads", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, l.reads.Swap(0)) })
	return mux
}

// servePage serves the page, with the Content Security Policy of the query.
func servePage(w http.ResponseWriter, r *http.Request) {
	if csp := r.FormValue("csp"); csp != "" {
		w.Header().Set("Content-Security-Policy", csp)
	}
	name := strings.TrimPrefix(r.URL.Path, "/")
	if name == "" {
		name = "page.html"
	}
	http.ServeFileFS(w, r, page, name)
}

func answer(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func (l *list) all() []item {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]item{}, l.items...)
}

// add adds an item to the list and tells the groups of it.
func (l *list) add(r *http.Request, hub, shared *rohrpost.Hub) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	added := item{len(l.items) + 1, r.FormValue("title")}
	l.items = append(l.items, added)
	var changes []rohrpost.Change
	for _, group := range []string{"list", "slow", "shared", "own"} {
		changes = append(changes, rohrpost.Change{Group: group, Type: rohrpost.Create, Object: added})
	}
	return errors.Join(hub.Publish(r.Context(), changes...), shared.Publish(r.Context(), changes[0]))
}

// read reads the list with one of five connections to the database, in 50 ms.
func (l *list) read(ctx context.Context) ([]item, error) {
	select {
	case l.database <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-l.database }()
	l.reads.Add(1)
	items := l.all()
	return items, wait(ctx, 50*time.Millisecond)
}

// large returns 0.9 MB.
func large(context.Context, rohrpost.SnapshotRequest) (any, error) {
	items := make([]item, 4500)
	for i := range items {
		items[i] = item{i + 1, fmt.Sprintf("Item %d %s", i+1, strings.Repeat(".", 170))}
	}
	return items, nil
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
