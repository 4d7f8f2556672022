package rohrpost_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/internal/sqlitetest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
)

var viewCommits = flag.Int("view-commits", 60, "commits of the test that compares pages of views with the database")

// paper shows everything to the view "staff", public rows without their costs to "guest",
// and nothing but keys to "audit".
type paper struct {
	rohrpost.NotifyOnChange `rohrpost:"group:papers-{shelf}"`
	ID                      uint
	Shelf                   int
	Title                   string
	Cost                    int
	Public                  bool
}

var papersAsked map[string]int // calls of PushNotificationDataTx by view

func (p paper) PushNotificationDataTx(_ *gorm.DB, q rohrpost.PayloadQuery) (any, error) {
	papersAsked[q.View]++
	return p.seenBy(q.View), nil
}

func (p paper) seenBy(view string) any {
	switch {
	case view == "audit":
		return map[string]any{"id": p.ID}
	case view == "guest" && p.Public:
		return map[string]any{"id": p.ID, "title": p.Title}
	case view == "guest":
		var hidden *paper
		return hidden // encodes to null
	}
	return map[string]any{"id": p.ID, "title": p.Title, "cost": p.Cost, "public": p.Public}
}

var paperViews = []string{"staff", "guest", "audit"}

func openPapers(t testing.TB, config rohrpost.PluginConfig) (*gorm.DB, *rohrpost.Hub) {
	papersAsked = map[string]int{}
	db := sqlitetest.Open(t, gorm.Config{})
	hub := rohrpost.NewHub(rohrpost.Config{})
	hub.AllowViews("papers-{shelf:int}", paperViews, func(ctx context.Context, _ *rohrpost.Conn, _ rohrpost.Params) (view string, err error) {
		return view, json.Unmarshal(rohrpost.RequestFromContext(ctx).Field("auth_jwt"), &view)
	})
	require.NoError(t, db.Use(rohrpost.Plugin(hub, config)))
	require.NoError(t, db.AutoMigrate(&paper{}))
	return db, hub
}

// viewPage is what a page shows that applies the changes of one view of two groups.
type viewPage struct {
	t       *testing.T
	view    string
	ws      *websocket.Conn
	items   map[int]map[string]string // by shelf and key
	offsets map[string]float64
}

func openViewPage(t *testing.T, url, view string) *viewPage {
	ws, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(url, "http"), nil)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, ws.Close()) })
	p := &viewPage{t: t, view: view, ws: ws, items: map[int]map[string]string{1: {}, 2: {}}, offsets: map[string]float64{}}
	for shelf := range p.items {
		p.send(`{"id":1,"type":"subscribe","auth_jwt":"` + view + `","data":{"group":"papers-` + fmt.Sprint(shelf) + `"}}`)
		_, text, err := ws.ReadMessage()
		require.NoError(t, err)
		require.Contains(t, string(text), `"group":"papers-`)
	}
	return p
}

func (p *viewPage) send(text string) {
	require.NoError(p.t, p.ws.WriteMessage(websocket.TextMessage, []byte(text)))
}

// catchUp applies what has been published before.
func (p *viewPage) catchUp(truth map[int]map[string]string) {
	p.send(`{"id":2,"type":"ping"}`)
	for {
		_, text, err := p.ws.ReadMessage()
		require.NoError(p.t, err)
		var m struct {
			Type string
			Data struct {
				Type, Group string
				Object      map[string]any
				Offset      float64
			}
		}
		require.NoError(p.t, json.Unmarshal(text, &m))
		if m.Type == "pong" {
			return
		}
		assert.NotContains(p.t, string(text), "@")
		if p.view != "staff" {
			assert.NotContains(p.t, string(text), "cost", "neither the value nor the name of the column")
		}
		p.offsets[m.Data.Group]++
		assert.Equal(p.t, p.offsets[m.Data.Group], m.Data.Offset, "the offsets of a view are dense")
		var shelf int
		_, err = fmt.Sscanf(m.Data.Group, "papers-%d", &shelf)
		require.NoError(p.t, err)
		delete(m.Data.Object, "updated_fields")
		object, _ := json.Marshal(m.Data.Object)
		switch key := fmt.Sprint(m.Data.Object["id"]); m.Data.Type {
		case rohrpost.Resync:
			p.items[shelf] = truth[shelf]
		case rohrpost.Delete:
			delete(p.items[shelf], key)
		default:
			p.items[shelf][key] = string(object)
		}
	}
}

