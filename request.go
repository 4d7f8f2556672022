package rohrpost

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/rohrpost/rohrpost/internal/wire"
)

// Request is one message from a client. A handler may keep it after it has
// returned, and must not change its fields.
type Request struct {
	// ID is a string, a number or a boolean, byte for byte as it came.
	ID json.RawMessage

	// Type is the name of the handler that the client asks for.
	Type string

	// Data is the field "data" as it came: valid JSON, nested less than Limits.MaxDepth
	// levels deep, or nil where the field is absent.
	Data json.RawMessage

	id, rawType json.RawMessage            // as they came, for the reply; nil for a request that a program made
	fields      map[string]json.RawMessage // all other top-level fields
	raw         json.RawMessage            // the whole message; nil for a request that a program made

	mu       sync.Mutex // guards what follows
	answered bool
	done     chan struct{} // closed by the answer; nil: nothing waits for it
}

func newRequest(received wire.Request, raw []byte) *Request {
	return &Request{
		ID: received.ID, Type: received.Name, Data: received.Data,
		id: received.ID, rawType: received.Type, fields: received.Fields, raw: raw,
	}
}

type requestKey struct{}

// RequestFromContext returns the subscribe request for which the hub calls a function
// given to Hub.Allow or Hub.SnapshotFor. It returns nil for any other context, also for
// that of a function given to Hub.Snapshot, which serves several requests. A token
// in the request is its Field("auth_jwt"): a function that checks it there needs no
// Config.Authenticate.
func RequestFromContext(ctx context.Context) *Request {
	r, _ := ctx.Value(requestKey{}).(*Request)
	return r
}

// Bind decodes Data into v, as json.Unmarshal does. Its error is an *Error, which a
// handler can return as it is. Absent data is an error too.
func (r *Request) Bind(v any) error {
	if r.Data == nil {
		return codedError(wire.CodeMalformed, "Missing required field 'data'.")
	}
	if err := json.Unmarshal(r.Data, v); err != nil {
		return codedError(wire.CodeMalformed, "Could not decode field 'data'. Error: %w", err)
	}
	return nil
}

// Field returns a top-level field of the request as it came, such as
// r.Field("auth_jwt"), or nil where the request does not have it.
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

// Raw returns the whole message as it came, with the fields that Field returns. It must
// not be changed. It is nil for a Request that a program made.
func (r *Request) Raw() json.RawMessage { return r.raw }

// claim claims the one reply of r. Only the first call gets it.
func (r *Request) claim() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.answered {
		return false
	}
	r.answered = true
	if r.done != nil {
		close(r.done)
	}
	return true
}

func (r *Request) isAnswered() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.answered
}

// replied returns a channel that the answer closes.
func (r *Request) replied() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done == nil {
		r.done = make(chan struct{})
		if r.answered {
			close(r.done)
		}
	}
	return r.done
}

// replyID returns the id of the reply. It is byte for byte that of a client's
// request.
func (r *Request) replyID() (json.RawMessage, error) {
	if r.id != nil {
		return r.id, nil
	}
	return wire.EncodeID(r.ID)
}

// replyType returns the type of the reply.
func (r *Request) replyType() json.RawMessage {
	if r.rawType != nil {
		return r.rawType
	}
	return wire.EncodeString(r.Type)
}
