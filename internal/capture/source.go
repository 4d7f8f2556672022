package capture

import (
	"context"

	"gorm.io/gorm"
)

type sourceKey struct{}

// ReadFromSource returns a context under which a resolver of several databases reads from
// the source. A replica may lag behind a position that was taken at the source.
func ReadFromSource(ctx context.Context) context.Context {
	return context.WithValue(ctx, sourceKey{}, true)
}

// processor has the callbacks of one kind of statement.
type processor interface {
	Get(name string) func(*gorm.DB)
}

// chooseSource returns a callback that makes the setting of dbresolver.Write, and lets
// gorm.io/plugin/dbresolver choose the database again.
func chooseSource(of processor) func(*gorm.DB) {
	return func(db *gorm.DB) {
		if ctx := db.Statement.Context; ctx == nil || ctx.Value(sourceKey{}) == nil {
			return
		}
		if choose := of.Get("gorm:db_resolver"); choose != nil {
			db.Statement.Settings.Store("gorm:db_resolver:write", struct{}{})
			choose(db)
		}
	}
}
