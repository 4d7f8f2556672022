package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"sync/atomic"
	"time"
)

// serveProxy hands each connection to one of the instances in turn, until ctx ends.
func serveProxy(ctx context.Context, listener net.Listener, o options) error {
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", r.In.Host
			r.Out.Host = r.In.Host // the hub compares it with the origin of the page
		},
		Transport: &http.Transport{DialContext: dialAny(o), DisableKeepAlives: true},
		ErrorLog:  log.New(discard{}, "", 0), // an instance that was killed
	}
	server := &http.Server{Handler: proxy, ReadHeaderTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	return server.Close()
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// dialAny connects to the instances in turn, to the next one that answers.
func dialAny(o options) func(ctx context.Context, network, addr string) (net.Conn, error) {
	var turn atomic.Int64
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		var failed error
		first := int(turn.Add(1))
		for i := range o.nodes {
			conn, err := new(net.Dialer).DialContext(ctx, "unix", o.socket(strconv.Itoa((first+i)%o.nodes+1)))
			if err == nil {
				return conn, nil
			}
			failed = errors.Join(failed, err)
		}
		return nil, fmt.Errorf("no instance answers: %w", failed)
	}
}
