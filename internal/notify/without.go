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

// isWithout reports whether the model's writes are not announced under the context.
func (m *model) isWithout(ctx context.Context) bool {
	return ctx != nil && (ctx.Value(withoutKey{}) != nil || ctx.Value(m.without) != nil)
}
