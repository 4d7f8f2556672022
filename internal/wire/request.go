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
	var few [8]Field // most requests need no memory for more
	fields, err := decodeObject(frame, maxDepth, few[:0])
	if err != nil {
		r.ID = idOf(fields)
		return r, err
	}
	duplicate, twice := r.take(fields)
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

const notDecoded = "Could not decode JSON message. Error: "

// decodeObject returns the fields of the JSON object that is the frame. With an error it
// returns the fields of an object that nests too deep.
func decodeObject(frame []byte, maxDepth int, few []Field) ([]Field, error) {
	if len(frame) == 0 {
		return nil, refusal("Received empty message.")
	}
	if maxDepth < 0 || maxDepth > maxLevels {
		return decodeDeep(frame, maxDepth)
	}
	switch fields, found := splitObject(frame, maxDepth, few); found {
	case isObject:
		return fields, nil
	case isOther:
		return nil, refusal("Expected a JSON object as message.")
	case isWide:
		return nil, refusal(notDecoded+"more than %d fields.", MaxFields)
	case isInvalid:
		if !tooDeep(frame, maxDepth) {
			return nil, refusal(notDecoded+"%w", json.Unmarshal(frame, new(json.RawMessage)))
		}
	}
	return decodeDeep(frame, maxDepth)
}

// decodeDeep is decodeObject for any depth.
func decodeDeep(frame []byte, maxDepth int) (fields []Field, err error) {
	valid := json.Valid(frame) // it does not recurse
	if valid && trimSpace(frame)[0] == '{' {
		for key, value := range Pairs(trimSpace(frame)) {
			if len(fields) == MaxFields {
				return nil, refusal(notDecoded+"more than %d fields.", MaxFields)
			}
			fields = append(fields, Field{key, value})
		}
	}
	switch {
	case tooDeep(frame, maxDepth):
		return fields, refusal(notDecoded+"nested deeper than %d levels.", maxDepth)
	case !valid:
		return nil, refusal(notDecoded+"%w", json.Unmarshal(frame, new(json.RawMessage)))
	case trimSpace(frame)[0] != '{':
		return nil, refusal("Expected a JSON object as message.")
	}
	return fields, nil
}

// idOf returns the id in the fields of a request, nil if it has no usable one.
func idOf(fields []Field) json.RawMessage {
	var r Request
	if duplicate, twice := r.take(fields); r.ID == nil || twice && duplicate == "id" || idProblem(r.ID) != "" {
		return nil
	}
	return r.ID
}

// take sorts the fields of an object into r. It returns the first name that occurs
// twice, however the client has escaped it; "id" goes before all others, since it
// decides which request is answered. Two programs may read two different requests
// from such a frame, so the hub refuses it.
func (r *Request) take(fields []Field) (duplicate string, twice bool) {
	for _, f := range fields {
		name, value := Unquote(f.Key), f.Value
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
