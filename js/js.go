// Package js contains and serves the JavaScript client of a hub, one ES module,
// so that a Go program needs no npm:
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

//go:embed rohrpost.js rohrpost.d.ts
var files embed.FS

// Handler serves rohrpost.js and its types, rohrpost.d.ts, under any path: only
// the last element of the path counts. Any other file is not found. Browsers
// revalidate their cached copy on each load, so a page gets the version of the
// running program. The handler may be used concurrently.
func Handler() http.Handler {
	served := map[string]http.HandlerFunc{}
	for name, contentType := range map[string]string{
		"rohrpost.js":   "text/javascript; charset=utf-8",
		"rohrpost.d.ts": "application/typescript; charset=utf-8",
	} {
		data, err := files.ReadFile(name)
		if err != nil {
			panic(err) // impossible: the file is embedded
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
