package js

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHandler(t *testing.T) {
	mounted := http.NewServeMux()
	mounted.Handle("/static/rohrpost/", http.StripPrefix("/static/rohrpost", Handler()))
	mounted.Handle("/", Handler())
	for _, tt := range []struct {
		method, path string
		status       int
		file, kind   string
	}{
		{"GET", "/rohrpost.js", 200, "dist/rohrpost.js", "text/javascript; charset=utf-8"},
		{"GET", "/static/rohrpost/rohrpost.js", 200, "dist/rohrpost.js", "text/javascript; charset=utf-8"},
		{"GET", "/static/rohrpost/rohrpost.d.ts", 200, "rohrpost.d.ts", "application/typescript; charset=utf-8"},
		{"GET", "/static/rohrpost/view.js", 200, "dist/view.js", "text/javascript; charset=utf-8"},
		{"GET", "/static/rohrpost/connection.js", 404, "", ""},
		{"HEAD", "/rohrpost.js", 200, "", "text/javascript; charset=utf-8"},
		{"GET", "/static/rohrpost/", 404, "", ""},
		{"GET", "/static/rohrpost/js.go", 404, "", ""},
		{"GET", "/static/rohrpost/package.json", 404, "", ""},
		{"POST", "/rohrpost.js", 405, "", ""},
	} {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			w := httptest.NewRecorder()
			mounted.ServeHTTP(w, httptest.NewRequest(tt.method, tt.path, nil))
			assert.Equal(t, tt.status, w.Code)
			if tt.kind != "" {
				assert.Equal(t, tt.kind, w.Header().Get("Content-Type"))
				assert.Equal(t, "no-cache", w.Header().Get("Cache-Control"))
			}
			if tt.file != "" {
				want, err := os.ReadFile(tt.file)
				require.NoError(t, err)
				assert.Equal(t, string(want), w.Body.String())
			}
		})
	}
}

func TestHandlerWithoutMux(t *testing.T) {
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, httptest.NewRequest("GET", "/rohrpost.js", nil))
	assert.Equal(t, 200, w.Code)
}

func TestHandlerRevalidates(t *testing.T) {
	h := Handler()
	get := func(path, tag string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", path, nil)
		r.Header.Set("If-None-Match", tag)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	first := get("/rohrpost.js", "")
	tag := first.Header().Get("ETag")
	require.Regexp(t, `^"[0-9a-f]{24}"$`, tag)

	again := get("/rohrpost.js", tag)
	assert.Equal(t, http.StatusNotModified, again.Code)
	assert.Empty(t, again.Body.String())
	assert.Equal(t, http.StatusOK, get("/rohrpost.js", `"old"`).Code)
	assert.NotEqual(t, tag, get("/rohrpost.d.ts", "").Header().Get("ETag"))
}

func TestHandlerCompresses(t *testing.T) {
	h := Handler()
	get := func(name, accept string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", name, nil)
		r.Header.Set("Accept-Encoding", accept)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	for accept, zipped := range map[string]bool{
		"":                      false,
		"br":                    false,
		"gzip":                  true,
		"br, GZIP;q=0.5":        true,
		"gzip;q=0":              false,
		"gzip; q=0.0, identity": false,
		"*":                     true,
		"*;q=0":                 false,
		"gzip;q=0, *":           false,
		"gzip;q=high":           false,
	} {
		w := get("/rohrpost.js", accept)
		assert.Equal(t, "Accept-Encoding", w.Header().Get("Vary"))
		assert.Equal(t, zipped, w.Header().Get("Content-Encoding") == "gzip", accept)
	}
	assert.NotEqual(t, get("/rohrpost.js", "").Header().Get("ETag"), get("/rohrpost.js", "gzip").Header().Get("ETag"))

	for _, name := range embedded() {
		w := get("/"+path.Base(name), "gzip")
		if name == "dist/rohrpost.js" {
			t.Logf("The core has %d bytes as it is served.", w.Body.Len())
			assert.Less(t, w.Body.Len(), 9000)
		}
		r, err := gzip.NewReader(w.Body)
		require.NoError(t, err)
		body, err := io.ReadAll(r)
		require.NoError(t, err)
		source, err := os.ReadFile(name)
		require.NoError(t, err)
		assert.Equal(t, string(source), string(body))
	}
}

func TestHandlerAllowsOrigins(t *testing.T) {
	get := func(h http.Handler) string {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/rohrpost.js", nil))
		return w.Header().Get("Access-Control-Allow-Origin")
	}
	assert.Empty(t, get(Handler()))
	assert.Equal(t, "*", get(Handler(AllowOrigin("*"))))
	assert.Equal(t, "https://pages.example", get(Handler(AllowOrigin("https://pages.example"))))
}
