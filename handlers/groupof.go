package handlers

import (
	"bytes"
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

// fieldsOf splits a JSON object. A key that occurs twice is an error.
func fieldsOf(data json.RawMessage) (map[string]json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	fields := make(map[string]json.RawMessage)
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("reading a key: %w", err)
		}
		key, _ := t.(string)
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, fmt.Errorf("reading %q: %w", key, err)
		}
		if _, twice := fields[key]; twice {
			return nil, fmt.Errorf("duplicate field %q", key)
		}
		fields[key] = value
	}
	return fields, nil
}
