package writetest

import (
	"testing"

	"github.com/rohrpost/rohrpost"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
)

// tableCase is a write to a table that differs from what its model says.
type tableCase struct {
	name   string
	tables func(Engine) []string
	fill   func(db *gorm.DB) error // before the plugin looks
	run    func(db *gorm.DB) error
	want   []string

	only   string
	differ map[string][]string
}

// Tables writes to tables that differ from their models, alone and in a transaction.
func Tables(t *testing.T, e Engine) {
	for mode, config := range modes {
		for _, c := range tableCases {
			w := write{only: c.only, want: c.want, differ: c.differ}
			if !w.on(e) {
				continue
			}
			t.Run(c.name+"/"+mode, func(t *testing.T) {
				for _, inTransaction := range []bool{false, true} {
					b := &bench{hub: rohrpost.NewHub(rohrpost.Config{}), logs: &syncBuilder{}, db: e.Open(t, config)}
					b.use(t, rohrpost.PluginConfig{})
					for _, statement := range c.tables(e) {
						require.NoError(t, b.db.Exec(statement).Error, statement)
					}
					if c.fill != nil {
						require.NoError(t, c.fill(b.withoutNotify()))
					}
					if inTransaction {
						require.NoError(t, b.db.Transaction(c.run))
					} else {
						require.NoError(t, c.run(b.db))
					}
					w.assert(t, e, b.take())
					assert.Empty(t, b.logs.String())
				}
			})
		}
	}
}
