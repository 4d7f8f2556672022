// Package js contains and serves the JavaScript client of a hub, so that a Go
// program needs no npm:
//
//	mux.Handle("/rohrpost/", http.StripPrefix("/rohrpost", js.Handler()))
//
// A page imports the client from there:
//
//	import Rohrpost from "/rohrpost/rohrpost.js";
//
// dist contains what the handler serves. "make dist" makes it from the modules of
// this folder, which the npm package contains.
//
// doc/CLIENT.md describes the client.
package js

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"
)

//go:embed dist/*.js *.d.ts
var files embed.FS

// Option configures a Handler.
type Option func(*options)

type options struct{ origin string }

// AllowOrigin lets pages of another origin import the client: the handler sends
// origin, or "*" for all, as Access-Control-Allow-Origin. By default it sends no
// such header, and only pages of its own origin can import the client.
func AllowOrigin(origin string) Option {
	return func(o *options) { o.origin = origin }
}

// Handler serves the client as rohrpost.js, which is one minified module, the
// modules that pages may use beside it, and the types of all, under any path: only
// the last element of the path counts. Any other file is not found. A module
// imports its neighbours, so mount the handler on a path that ends with a slash.
// Browsers revalidate their cached copies on each load, so a page gets the version
// of the running program. A client that accepts gzip gets the files compressed.
// The handler may be used concurrently.
func Handler(opts ...Option) http.Handler {
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	served := map[string]file{}
	for _, name := range embedded() {
		served[path.Base(name)] = read(name)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, ok := served[path.Base(r.URL.Path)]
		if !ok {
			http.NotFound(w, r)
			return
		}
		if o.origin != "" {
			w.Header().Set("Access-Control-Allow-Origin", o.origin)
		}
		f.serve(w, r)
	})
}

// embedded returns the paths of all files.
func embedded() []string {
	var names []string
	for _, pattern := range []string{"dist/*.js", "*.d.ts"} {
		found, err := fs.Glob(files, pattern)
		if err != nil {
			panic(err) // impossible: the pattern is valid
		}
		names = append(names, found...)
	}
	return names
}

// file is an embedded file in both encodings.
type file struct {
	name, contentType string
	plain, zipped     variant
}

// variant is one encoding of a file, with its entity tag.
type variant struct {
	data []byte
	tag  string
}

func read(name string) file {
	data, err := files.ReadFile(name)
	if err != nil {
		panic(err) // impossible: the file is embedded
	}
	f := file{name: path.Base(name), contentType: "text/javascript; charset=utf-8", plain: newVariant(data)}
	if path.Ext(name) == ".ts" {
		f.contentType = "application/typescript; charset=utf-8"
	}
	var zipped bytes.Buffer
	w, err := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
	if err != nil {
		panic(err) // impossible: the level is valid
	}
	if _, err := w.Write(data); err != nil {
		panic(err) // impossible: a buffer takes all
	}
	if err := w.Close(); err != nil {
		panic(err) // impossible: a buffer takes all
	}
	f.zipped = newVariant(zipped.Bytes())
	return f
}

func newVariant(data []byte) variant {
	sum := sha256.Sum256(data)
	return variant{data, `"` + hex.EncodeToString(sum[:12]) + `"`}
}

func (f file) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	v := f.plain
	w.Header().Set("Vary", "Accept-Encoding")
	if acceptsGzip(r.Header.Get("Accept-Encoding")) {
		v = f.zipped
		w.Header().Set("Content-Encoding", "gzip")
	}
	w.Header().Set("Content-Type", f.contentType)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("ETag", v.tag)
	http.ServeContent(w, r, f.name, time.Time{}, bytes.NewReader(v.data))
}

// acceptsGzip tells whether the header names gzip or * with a quality above 0.
func acceptsGzip(header string) bool {
	accepted := false
	for coding := range strings.SplitSeq(header, ",") {
		name, params, _ := strings.Cut(strings.TrimSpace(coding), ";")
		quality := 1.0
		if q, ok := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q="); ok {
			quality, _ = strconv.ParseFloat(q, 64) // an invalid quality is none
		}
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "gzip", "x-gzip":
			return quality > 0
		case "*":
			accepted = quality > 0
		}
	}
	return accepted
}
