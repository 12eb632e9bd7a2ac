package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"
)

// keeping is a stored value, a struct, with the members of its JSON object that
// this release has no field for: what a newer release added must survive our
// rewrite (DESIGN section 6). The domain's own stored forms do the same for
// themselves; this is for those that only the store knows.
type keeping[T any] struct {
	Value   T
	Unknown map[string]json.RawMessage
}

// MarshalJSON writes the value and then the unknown members, in sorted order,
// so that equal values have equal bytes.
func (k keeping[T]) MarshalJSON() ([]byte, error) {
	b, err := json.Marshal(k.Value)
	if err != nil || len(k.Unknown) == 0 {
		return b, err
	}
	more, err := json.Marshal(k.Unknown)
	if err != nil {
		return nil, err
	}
	b = bytes.TrimSuffix(b, []byte("}"))
	if len(b) > len("{") {
		b = append(b, ',')
	}
	return append(b, more[1:]...), nil
}

// UnmarshalJSON reads the value and keeps the members that it does not know.
func (k *keeping[T]) UnmarshalJSON(b []byte) error {
	var read keeping[T]
	if err := json.Unmarshal(b, &read.Value); err != nil {
		return err
	}
	if err := json.Unmarshal(b, &read.Unknown); err != nil {
		return fmt.Errorf("read stored fields: %w", err)
	}
	for f := range reflect.TypeFor[T]().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		maps.DeleteFunc(read.Unknown, func(is string, _ json.RawMessage) bool { return strings.EqualFold(is, name) }) // as encoding/json matches them
	}
	if len(read.Unknown) == 0 {
		read.Unknown = nil
	}
	*k = read
	return nil
}
