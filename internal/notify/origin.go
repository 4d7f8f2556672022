package notify

import "context"

// originKey is the context key of the origin of changes.
type originKey struct{}

// WithOrigin returns a context whose changes have an origin.
func WithOrigin(ctx context.Context, origin string) context.Context {
	return context.WithValue(ctx, originKey{}, origin)
}

// OriginOf returns the origin of the changes of a context, "" for none.
func OriginOf(ctx context.Context) string {
	if ctx == nil {
		return ""
	}
	origin, _ := ctx.Value(originKey{}).(string)
	return origin
}

// IsOriginKey reports whether a context is asked for its origin.
func IsOriginKey(key any) bool { return key == originKey{} }
