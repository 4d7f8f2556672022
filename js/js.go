// Package js has the browser's end of a hub, one ES module, and serves it, so
// that a Go program needs no npm:
//
//	mux.Handle("/rohrpost/", http.StripPrefix("/rohrpost", js.Handler()))
//
// A page then says: import Rohrpost from "/rohrpost/rohrpost.js". How to go on
// from there is told in doc/CLIENT.md.
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

// Handler serves rohrpost.js and its types, rohrpost.d.ts, wherever it is
// mounted: the last part of the path decides; anything else is not found.
// Browsers keep a copy and ask each time whether it is still good, so a new
// version of the program reaches pages at their next load.
func Handler() http.Handler {
	served := map[string]http.HandlerFunc{}
	for name, contentType := range map[string]string{
		"rohrpost.js":   "text/javascript; charset=utf-8",
		"rohrpost.d.ts": "application/typescript; charset=utf-8",
	} {
		data, err := files.ReadFile(name)
		if err != nil {
			panic(err) // it is embedded
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
