package rohrpost_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/rohrposttest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
)

// origins returns type and origin of what was published since the last call.
func (r *recorder) origins() []string {
	lines := []string{}
	for _, c := range r.Published() {
		lines = append(lines, strings.TrimSpace(c.Type+" "+c.Origin))
	}
	r.Reset()
	return lines
}

// A change has the origin of the context of its statement, however it is written.
func TestOriginsOfWrites(t *testing.T) {
	ctx := t.Context()
	a, b, silent := rohrpost.WithOrigin(ctx, "a"), rohrpost.WithOrigin(ctx, "b"), rohrpost.WithOriginSkipped(ctx, "a")
	for name, test := range map[string]struct {
		run  func(db *gorm.DB) error
		want []string
		net  []string // with PluginConfig.NetEffect; nil: the same
	}{
		"no origin": {func(db *gorm.DB) error { return db.Create(&task{}).Error }, []string{"create"}, nil},
		"one statement": {
			func(db *gorm.DB) error { return db.WithContext(a).Create(&[]task{{}, {}}).Error },
			[]string{"create a", "create a"},
			nil,
		},
		"skipped": {func(db *gorm.DB) error { return db.WithContext(silent).Create(&task{}).Error }, []string{"create !a"}, nil},
		"a transaction": {func(db *gorm.DB) error {
			return db.WithContext(a).Transaction(func(tx *gorm.DB) error {
				return all(tx.Create(&task{ID: 9}), tx.Model(&task{ID: 1}).Update("title", "x"), tx.Delete(&task{ID: 2}))
			})
		}, []string{"create a", "update a", "delete a"}, nil},
		"statements of several pages": {func(db *gorm.DB) error {
			return db.Transaction(func(tx *gorm.DB) error {
				return all(tx.WithContext(a).Create(&task{ID: 9}), tx.WithContext(b).Model(&task{ID: 9}).Update("title", "x"), tx.Model(&task{ID: 9}).Update("title", "y"))
			})
		}, []string{"create a", "update b", "update"}, []string{"create"}},
		"one page, twice": {func(db *gorm.DB) error {
			return db.WithContext(a).Transaction(func(tx *gorm.DB) error {
				return all(tx.Model(&task{ID: 1}).Update("title", "x"), tx.Model(&task{ID: 1}).Update("done", true))
			})
		}, []string{"update a", "update a"}, []string{"update a"}},
		"one page, told and skipped": {func(db *gorm.DB) error {
			return db.Transaction(func(tx *gorm.DB) error {
				return all(tx.WithContext(a).Model(&task{ID: 1}).Update("title", "x"), tx.WithContext(silent).Model(&task{ID: 1}).Update("done", true))
			})
		}, []string{"update a", "update !a"}, []string{"update a"}},
		"two pages, both skipped": {func(db *gorm.DB) error {
			return db.Transaction(func(tx *gorm.DB) error {
				return all(tx.WithContext(silent).Model(&task{ID: 1}).Update("title", "x"),
					tx.WithContext(rohrpost.WithOriginSkipped(ctx, "b")).Model(&task{ID: 1}).Update("done", true))
			})
		}, []string{"update !a", "update !b"}, []string{"update"}},
		"a savepoint takes the other page back": {func(db *gorm.DB) error {
			return db.WithContext(a).Transaction(func(tx *gorm.DB) error {
				_ = tx.Model(&task{ID: 1}).Update("title", "x")
				_ = tx.Transaction(func(tx *gorm.DB) error {
					return all(tx.WithContext(b).Model(&task{ID: 1}).Update("title", "y"), errWanted)
				})
				return nil
			})
		}, []string{"update a"}, nil},
		"Notify": {func(db *gorm.DB) error {
			return db.WithContext(a).Transaction(func(tx *gorm.DB) error {
				return rohrpost.Notify(tx, rohrpost.Change{Group: "g", Type: "hint"}, rohrpost.Change{Group: "g", Type: "hint", Origin: "b"},
					rohrpost.Change{Group: "g", Type: rohrpost.Resync})
			})
		}, []string{"hint a", "hint b", "resync"}, nil},
		"several rows of a group": {func(db *gorm.DB) error {
			return db.WithContext(a).Create(&[]ticket{{ID: 11, BoardID: 1}, {ID: 12, BoardID: 1}, {ID: 13, BoardID: 1}}).Error
		}, []string{"create a", "create a", "create a"}, nil},
		"a malformed id": {func(db *gorm.DB) error {
			return db.WithContext(rohrpost.WithOrigin(a, "a b")).Create(&task{}).Error
		}, []string{"create"}, nil},
	} {
		for _, net := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", net effect ", net), func(t *testing.T) {
				db, rec := openConfigured(t, rohrpost.PluginConfig{NetEffect: net})
				require.NoError(t, db.Create(&[]task{{Title: "a"}, {Title: "b"}}).Error)
				rec.Reset()
				require.NoError(t, test.run(db))
				want := test.want
				if net && test.net != nil {
					want = test.net
				}
				assert.Equal(t, want, rec.origins())
			})
		}
	}
}

