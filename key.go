package rohrpost

import (
	"cmp"
	"context"
	"database/sql/driver"
	"encoding"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"gorm.io/gorm/schema"
)

// rowKey is a row's primary key as group names carry it and as JSON. The parts
// of a composite key are joined by ":" there and an array here.
type rowKey struct {
	text, json string
	parts      *[]rowKey // of a composite key
}

var errNoKey = errors.New("the row has no primary key")

// keyOf reads the primary key of a row. A part that is null or of a type that
// no group name can carry is an error.
func keyOf(ctx context.Context, s *schema.Schema, row reflect.Value) (rowKey, error) {
	if len(s.PrimaryFields) == 0 {
		return rowKey{}, errNoKey
	}
	var key rowKey
	if len(s.PrimaryFields) > 1 {
		key.parts = new([]rowKey)
	}
	for i, field := range s.PrimaryFields {
		value, _ := field.ValueOf(ctx, row)
		text, isNumber, err := keyText(value)
		if err != nil {
			return rowKey{}, fmt.Errorf("primary key column %s: %w", field.DBName, err)
		}
		part := rowKey{text: text, json: text}
		if !isNumber {
			quoted, _ := json.Marshal(text) // a string always encodes
			part.json = string(quoted)
		}
		if i == 0 {
			key.text, key.json = part.text, part.json
		} else {
			key.text, key.json = key.text+":"+part.text, key.json+","+part.json
		}
		if key.parts != nil {
			*key.parts = append(*key.parts, part)
		}
	}
	if key.parts != nil {
		key.json = "[" + key.json + "]"
	}
	return key, nil
}

// compare orders keys: numbers by value, texts by their bytes, composite keys
// part by part.
func (k rowKey) compare(other rowKey) int {
	if k.parts != nil && other.parts != nil {
		return slices.CompareFunc(*k.parts, *other.parts, rowKey.compare)
	}
	if !k.isNumber() || !other.isNumber() {
		return strings.Compare(k.text, other.text)
	}
	negative := k.text[0] == '-'
	if negative != (other.text[0] == '-') {
		return cmp.Compare(k.text[0], other.text[0]) // "-" is less than any digit
	}
	c := cmp.Or(cmp.Compare(len(k.text), len(other.text)), strings.Compare(k.text, other.text))
	if negative {
		return -c
	}
	return c
}

// part is one column of the key as group names carry it.
func (k rowKey) part(i int) string {
	if k.parts == nil {
		return k.text
	}
	return (*k.parts)[i].text
}

func (k rowKey) isNumber() bool { return k.json != "" && k.json[0] != '"' && k.json[0] != '[' }

// hasKey reports whether every part of the row's primary key is set in memory.
func hasKey(ctx context.Context, s *schema.Schema, row reflect.Value) bool {
	for _, field := range s.PrimaryFields {
		if _, isZero := field.ValueOf(ctx, row); isZero {
			return false
		}
	}
	return len(s.PrimaryFields) > 0
}

// keyText renders a value that may stand in a group name, and tells whether it is
// a number in JSON.
func keyText(value any) (text string, isNumber bool, err error) {
	v := reflect.ValueOf(value)
	switch v.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(v.Int(), 10), true, nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return strconv.FormatUint(v.Uint(), 10), true, nil
	case reflect.String:
		return v.String(), false, nil
	case reflect.Invalid:
		return "", false, errNoKey
	case reflect.Pointer:
		if v.IsNil() {
			return "", false, errNoKey
		}
	}
	switch value := value.(type) {
	case encoding.TextMarshaler:
		text, err := value.MarshalText()
		return string(text), false, err
	case driver.Valuer:
		plain, err := value.Value()
		if err != nil {
			return "", false, err
		}
		return keyText(plain)
	}
	switch {
	case v.Kind() == reflect.Pointer:
		return keyText(v.Elem().Interface())
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8:
		return base64.RawURLEncoding.EncodeToString(v.Bytes()), false, nil
	}
	return "", false, fmt.Errorf("a key of type %T is not supported", value)
}
