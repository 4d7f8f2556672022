package handlers

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/rohrpost/rohrpost/internal/wire"
)

// GroupOf maps {"type": "collection", "id": 52} to "collection-52", and
// {"group": "collection-52"} to the name as it is. It ignores other keys. The id is a
// string or an integer. Bytes of it that no group name can have, and "~", are escaped, as
// rohrpost.FormatGroup escapes them for "collection-{id}". Keys must match exactly and
// occur once: encoding/json alone would take "GROUP" for "group" and the last of two, and
// so could read another group than a program that checked the data before.
func GroupOf(data json.RawMessage) (string, error) {
	fields, err := fieldsOf(data)
	if err != nil {
		return "", err
	}
	if fields["type"] != nil && fields["id"] != nil {
		return typeAndID(fields["type"], fields["id"])
	}
	name, err := text(fields["group"])
	if err != nil {
		return "", fmt.Errorf("field 'group': %w", err)
	}
	return name, nil
}

func typeAndID(typ, id json.RawMessage) (string, error) {
	name, err := text(typ)
	if err != nil {
		return "", fmt.Errorf("field 'type': %w", err)
	}
	if id[0] != '"' {
		if strings.Trim(string(id), "-0123456789") != "" {
			return "", errors.New("field 'id': neither a string nor an integer")
		}
		return name + "-" + string(id), nil
	}
	key, err := text(id)
	if err != nil {
		return "", fmt.Errorf("field 'id': %w", err)
	}
	return string(wire.AppendEscaped([]byte(name+"-"), key)), nil
}

// text decodes a JSON string, which must not be empty.
func text(raw json.RawMessage) (string, error) {
	if len(raw) == 0 || raw[0] != '"' {
		return "", errors.New("not a string")
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", err
	}
	if s == "" {
		return "", errors.New("empty")
	}
	return s, nil
}

// fieldsOf splits a JSON object. A key that occurs twice is an error, and so are more than
// 64 keys.
func fieldsOf(data json.RawMessage) (map[string]json.RawMessage, error) {
	all, ok := wire.SplitObject(data)
	if !ok {
		return nil, fmt.Errorf("not a JSON object with at most %d keys", wire.MaxFields)
	}
	fields := make(map[string]json.RawMessage, len(all))
	for _, f := range all {
		key := wire.Unquote(f.Key)
		if _, twice := fields[key]; twice {
			return nil, fmt.Errorf("duplicate field %q", key)
		}
		fields[key] = f.Value
	}
	return fields, nil
}
