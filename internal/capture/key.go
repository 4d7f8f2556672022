package capture

import (
	"cmp"
	"context"
	"database/sql/driver"
	"encoding"
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/rohrpost/rohrpost/internal/panics"
	"github.com/rohrpost/rohrpost/internal/wire"
	"gorm.io/gorm/schema"
)

var (
	errNoKey = errors.New("the row has no primary key")
	errNull  = errors.New("the value is null")
)

// Key is the primary key of a row as text and as JSON. The parts of a composite key are
// joined by ":" there and an array here.
type Key struct {
	text, json string
	isNumber   bool
	more       *keyDetails // nil for most keys
}

type keyDetails struct {
	parts []Key // of a composite key
	err   error // why there is no key
}

// Text returns the key as text, "" for a row without a key.
func (k Key) Text() string { return k.text }

// JSON returns the key as JSON, as encoding/json encodes its fields in a snapshot; "" for a
// row without a key.
func (k Key) JSON() string { return k.json }

// Err returns why the row has no key.
func (k Key) Err() error {
	if k.json == "" && k.more != nil {
		return k.more.err
	}
	return nil
}

// Part returns one column of the key as text.
func (k Key) Part(i int) string {
	if k.more == nil {
		return k.text
	}
	return k.more.parts[i].text
}

// Parts returns the number of columns of a key.
func (k Key) Parts() int {
	if k.more == nil {
		return 1
	}
	return len(k.more.parts)
}

// keyOf reads the primary key of a row. A row has none if a part is null, or of a
// type that no group name can carry.
func keyOf(ctx context.Context, fields []*schema.Field, encoders []Encoder, row reflect.Value) Key {
	key, err := readKey(ctx, fields, encoders, row)
	if err != nil {
		return Key{more: &keyDetails{err: err}}
	}
	return key
}

func readKey(ctx context.Context, fields []*schema.Field, encoders []Encoder, row reflect.Value) (key Key, err error) {
	defer panics.Recover(&err) // the methods of a key's type are the user's code
	switch len(fields) {
	case 0:
		return Key{}, errNoKey
	case 1:
		return readPart(ctx, fields[0], encoders[0], row)
	}
	key.more = &keyDetails{}
	for i, field := range fields {
		part, err := readPart(ctx, field, encoders[i], row)
		if err != nil {
			return Key{}, err
		}
		if i > 0 {
			key.text, key.json = key.text+":", key.json+","
		}
		key.text, key.json = key.text+part.text, key.json+part.json
		key.more.parts = append(key.more.parts, part)
	}
	key.json = "[" + key.json + "]"
	return key, nil
}

// readPart reads one column of the key. One that encoding/json encodes as an object or null
// is none for clients: they get its text.
func readPart(ctx context.Context, field *schema.Field, encode Encoder, row reflect.Value) (part Key, err error) {
	part.text, part.isNumber, err = fieldText(ctx, field, row)
	if errors.Is(err, errNull) {
		err = errNoKey
	}
	if err == nil && encode != nil {
		var encoded []byte
		if encoded, err = encode(nil, fieldOf(field, row)); err == nil && encoded[0] != '{' && encoded[0] != 'n' {
			part.json = string(encoded)
			return part, nil
		}
	}
	if err != nil {
		return Key{}, fmt.Errorf("primary key column %s: %w", field.DBName, err)
	}
	if part.json = part.text; !part.isNumber {
		part.json = string(wire.AppendString(nil, part.text))
	}
	return part, nil
}

// compare orders keys: numbers by value, texts by their bytes, composite keys
// part by part.
func (k Key) compare(other Key) int {
	if k.more != nil && other.more != nil {
		return slices.CompareFunc(k.more.parts, other.more.parts, Key.compare)
	}
	if !k.isNumber || !other.isNumber {
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

// fieldText is keyText for a field of a row.
func fieldText(ctx context.Context, field *schema.Field, row reflect.Value) (text string, isNumber bool, err error) {
	if field.Serializer == nil {
		if text, isNumber, isPlain := plainText(fieldOf(field, row)); isPlain {
			return text, isNumber, nil
		}
	}
	value, _ := field.ValueOf(ctx, row)
	return keyText(value)
}

// fieldOf returns a field of a row. It is not valid behind a nil pointer. GORM's functions
// for that allocate the value.
func fieldOf(field *schema.Field, row reflect.Value) reflect.Value {
	for _, i := range field.StructField.Index {
		if row.Kind() == reflect.Pointer {
			if row.IsNil() {
				return reflect.Value{}
			}
			row = row.Elem()
		}
		if i < 0 { // GORM marks an embedded pointer so
			i = -i - 1
		}
		row = row.Field(i)
	}
	return row
}

// plainText is keyText for numbers and strings.
func plainText(v reflect.Value) (text string, isNumber, isPlain bool) {
	switch v.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(v.Int(), 10), true, true
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return strconv.FormatUint(v.Uint(), 10), true, true
	case reflect.String:
		return v.String(), false, true
	}
	return "", false, false
}

// keyText renders a value as text, and reports whether it is a number in JSON.
func keyText(value any) (text string, isNumber bool, err error) {
	v := reflect.ValueOf(value)
	if text, isNumber, isPlain := plainText(v); isPlain {
		return text, isNumber, nil
	}
	switch v.Kind() {
	case reflect.Invalid:
		return "", false, errNull
	case reflect.Pointer, reflect.Slice:
		if v.IsNil() {
			return "", false, errNull
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
