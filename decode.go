package rohrpost

import "encoding/json"

// decodeRequest reads one text frame, which must be valid UTF-8. The request is
// never nil: with an error, which is always an *Error, it has the ID for the
// reply, or none if the frame has no usable one.
func decodeRequest(frame []byte) (*Request, error) {
	r := &Request{}
	object, err := decodeObject(frame)
	if err != nil {
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
		return r, Errorf("Duplicate field '%s'.", safeName(duplicate))
	case r.rawType == nil:
		return r, Errorf("Missing required field 'type'.")
	case r.rawType[0] != '"':
		return r, Errorf("Field 'type' must be a string.")
	case idText != "":
		return r, Errorf("%s", idText)
	}
	r.Type, r.id = unquote(r.rawType), r.ID
	return r, nil
}

// decodeObject returns the JSON object that is the frame.
func decodeObject(frame []byte) (json.RawMessage, error) {
	const prefix = "Could not decode JSON message. Error: "
	if len(frame) == 0 {
		return nil, Errorf("Received empty message.")
	}
	if tooDeep(frame) {
		return nil, Errorf(prefix+"nested deeper than %d levels.", maxDepth)
	}
	if !json.Valid(frame) {
		return nil, Errorf(prefix+"%w", json.Unmarshal(frame, new(json.RawMessage)))
	}
	if frame = trimSpace(frame); frame[0] != '{' {
		return nil, Errorf("Expected a JSON object as message.")
	}
	return frame, nil
}

// take sorts the fields of object into r and returns the first name that comes
// twice, however it is escaped, and whether there is one; "id" goes before all
// others, since it decides who is answered. Two programs that read such a frame
// may read two different requests, so nobody should.
func (r *Request) take(object json.RawMessage) (duplicate string, twice bool) {
	for key, value := range pairs(object) {
		name := unquote(key)
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
			r.rawType = value
		case "data":
			r.Data = value
		default:
			if r.fields == nil {
				r.fields = make(map[string]json.RawMessage)
			}
			r.fields[name] = value
		}
	}
	return duplicate, twice
}
