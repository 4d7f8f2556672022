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
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"path"
	"time"
)

//go:embed *.js *.d.ts
var files embed.FS

// Handler serves rohrpost.js, the modules that it imports, and their types under
// any path: only the last element of the path counts. Any other file is not
// found. A module imports its neighbours, so mount the handler on a path that
// ends with a slash. Browsers revalidate their cached copies on each load, so a
// page gets the version of the running program. The handler may be used
// concurrently.
func Handler() http.Handler {
	entries, err := files.ReadDir(".")
	if err != nil {
		panic(err) // impossible: the files are embedded
	}
	served := map[string]http.HandlerFunc{}
	for _, entry := range entries {
		name := entry.Name()
		data, err := files.ReadFile(name)
		if err != nil {
			panic(err) // impossible: the file is embedded
		}
		contentType := "text/javascript; charset=utf-8"
		if path.Ext(name) == ".ts" {
			contentType = "application/typescript; charset=utf-8"
		}
		served[name] = serve(name, contentType, data)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h := served[path.Base(r.URL.Path)]; h != nil {
			h(w, r)
			return
		}
		http.NotFound(w, r)
	})
}

func serve(name, contentType string, data []byte) http.HandlerFunc {
	sum := sha256.Sum256(data)
	tag := `"` + hex.EncodeToString(sum[:12]) + `"`
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("ETag", tag)
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(data))
	}
}
