package wire

import (
	"encoding/json"
	"fmt"
)

// Request is one message from a client, split into its top-level fields. The
// fields are byte for byte as they came.
type Request struct {
	ID     json.RawMessage // nil if the frame has no usable one
	Type   json.RawMessage
	Name   string // Type, decoded
	Data   json.RawMessage
	Fields map[string]json.RawMessage // all other top-level fields
}

// Field returns a top-level field, nil if the request does not have it.
func (r *Request) Field(name string) json.RawMessage {
	switch name {
	case "id":
		return r.ID
	case "type":
		return r.Type
	case "data":
		return r.Data
	}
	return r.Fields[name]
}

// DecodeRequest reads one text frame, which must be valid UTF-8 and nest at most
// maxDepth levels; a negative maxDepth means any. The text of an error is meant for the
// client; the request then has the ID for the reply.
func DecodeRequest(frame []byte, maxDepth int) (r Request, err error) {
	object, err := decodeObject(frame, maxDepth)
	if err != nil {
		r.ID = object.id()
		return r, err
	}
	duplicate, twice := r.take(object)
	if twice && duplicate == "id" {
		r.ID = nil
	}
	idText := "Missing required field 'id'."
	if r.ID != nil {
		if idText = idProblem(r.ID); idText != "" {
			r.ID = nil
		}
	}
	switch {
	case twice:
		return r, refusal("Duplicate field '%s'.", SafeName(duplicate))
	case r.Type == nil:
		return r, refusal("Missing required field 'type'.")
	case r.Type[0] != '"':
		return r, refusal("Field 'type' must be a string.")
	case idText != "":
		return r, refusal("%s", idText)
	}
	r.Name = Unquote(r.Type)
	return r, nil
}

// object is a JSON object, or nil.
type object []byte

// decodeObject returns the JSON object that is the frame, also with an error if it is
// one that nests too deep.
func decodeObject(frame []byte, maxDepth int) (object, error) {
	const prefix = "Could not decode JSON message. Error: "
	if len(frame) == 0 {
		return nil, refusal("Received empty message.")
	}
	deep := tooDeep(frame, maxDepth)
	valid := json.Valid(frame) // it does not recurse
	isObject := valid && trimSpace(frame)[0] == '{'
	switch {
	case deep && isObject:
		return trimSpace(frame), refusal(prefix+"nested deeper than %d levels.", maxDepth)
	case deep:
		return nil, refusal(prefix+"nested deeper than %d levels.", maxDepth)
	case !valid:
		return nil, refusal(prefix+"%w", json.Unmarshal(frame, new(json.RawMessage)))
	case !isObject:
		return nil, refusal("Expected a JSON object as message.")
	}
	return trimSpace(frame), nil
}

// id returns the id of an object that is not taken, nil if it has no usable one.
func (o object) id() json.RawMessage {
	if o == nil {
		return nil
	}
	var r Request
	if duplicate, twice := r.take(o); r.ID == nil || twice && duplicate == "id" || idProblem(r.ID) != "" {
		return nil
	}
	return r.ID
}

// take sorts the fields of an object into r. It returns the first name that occurs
// twice, however the client has escaped it; "id" goes before all others, since it
// decides which request is answered. Two programs may read two different requests
// from such a frame, so the hub refuses it.
func (r *Request) take(o object) (duplicate string, twice bool) {
	for key, value := range Pairs(o) {
		name := Unquote(key)
		if r.Field(name) != nil {
			if !twice || name == "id" {
				duplicate, twice = name, true
			}
			continue
		}
		switch name {
		case "id":
			r.ID = value
		case "type":
			r.Type = value
		case "data":
			r.Data = value
		default:
			if r.Fields == nil {
				r.Fields = make(map[string]json.RawMessage)
			}
			r.Fields[name] = value
		}
	}
	return duplicate, twice
}

// refusal returns an error with a text for the client.
func refusal(format string, args ...any) error { return fmt.Errorf(format, args...) }
