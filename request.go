package rohrpost

import (
	"context"
	"encoding/json"
	"sync/atomic"
)

// Request is one message from the other end of a connection. It may be kept
// after the handler has returned; its fields must not be changed.
type Request struct {
	// ID is a string, a number or a boolean, byte for byte as it came.
	ID json.RawMessage

	// Type is the name of the handler that was asked for.
	Type string

	// Data is the field "data" as it came: valid JSON, nested at most 32 levels
	// deep, or nil when the field is absent.
	Data json.RawMessage

	rawType  json.RawMessage            // the type as it came, for the reply
	fields   map[string]json.RawMessage // all other top-level fields
	answered atomic.Bool
	done     chan struct{} // closed by the answer
}

type requestKey struct{}

// RequestFrom returns the subscribe request for which a function given to Hub.Allow or
// Hub.State is called, nil for any other context. A token in the request is its
// Field("auth_jwt"): who checks it there needs no Config.Authenticate.
func RequestFrom(ctx context.Context) *Request {
	r, _ := ctx.Value(requestKey{}).(*Request)
	return r
}

// Bind decodes Data into v, as json.Unmarshal does. Its error is an *Error: a
// handler can return it as it is. Absent data is an error too.
func (r *Request) Bind(v any) error {
	if r.Data == nil {
		return Errorf("Missing required field 'data'.")
	}
	if err := json.Unmarshal(r.Data, v); err != nil {
		return Errorf("Could not decode field 'data'. Error: %w", err)
	}
	return nil
}

// Field returns a top-level field of the request as it came, such as
// r.Field("auth_jwt"), or nil when there is none.
func (r *Request) Field(name string) json.RawMessage {
	switch name {
	case "id":
		return r.ID
	case "type":
		return r.rawType
	case "data":
		return r.Data
	}
	return r.fields[name]
}

// answer claims the one reply of r. The first one gets it.
func (r *Request) answer() bool {
	if !r.answered.CompareAndSwap(false, true) {
		return false
	}
	if r.done != nil {
		close(r.done)
	}
	return true
}

// echo returns the type of r for a reply.
func (r *Request) echo() json.RawMessage {
	if r.rawType == nil {
		return encodeString(r.Type)
	}
	return r.rawType
}