// shownBy returns what the pages of a view should show.
func shownBy(t *testing.T, db *gorm.DB, view string) map[int]map[string]string {
	var all []paper
	require.NoError(t, db.Find(&all).Error)
	shown := map[int]map[string]string{1: {}, 2: {}}
	for _, p := range all {
		if text, _ := json.Marshal(p.seenBy(view)); string(text) != "null" {
			var sorted map[string]any
			require.NoError(t, json.Unmarshal(text, &sorted))
			text, _ = json.Marshal(sorted)
			shown[p.Shelf][fmt.Sprint(p.ID)] = string(text)
		}
	}
	return shown
}

// TestPagesOfViews compares, after each of many random commits, what the pages of each view
// show with the database.
func TestPagesOfViews(t *testing.T) {
	for _, net := range []bool{false, true} {
		t.Run(fmt.Sprint("net effect ", net), func(t *testing.T) {
			db, hub := openPapers(t, rohrpost.PluginConfig{NetEffect: net})
			server := httptest.NewServer(hub)
			defer server.Close()
			var pages []*viewPage
			for _, view := range paperViews {
				pages = append(pages, openViewPage(t, server.URL, view), openViewPage(t, server.URL, view))
			}
			for seed := range uint64(*viewCommits) {
				r := rand.New(rand.NewPCG(seed, 7))
				err := db.Transaction(func(tx *gorm.DB) error { return writePapers(tx, r, 1+r.IntN(6)) })
				require.True(t, err == nil || errors.Is(err, errWanted), err)
				for _, p := range pages {
					truth := shownBy(t, db, p.view)
					p.catchUp(truth)
					require.Equal(t, truth, p.items, "%s after commit %d", p.view, seed)
				}
			}
		})
	}
}

// writePapers writes at random, and fails now and then.
func writePapers(tx *gorm.DB, r *rand.Rand, steps int) error {
	for range steps {
		id, db := 1+r.IntN(8), tx.Session(&gorm.Session{NewDB: true})
		switch r.IntN(9) {
		case 0, 1:
			_ = db.Clauses().Save(&paper{ID: uint(id), Shelf: 1 + r.IntN(2), Title: fmt.Sprint(r.IntN(9)), Cost: r.IntN(9), Public: r.IntN(2) == 0})
		case 2:
			_ = db.Model(&paper{ID: uint(id)}).Update("public", r.IntN(2) == 0)
		case 3:
			_ = db.Model(&paper{}).Where("id > ?", id).Updates(map[string]any{"public": r.IntN(2) == 0, "cost": r.IntN(9)})
		case 4:
			_ = db.Model(&paper{}).Where("cost > ?", r.IntN(9)).Update("title", fmt.Sprint(r.IntN(9)))
		case 5:
			_ = db.Delete(&paper{ID: uint(id)})
		case 6:
			_ = db.Model(&paper{ID: uint(id)}).Update("shelf", 1+r.IntN(2))
		case 7:
			_ = db.Transaction(func(inner *gorm.DB) error {
				if err := writePapers(inner, r, 2); err != nil || r.IntN(2) == 0 {
					return errWanted
				}
				return nil
			})
		default:
			if r.IntN(4) == 0 {
				return errWanted
			}
		}
	}
	return nil
}

