package notify

import (
	"context"
	"reflect"
)

type withoutKey struct{}

// withoutKeyFor is the context key for one model.
type withoutKeyFor struct{ model reflect.Type }

// Without returns a context under which writes are not announced.
func Without(ctx context.Context) context.Context {
	return context.WithValue(ctx, withoutKey{}, true)
}

// WithoutFor is Without for the writes of one model.
func WithoutFor(ctx context.Context, model reflect.Type) context.Context {
	return context.WithValue(ctx, withoutKeyFor{model}, true)
}

// isWithout reports whether the context is of Without, or has the key of WithoutFor.
func isWithout(ctx context.Context, key any) bool {
	return ctx != nil && (ctx.Value(withoutKey{}) != nil || ctx.Value(key) != nil)
}
