// Package js contains and serves the JavaScript client of a hub, a few small ES
// modules, so that a Go program needs no npm:
//
//	mux.Handle("/rohrpost/", http.StripPrefix("/rohrpost", js.Handler()))
//
// A page imports the client from there:
//
//	import Rohrpost from "/rohrpost/rohrpost.js";
//
// doc/CLIENT.md describes the client.
package js

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"
)

//go:embed *.js *.d.ts
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

// Handler serves rohrpost.js, the modules that it imports, and their types under
// any path: only the last element of the path counts. Any other file is not
// found. A module imports its neighbours, so mount the handler on a path that
// ends with a slash. Browsers revalidate their cached copies on each load, so a
// page gets the version of the running program. To a request that accepts gzip
// the handler sends a module compressed, without its comments and indentation.
// The handler may be used concurrently.
func Handler(opts ...Option) http.Handler {
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	entries, err := files.ReadDir(".")
	if err != nil {
		panic(err) // impossible: the files are embedded
	}
	served := map[string]file{}
	for _, entry := range entries {
		served[entry.Name()] = read(entry.Name())
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
	f := file{name: name, contentType: "text/javascript; charset=utf-8", plain: newVariant(data)}
	if path.Ext(name) == ".ts" {
		f.contentType = "application/typescript; charset=utf-8"
	} else {
		data = compact(data)
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

var (
	indentation = regexp.MustCompile(`(?m)^ +`)
	comment     = regexp.MustCompile(`(?m)^//.*$`)
	remark      = regexp.MustCompile(`(?m)([;,{}]) // .*$`)
	emptyLines  = regexp.MustCompile(`\n+`)
)

// compact removes comments and indentation. It knows the style of the modules:
// no text of theirs spans lines or contains what looks like a comment.
func compact(data []byte) []byte {
	data = indentation.ReplaceAll(data, nil)
	data = comment.ReplaceAll(data, nil)
	data = remark.ReplaceAll(data, []byte("$1"))
	return emptyLines.ReplaceAll(data, []byte("\n"))
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
