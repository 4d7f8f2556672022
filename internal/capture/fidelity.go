package capture

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"reflect"
	"time"

	"github.com/rohrpost/rohrpost/internal/panics"
	"gorm.io/gorm"
	"gorm.io/gorm/schema"
)

// kind is the kind of a column's type.
type kind int

const (
	otherKind kind = iota
	integer
	double
	text
	padded   // a text of one length
	uuidKind // a text of one spelling
	bytes
	document
	boolean
	instant  // a time
	wallTime // a time without a zone
	day
)

// kinds are the kinds of types by their names in the catalogues of PostgreSQL and MySQL.
var kinds = map[string]kind{
	"int2": integer, "int4": integer, "int8": integer,
	"tinyint": integer, "smallint": integer, "mediumint": integer, "int": integer, "bigint": integer,
	"float8": double, "double": double,
	"varchar": text, "text": text, "citext": text, "tinytext": text, "mediumtext": text, "longtext": text,
	"bpchar": padded, "char": padded, "uuid": uuidKind,
	"bytea": bytes, "binary": bytes, "varbinary": bytes, "tinyblob": bytes, "blob": bytes, "mediumblob": bytes, "longblob": bytes,
	"json": document, "jsonb": document, "bool": boolean,
	"timestamptz": instant, "datetime": instant, "timestamp": instant, "date": day,
}

// fidelity is how well a value in memory tells what a column keeps of it.
type fidelity int

const (
	exact   fidelity = iota
	scanned          // what the field's own Scan makes of it
	timed            // what the clock makes of it
	lost             // it has to be read
)

// findFidelity returns how well a value in memory tells what the column keeps.
func (p *place) findFidelity() fidelity {
	k, t := p.column.kind, p.field.IndirectFieldType
	custom := exact
	switch isScanner := reflect.PointerTo(t).Implements(reflect.TypeFor[sql.Scanner]()); {
	case isScanner && isValuer(t), p.field.Serializer != nil:
		custom = scanned
	case isScanner, isValuer(t): // it writes or reads another value
		custom = lost
	}
	among := func(kinds ...kind) fidelity {
		for _, one := range kinds {
			if one == k {
				return custom
			}
		}
		return lost
	}
	switch {
	case p.field.Serializer != nil:
		return among(text, document, bytes, integer, double, boolean, instant, wallTime)
	case k != document && reflect.PointerTo(t).Implements(reflect.TypeFor[gorm.Valuer]()): // it is an expression
		return lost
	case p.field.GORMDataType == schema.Time:
		if k == instant || k == wallTime {
			return timed
		}
		return lost
	}
	switch t.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return custom
	case reflect.Float32, reflect.Float64:
		return among(double)
	case reflect.String:
		return among(text, document)
	case reflect.Slice:
		if p.column.typeName == "binary" { // it is filled up
			return lost
		}
		return among(text, bytes, document)
	}
	return among(text, padded, uuidKind, bytes, document, integer, double, boolean)
}

// isExactKey reports whether a key in memory that meets a row is spelled like its key.
func (p *place) isExactKey() bool {
	if p.field.GORMDataType == schema.Time {
		return false
	}
	t := p.field.IndirectFieldType
	if t.Kind() == reflect.Array {
		return true // the type itself has one spelling
	}
	if isValuer(t) || p.field.Serializer != nil {
		return false
	}
	switch t.Kind() {
	case reflect.String:
		return p.column.kind == text && !p.column.loose
	case reflect.Slice:
		return p.column.kind == bytes && p.column.typeName != "binary" || p.column.kind == text && !p.column.loose
	case reflect.Struct:
		return false
	}
	return p.column.kind == integer || p.column.kind == boolean
}

// isValuer reports whether a type says itself what the database gets.
func isValuer(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[driver.Valuer]())
}

// isNumberKey reports whether the key is a number, which has one spelling.
func isNumberKey(s *schema.Schema) bool {
	for _, field := range s.PrimaryFields {
		if isValuer(field.IndirectFieldType) || field.Serializer != nil {
			return false
		}
		switch field.IndirectFieldType.Kind() {
		case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
			reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		default:
			return false
		}
	}
	return len(s.PrimaryFields) > 0
}

// timeOf returns the time in a field.
func timeOf(value any) (time.Time, bool) {
	switch value := value.(type) {
	case time.Time:
		return value, true
	case *time.Time:
		if value == nil {
			return time.Time{}, false
		}
		return *value, true
	case driver.Valuer:
		if v := reflect.ValueOf(value); v.Kind() == reflect.Pointer && v.IsNil() { // its method may be that of the value
			return time.Time{}, false
		}
		plain, err := value.Value()
		t, ok := plain.(time.Time)
		return t, ok && err == nil
	}
	return time.Time{}, false
}

// keepTime is keep for a plain time. It returns false for any other field.
func (l *layout) keepTime(p *place, row, kept reflect.Value) bool {
	from, to := fieldOf(p.field, row), fieldOf(p.field, kept)
	if !from.IsValid() || !from.CanAddr() || !to.IsValid() || from.IsZero() {
		return false
	}
	t, isTime := from.Addr().Interface().(*time.Time)
	if isTime {
		*to.Addr().Interface().(*time.Time) = l.clock.keep(*t, p.column.kind, p.column.precision)
	}
	return isTime
}

// rescan sets a field to what its own Scan makes of its value. Drivers give a text as a
// string or as bytes.
func rescan(ctx context.Context, field *schema.Field, value any, row reflect.Value) (err error) {
	defer panics.Recover(&err)
	valuer, ok := value.(driver.Valuer)
	if v := reflect.ValueOf(value); v.Kind() == reflect.Pointer && v.IsNil() || !ok {
		return field.Set(ctx, row, value)
	}
	plain, err := valuer.Value()
	if err != nil {
		return err
	}
	kept := newCell(field)
	set := func(plain any) error {
		if err := kept.(sql.Scanner).Scan(plain); err != nil {
			return err
		}
		field.ReflectValueOf(ctx, row).SetZero()
		return field.Set(ctx, row, kept)
	}
	if err = set(plain); err != nil {
		text, ok := plain.(string)
		if !ok || set([]byte(text)) != nil {
			return fmt.Errorf("scan %s: %w", field.Name, err)
		}
	}
	return nil
}

// newCell returns what takes the value of a column. A serializer is GORM's own kind of it,
// which runs when the field is set.
func newCell(field *schema.Field) any {
	if field.Serializer != nil {
		return field.NewValuePool.Get()
	}
	return reflect.New(field.IndirectFieldType).Interface()
}
