package store

import (
	"reflect"
	"time"
)

var timeType = reflect.TypeFor[time.Time]()

// millis returns a copy of a stored form with all its times in UTC and whole
// milliseconds, so that what a write returns is what a later read returns, and
// so that every release stores times alike (DESIGN section 6).
func millis[T any](v T) T {
	truncate(reflect.ValueOf(&v).Elem())
	return v
}

// truncate changes v in place but nothing that v points to: slices and
// pointers are copied first, because the caller still holds them.
func truncate(v reflect.Value) {
	if v.Type() == timeType {
		v.Set(reflect.ValueOf(v.Interface().(time.Time).UTC().Truncate(time.Millisecond)))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for _, f := range v.Fields() {
			if f.CanSet() {
				truncate(f)
			}
		}
	case reflect.Array:
		truncateAll(v)
	case reflect.Slice:
		if v.IsNil() || !hasTimes(v.Type().Elem()) {
			return
		}
		c := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		reflect.Copy(c, v)
		truncateAll(c)
		v.Set(c)
	case reflect.Pointer:
		if v.IsNil() {
			return
		}
		c := reflect.New(v.Type().Elem())
		c.Elem().Set(v.Elem())
		truncate(c.Elem())
		v.Set(c)
	}
}

func truncateAll(v reflect.Value) {
	for i := range v.Len() {
		truncate(v.Index(i))
	}
}

// hasTimes spares texts and JSON a copy.
func hasTimes(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Struct, reflect.Array, reflect.Slice, reflect.Pointer:
		return true
	default:
		return false
	}
}
