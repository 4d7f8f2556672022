// Command example is a small shared task board. Each open page shows the changes
// of all others at once: the cards are a GORM model with a marker, and every
// committed change reaches the open pages.
//
// Read board.go first, which contains the model; then main.go, which connects the
// database, the hub and the page; then api.go, which is ordinary GORM code without
// sockets.
package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/js"
	"gorm.io/gorm"
)

//go:embed static
var static embed.FS

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	err := run(ctx, os.Args[1:], os.Stdout)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		slog.Error("run the board", "error", err)
		os.Exit(1)
	}
}

// run serves the board until ctx ends.
func run(ctx context.Context, args []string, out io.Writer) (err error) {
	flags := flag.NewFlagSet("example", flag.ContinueOnError)
	addr := flags.String("addr", "127.0.0.1:8080", "`address` to listen on, port 0 for any free one")
	file := flags.String("db", "", "SQLite `file` of the board; by default the board is in memory and lost when the program ends")
	empty := flags.Bool("empty", false, "start a new board without the sample cards")
	if err := flags.Parse(args); err != nil {
		return err
	}

	hosts, err := hostsOf(*addr)
	if err != nil {
		return err
	}
	hub := rohrpost.NewHub(rohrpost.Config{Hosts: hosts})
	db, closeDB, err := openBoard(ctx, *file, hub)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeDB()) }()
	serveBoard(hub, db)
	if !*empty {
		if err := addSampleCards(db.WithContext(ctx)); err != nil {
			return err
		}
	}

	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", *addr)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	server := &http.Server{
		Handler:           onlyHosts(hosts, newHandler(hub, db)),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	fmt.Fprintf(out, "The board is at http://%s/\n", listener.Addr())

	select {
	case err = <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	return end(context.WithoutCancel(ctx), server, hub)
}

// end lets the program end so that no write fails and none is lost. The server accepts
// nothing more, and waits for the requests under way. The hub ends last, since these publish
// to it. Its connections are none of the server any more.
func end(ctx context.Context, server *http.Server, hub *rohrpost.Hub) error {
	serving, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	err := server.Shutdown(serving)
	closing, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return errors.Join(err, hub.Shutdown(closing))
}

// newHandler combines the page, the API and the hub. It accepts requests that change
// data only from pages of the same origin; the hub checks the origin of its
// connections itself.
func newHandler(hub *rohrpost.Hub, db *gorm.DB) http.Handler {
	files, err := fs.Sub(static, "static")
	if err != nil {
		panic(err) // impossible: "static" is a valid path
	}
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServerFS(files))
	mux.Handle("/ws/rohrpost/", hub)
	mux.Handle("/rohrpost/", js.Handler())
	newAPI(db).register(mux)
	return secure(http.NewCrossOriginProtection().Handler(rohrpost.MarkOrigin(mux)))
}

// secure allows the page to load, run and connect to this server only.
func secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; "+
			"img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}

// hostsOf returns the names by which pages may reach a server with an address that only
// this machine can reach, nil for any other address. A page of another name could be
// pointed at the address by its DNS server, and would then read the board.
func hostsOf(addr string) ([]string, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("address to listen on: %w", err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, nil
	}
	return []string{"localhost", "127.0.0.1", "::1", strings.Trim(host, "[]")}, nil
}

// onlyHosts refuses requests for other names than those given, unless there are none.
func onlyHosts(hosts []string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := (&url.URL{Host: r.Host}).Hostname()
		if hosts != nil && !slices.Contains(hosts, strings.ToLower(name)) {
			http.Error(w, "This server has another name.", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}
