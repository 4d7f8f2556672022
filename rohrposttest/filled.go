package rohrposttest

import (
	"reflect"
	"time"
)

// sampleText is the value of strings. No program would use it as a key.
const sampleText = "some text"

// filled returns a pointer to a value of the type whose exported fields are all set,
// except fields of recursive types.
func filled(t reflect.Type) reflect.Value {
	v := reflect.New(t)
	fill(v.Elem(), nil)
	return v
}

func fill(v reflect.Value, enclosing types) {
	if !v.CanSet() || enclosing.stop(v) {
		return
	}
	if v.Type() == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(time.Date(2000, 1, 2, 3, 4, 5, 0, time.UTC)))
		return
	}
	enclosing = enclosing.with(v.Type())
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(1)
	case reflect.Float32, reflect.Float64:
		v.SetFloat(1)
	case reflect.Complex64, reflect.Complex128:
		v.SetComplex(1)
	case reflect.String:
		v.SetString(sampleText)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), enclosing)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), enclosing)
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), enclosing)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), enclosing)
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, enclosing)
		fill(value, enclosing)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	}
}
