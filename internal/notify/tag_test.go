package notify

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/rohrpost/rohrpost/internal/capture"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm/schema"
)

type tagAuthor struct{ ID uint }

type tagModel struct {
	ID       uint
	Title    string
	BoardID  uint
	AuthorID uint
	Author   tagAuthor
}

// The options of a tag as regular expressions tell them, but for group and rows.
var tagOptions = regexp.MustCompile(`(?s)^(?:|(?:fields|payload):,*` + tagColumn + `(?:,+` + tagColumn + `)*,*|depends(?::(?:,*` + tagColumn + `(?:,+` + tagColumn + `)*)?,*)?|` +
	`preload:Author(?:\.[^,]*)?(?:,Author(?:\.[^,]*)?)*|(?:always_send|reread):(?:1|t|T|true|TRUE|True|0|f|F|false|FALSE|False))$`)

const tagColumn = `(?:id|title|board_id|author_id)`

// FuzzTag compares the parser with regular expressions: it accepts the same options. What
// it reads depends neither on the order of the options nor on empty ones.
func FuzzTag(f *testing.F) {
	for _, seed := range []string{
		"", ";", "group:board-{board_id}", "group:a-{pk}", "group:", "group", "group:{none}", "group:a:b", "fields:title,board_id", "fields:", "fields:,title,,", "fields:none", "depends", "depends:", "depends:title",
		"preload:Author", "preload:Author.Team,Author", "preload:", "preload:Nobody", "payload:id,title;fields:title", "payload:title;fields:id", "payload:title;preload:Author", "payload:title;always_send:true",
		"rows:5", "rows:0", "rows:-1", "rows:+7", "rows:x", "rows:99999999999999999999", "always_send:false", "always_send:no", "reread:true;reread:false", "unknown:1", "group:a;rows:2;group:b-{id}",
	} {
		f.Add(seed)
	}
	s, err := schema.Parse(&tagModel{}, &sync.Map{}, schema.NamingStrategy{})
	require.NoError(f, err)
	table := capture.NewTable(nil, s)
	f.Fuzz(func(t *testing.T, text string) {
		options := strings.Split(text, ";")
		keys := map[string]int{}
		known := true
		for _, option := range options {
			key, value, _ := strings.Cut(option, ":")
			keys[key]++
			switch key {
			case "group":
				var g groupTemplate
				known = known && g.parse(value, table) == nil
			case "rows":
				n, err := strconv.Atoi(value)
				known = known && err == nil && n > 0
			default:
				known = known && tagOptions.MatchString(option)
			}
		}
		got, err := parseTag(text, table)
		if err != nil && known {
			assert.NotZero(t, keys["payload"], "only options of payload exclude others: %v", err)
			return
		}
		require.Equal(t, known, err == nil, "%q: %v", text, err)
		if err != nil {
			return
		}
		again, err := parseTag(text+";;"+text, table)
		require.NoError(t, err)
		assert.Equal(t, got, again)
		for key, n := range keys {
			if key != "" && n > 1 {
				return // the last one counts
			}
		}
		slices.Reverse(options)
		reversed, err := parseTag(strings.Join(options, ";"), table)
		require.NoError(t, err)
		assert.Equal(t, got, reversed)
	})
}
