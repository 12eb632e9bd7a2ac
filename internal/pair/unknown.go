package pair

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"
)

// unknownFields returns the members of the JSON object b that the struct v has
// no field for. Stored rows may come from a newer release; what it added must
// survive our rewrite (DESIGN section 6).
func unknownFields(b []byte, v any) (map[string]json.RawMessage, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, fmt.Errorf("read stored fields: %w", err)
	}
	for f := range reflect.TypeOf(v).Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		maps.DeleteFunc(all, func(is string, _ json.RawMessage) bool { return strings.EqualFold(is, name) }) // as encoding/json matches them
	}
	if len(all) == 0 {
		return nil, nil
	}
	return all, nil
}

// marshalKeeping writes v and then the unknown fields, in sorted order, so that
// equal values have equal bytes.
func marshalKeeping(v any, unknown map[string]json.RawMessage) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil || len(unknown) == 0 {
		return b, err
	}
	extra, err := json.Marshal(unknown)
	if err != nil {
		return nil, err
	}
	return append(append(bytes.TrimSuffix(b, []byte("}")), ','), extra[1:]...), nil
}
