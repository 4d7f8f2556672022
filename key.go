package rohrpost

import (
	"context"
	"database/sql/driver"
	"encoding"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"

	"gorm.io/gorm/schema"
)

// rowKey is a row's primary key: the values of its parts in schema order, each
// an int64, a uint64 or a string.
type rowKey []any

var errNoKey = errors.New("the row has no primary key")

// keyOf reads the primary key of a row. A part that is null or of a type that
// no group name can carry is an error.
func keyOf(ctx context.Context, s *schema.Schema, row reflect.Value) (rowKey, error) {
	if len(s.PrimaryFields) == 0 {
		return nil, errNoKey
	}
	key := make(rowKey, len(s.PrimaryFields))
	for i, field := range s.PrimaryFields {
		value, _ := field.ValueOf(ctx, row)
		part, err := keyPart(value)
		if err != nil {
			return nil, fmt.Errorf("primary key column %s: %w", field.DBName, err)
		}
		key[i] = part
	}
	return key, nil
}

// hasKey reports whether every part of the row's primary key is set in memory.
func hasKey(ctx context.Context, s *schema.Schema, row reflect.Value) bool {
	for _, field := range s.PrimaryFields {
		if _, isZero := field.ValueOf(ctx, row); isZero {
			return false
		}
	}
	return len(s.PrimaryFields) > 0
}

func keyPart(value any) (any, error) {
	v := reflect.ValueOf(value)
	switch v.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return v.Int(), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return v.Uint(), nil
	case reflect.String:
		return v.String(), nil
	case reflect.Invalid:
		return nil, errNoKey
	case reflect.Pointer:
		if v.IsNil() {
			return nil, errNoKey
		}
	}
	switch value := value.(type) {
	case encoding.TextMarshaler:
		text, err := value.MarshalText()
		return string(text), err
	case driver.Valuer:
		plain, err := value.Value()
		if err != nil {
			return nil, err
		}
		return keyPart(plain)
	}
	switch {
	case v.Kind() == reflect.Pointer:
		return keyPart(v.Elem().Interface())
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8:
		return base64.RawURLEncoding.EncodeToString(v.Bytes()), nil
	}
	return nil, fmt.Errorf("a key of type %T is not supported", value)
}

// appendText appends the key as group names carry it, the parts joined by ":".
func (k rowKey) appendText(dst []byte) []byte {
	for i, part := range k {
		if i > 0 {
			dst = append(dst, ':')
		}
		dst = appendKeyPart(dst, part)
	}
	return dst
}

func appendKeyPart(dst []byte, part any) []byte {
	switch part := part.(type) {
	case int64:
		return strconv.AppendInt(dst, part, 10)
	case uint64:
		return strconv.AppendUint(dst, part, 10)
	default:
		return append(dst, part.(string)...)
	}
}

// object is the fallback of PushNotificationData: {"id": key}, an array of the
// parts where the key has several.
func (k rowKey) object() json.RawMessage {
	object := append(make([]byte, 0, 32), `{"id":`...)
	if len(k) > 1 {
		object = append(object, '[')
	}
	for i, part := range k {
		if i > 0 {
			object = append(object, ',')
		}
		if text, ok := part.(string); ok {
			quoted, _ := json.Marshal(text) // a string always encodes
			object = append(object, quoted...)
		} else {
			object = appendKeyPart(object, part)
		}
	}
	if len(k) > 1 {
		object = append(object, ']')
	}
	return append(object, '}')
}

// String is the key as logs show it.
func (k rowKey) String() string { return string(k.appendText(nil)) }
