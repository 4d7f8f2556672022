package rohrpost

import (
	"context"
	"reflect"
)

type silentKey struct{}

// silentFor is the context key of one silent type.
type silentFor struct{ model reflect.Type }

// Silent returns a context under which writes are not announced:
//
//	db.WithContext(rohrpost.Silent(ctx)).Create(&imported)
//
// It holds wherever the context goes: associations, hooks and goroutines
// included.
func Silent(ctx context.Context) context.Context {
	return context.WithValue(ctx, silentKey{}, true)
}

// SilentFor is Silent for the writes of one model, T or *T:
//
//	db.WithContext(rohrpost.SilentFor[Comment](ctx)).Create(&articleWithComments)
func SilentFor[T any](ctx context.Context) context.Context {
	t := reflect.TypeFor[T]()
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return context.WithValue(ctx, silentFor{t}, true)
}

func (m *model) isSilent(ctx context.Context) bool {
	return ctx != nil && (ctx.Value(silentKey{}) != nil || ctx.Value(m.silent) != nil)
}
