package rohrposttest_test

import (
	"testing"

	"github.com/rohrpost/rohrpost"
	"github.com/rohrpost/rohrpost/rohrposttest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A failed assertion describes the expected change and the sent changes.
func TestReports(t *testing.T) {
	db, _ := open(t)
	rec := rohrposttest.Record(t, db)
	assert.Equal(t, "not sent: create to article-1\nno change was sent\n",
		failing(t, func(t testing.TB) { rec.AssertSent(t, "article-1", rohrpost.Create) }))

	require.NoError(t, db.Create(&[]article{{Title: "One"}, {Title: "Two"}}).Error)
	require.NoError(t, rohrpost.Notify(db, rohrpost.Change{Group: "board-7", Type: rohrpost.Update, Object: map[string]any{"n": 1, "s": "x"}, UpdatedFields: []string{"s"}}))
	require.NoError(t, rohrpost.Notify(db, rohrpost.Change{Group: "board-7", Type: rohrpost.Update, Object: []int{1}, UpdatedFields: []string{"s"}}))

	for _, test := range []struct {
		name   string
		assert func(t testing.TB)
		want   string
	}{
		{"a different row", func(t testing.TB) { rec.AssertSent(t, "article-3", rohrpost.Create) }, `not sent: create to article-3
sent changes, most similar first:
  1. create to article-1: {"id":1}
       - group is article-1
  2. create to article-2: {"id":2}
       - group is article-2
  3. update to board-7: {"n":1,"s":"x"} (updated fields: s)
       - group is board-7
       - type is update
  4. update to board-7: [1] (updated fields: s)
       - group is board-7
       - type is update

`},
		{"a different object", func(t testing.TB) {
			rec.AssertSent(t, "board-7", rohrpost.Update, rohrposttest.Has("n", 2), rohrposttest.Has("s", "x"), rohrposttest.Has("z", nil),
				rohrposttest.UpdatedFields("s", "n"), rohrposttest.Where("small", func(rohrpost.Change) bool { return false }))
		}, `not sent: update to board-7
     object.n is 2
     object.s is "x"
     object.z is null
     updated fields are s, n
     small
sent changes, most similar first:
  1. update to board-7: {"n":1,"s":"x"} (updated fields: s)
       - object.n is 1
       - object has no z
       - updated fields are s
       - not: small
  2. update to board-7: [1] (updated fields: s)
       - object has no n
       - object has no s
       - object has no z
       - updated fields are s
       - not: small
  3. create to article-1: {"id":1}
       - group is article-1
       - type is create
  4. create to article-2: {"id":2}
       - group is article-2
       - type is create

`},
		{"a different number of changes", func(t testing.TB) {
			rec.AssertSent(t, "board-7", rohrpost.Update, rohrposttest.Times(1))
		}, `sent 2 times: update to board-7
     number of changes is 1
sent changes, most similar first:
  1. update to board-7: {"n":1,"s":"x"} (updated fields: s)
  2. update to board-7: [1] (updated fields: s)
  3. create to article-1: {"id":1}
       - group is article-1
       - type is create
  4. create to article-2: {"id":2}
       - group is article-2
       - type is create

`},
		{"an unexpected change", func(t testing.TB) { rec.AssertNothing(t, "board-7") }, `nothing was to be sent, but this was:
  1. update to board-7: {"n":1,"s":"x"} (updated fields: s)
  2. update to board-7: [1] (updated fields: s)

`},
	} {
		t.Run(test.name, func(t *testing.T) { assert.Equal(t, test.want, failing(t, test.assert)) })
	}

	rec.Reset()
	many := make([]article, 30)
	require.NoError(t, db.Create(&many).Error)
	assert.Contains(t, failing(t, func(t testing.TB) { rec.AssertNothing(t) }), "10. create to article-12: {\"id\":12}\n  … and 20 more\n")
}

func TestMatchers(t *testing.T) {
	big := rohrpost.Change{Group: "g", Type: rohrpost.Create, Object: map[string]any{"id": uint64(1<<63 + 1), "list": []string{"a"}}}
	db, _ := open(t)
	rec := rohrposttest.Record(t, db)
	require.NoError(t, rohrpost.Notify(db, big))
	rec.AssertSent(t, "g", rohrpost.Create, rohrposttest.Has("id", uint64(1<<63+1)), rohrposttest.Has("list", [1]string{"a"}), rohrposttest.UpdatedFields())
	rec.AssertSent(t, "g", rohrpost.Create, rohrposttest.Object(struct {
		ID   uint64   `json:"id"`
		List []string `json:"list"`
	}{1<<63 + 1, []string{"a"}}))
	for name, matcher := range map[string]rohrposttest.Matcher{
		"different digit": rohrposttest.Has("id", uint64(1<<63+2)),
		"not JSON":        rohrposttest.Has("id", func() {}),
		"partial object":  rohrposttest.Object(map[string]any{"list": []string{"a"}}),
		"field":           rohrposttest.UpdatedFields("id"),
	} {
		t.Run(name, func(t *testing.T) {
			assert.Contains(t, failing(t, func(t testing.TB) { rec.AssertSent(t, "g", rohrpost.Create, matcher) }), "not sent: create to g")
		})
	}
}