// The method is asked once for each change and view, however many members a view has, and
// not for views without members.
func TestPayloadsOfViewsAreMadeOnce(t *testing.T) {
	db, hub := openPapers(t, rohrpost.PluginConfig{})
	server := httptest.NewServer(hub)
	defer server.Close()
	for range 5 {
		openViewPage(t, server.URL, "guest")
	}
	openViewPage(t, server.URL, "staff")
	require.NoError(t, db.Create(&paper{ID: 1, Shelf: 1, Public: true}).Error)
	require.NoError(t, db.Model(&paper{ID: 1}).Update("title", "x").Error)
	assert.Equal(t, map[string]int{"guest": 2, "staff": 2}, papersAsked)
}

// What a view gets of a row that it must not see.
func TestHiddenRows(t *testing.T) {
	for _, net := range []bool{false, true} {
		db, rec := openConfigured(t, rohrpost.PluginConfig{NetEffect: net}, &paper{})
		papersAsked = map[string]int{}
		rec.hub.AllowViews("papers-{shelf}", []string{"guest"}, func(context.Context, *rohrpost.Conn, rohrpost.Params) (string, error) { return "guest", nil })
		take := func(err error) []string {
			require.NoError(t, err)
			for _, c := range rec.Published() {
				assert.Equal(t, "guest", c.View)
			}
			return rec.take()
		}
		assert.Empty(t, take(db.Create(&paper{ID: 1, Shelf: 1}).Error), "a create is hidden")
		assert.Equal(t, []string{`create papers-1 {"id":2,"title":"a"}`}, take(db.Create(&paper{ID: 2, Shelf: 1, Title: "a", Public: true}).Error))
		assert.Equal(t, []string{`delete papers-1 {"id":2}`}, take(db.Model(&paper{ID: 2}).Update("public", false).Error))
		assert.Equal(t, []string{`update papers-1 {"id":2,"title":"a"}`}, take(db.Model(&paper{ID: 2}).Update("public", true).Error))
		assert.Equal(t, []string{`delete papers-1 {"id":1}`}, take(db.Delete(&paper{ID: 1}).Error), "a key, and nothing else")
		both := take(db.Transaction(func(tx *gorm.DB) error {
			return all(tx.Create(&paper{ID: 3, Shelf: 1}), tx.Model(&paper{ID: 3}).Updates(map[string]any{"public": true, "title": "c"}))
		}))
		if net {
			assert.Equal(t, []string{`create papers-1 {"id":3,"title":"c"}`}, both, "what was hidden counts for the net effect")
		} else {
			assert.Len(t, both, 1)
			assert.Contains(t, both[0], `update papers-1 {"id":3,"title":"c"}`)
		}
		assert.Zero(t, rec.hub.Stats().Skipped)
	}
}

// A model without PushNotificationDataTx gives every view the same.
func TestModelWithoutViews(t *testing.T) {
	db, rec := openDB(t, gorm.Config{})
	rec.hub.AllowViews("task-{id}", paperViews, func(context.Context, *rohrpost.Conn, rohrpost.Params) (string, error) { return "guest", nil })
	require.NoError(t, db.Create(&task{}).Error)
	assert.Empty(t, rec.Published()[0].View, "for all views")
	assert.Equal(t, []string{`create task-1 {"id":1}`}, rec.take())
}

// A view gets a resync in place of too many changes of its own.
func TestRowsOfViews(t *testing.T) {
	db, rec := openConfigured(t, rohrpost.PluginConfig{}, &paper{})
	papersAsked = map[string]int{}
	rec.hub.AllowViews("papers-{shelf}", paperViews, func(context.Context, *rohrpost.Conn, rohrpost.Params) (string, error) { return "guest", nil })
	papers := make([]paper, 101)
	for i := range papers {
		papers[i] = paper{ID: uint(i + 1), Shelf: 1, Public: i < 2}
	}
	require.NoError(t, db.Create(&papers).Error)
	var got []string
	for _, c := range rec.Published() {
		got = append(got, c.Type+" "+c.View)
	}
	assert.Equal(t, []string{"resync staff", "create guest", "resync audit", "create guest"}, got)
}