// A group gets one resync for many rows. It has no origin: the page must load it too.
func TestResyncHasNoOrigin(t *testing.T) {
	db, rec := openDB(t, gorm.Config{}, &step{})
	steps := make([]step, 4)
	for i := range steps {
		steps[i].BoardID = 1
	}
	require.NoError(t, db.WithContext(rohrpost.WithOrigin(t.Context(), "a")).Create(&steps).Error)
	assert.Equal(t, []string{"resync"}, rec.origins())
}

func TestMalformedOriginOfAChange(t *testing.T) {
	hub := rohrpost.NewHub(rohrpost.Config{})
	for _, origin := range []string{"a b", "!", "!a b", "!!a", "a~2D", "a.b", strings.Repeat("a", 65)} {
		assert.ErrorContains(t, hub.Publish(t.Context(), rohrpost.Change{Group: "g", Type: "hint", Origin: origin}), "origin", origin)
	}
	for _, origin := range []string{"a", "!a", "A-z_0", strings.Repeat("a", 64)} {
		assert.NoError(t, hub.Publish(t.Context(), rohrpost.Change{Group: "g", Type: "hint", Origin: origin}))
	}
}

func TestMarkOrigin(t *testing.T) {
	for id, want := range map[string]string{"k3j2": "k3j2", "": "", "a b": "", "!k3j2": "", strings.Repeat("x", 65): ""} {
		var got string
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.Header.Set(rohrpost.PageHeader, id)
		rohrpost.MarkOrigin(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = rohrpost.OriginFromContext(r.Context()) })).
			ServeHTTP(httptest.NewRecorder(), r)
		assert.Equal(t, want, got, id)
	}
	assert.Equal(t, "a", rohrpost.OriginFromContext(rohrpost.WithOriginSkipped(t.Context(), "a")))
	assert.Empty(t, rohrpost.OriginFromContext(context.Background()))
}

// What a handler writes is a change of the page that has asked for it, also under a context
// that is derived from its own, and after Later.
func TestOriginOfHandlers(t *testing.T) {
	db, rec := openDB(t, gorm.Config{})
	rec.hub.Handle("create", func(ctx context.Context, _ *rohrpost.Conn, _ *rohrpost.Request) (any, error) {
		derived, cancel := context.WithCancel(ctx)
		defer cancel()
		return rohrpost.OriginFromContext(ctx), db.WithContext(derived).Create(&task{}).Error
	})
	conn := rohrposttest.Dial(t, rec.hub, rohrpost.Identity{})
	assert.Equal(t, `""`, string(conn.Call("create", nil).Data), "no hello")
	conn.Call("rohrpost:hello", map[string]any{"version": 1, "page": "not a page"})
	assert.Equal(t, `""`, string(conn.Call("create", nil).Data), "a malformed id")
	conn.Call("rohrpost:hello", map[string]any{"version": 1, "page": "k3j2"})
	assert.Equal(t, `"k3j2"`, string(conn.Call("create", nil).Data))
	assert.Equal(t, []string{"create", "create", "create k3j2"}, rec.origins())
}

// A client without hello cannot be told what to drop: it gets the message.
func TestSendToOthersWithoutHello(t *testing.T) {
	hub := rohrpost.NewHub(rohrpost.Config{})
	hub.Allow("g", rohrpost.Anyone)
	hub.Handle("say", func(_ context.Context, c *rohrpost.Conn, _ *rohrpost.Request) (any, error) {
		assert.Error(t, c.SendToOthers("a group", rohrpost.Message{Type: "hint"}))
		assert.Error(t, c.SendToOthers("g", rohrpost.Message{}))
		return nil, c.SendToOthers("g", rohrpost.Message{Type: "hint"})
	})
	conn := rohrposttest.Dial(t, hub, rohrpost.Identity{})
	conn.Subscribe("g")
	conn.Call("say", nil)
	assert.Regexp(t, `"type":"hint"`, conn.ExpectMessage("hint").String())
}
