package rohrposttest

import (
	"reflect"
	"time"
)

// sampleText is in no key that a program would choose.
const sampleText = "some text"

// filled returns a pointer to a value of the type in which no exported field is
// empty, but for those that would contain themselves.
func filled(t reflect.Type) reflect.Value {
	v := reflect.New(t)
	fill(v.Elem(), nil)
	return v
}

func fill(v reflect.Value, around types) {
	if !v.CanSet() || around.stops(v) {
		return
	}
	if v.Type() == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(time.Date(2000, 1, 2, 3, 4, 5, 0, time.UTC)))
		return
	}
	around = around.with(v.Type())
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
		fill(v.Elem(), around)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), around)
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), around)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), around)
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, around)
		fill(value, around)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	}
}
