package replay

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"tandem/internal/manifest"
	"tandem/internal/pair"
)

// Edit puts another value into a pair file.
type Edit struct {
	Path  string // of the key, for example failover.confirmAfter or loadBalancers[0].probe.interval
	Value string // as in the file
}

func (e Edit) String() string { return e.Path + "=" + e.Value }

var editPath = regexp.MustCompile(`^[A-Za-z0-9]+(\[[0-9]{1,4}\])*(\.[A-Za-z0-9]+(\[[0-9]{1,4}\])*)*$`)

// ParseEdit reads an edit as a person types it: path=value. The error is
// pair.ErrInvalid.
func ParseEdit(text string) (Edit, error) {
	path, value, found := strings.Cut(text, "=")
	if !found || len(path) > 200 || !editPath.MatchString(path) || value == "" {
		return Edit{}, fmt.Errorf("%.200q: expected a key of the pair file and a value, for example failover.confirmAfter=5: %w", text, pair.ErrInvalid)
	}
	return Edit{Path: path, Value: value}, nil
}

// Edited returns the definition with the edits in it, read as a pair file with
// them is read. The error is manifest.Problems, or another of the kind
// pair.ErrInvalid, where such a file would be refused.
func Edited(d pair.Definition, edits []Edit) (pair.Definition, error) {
	if len(edits) == 0 {
		return d, nil
	}
	b, err := json.Marshal(d)
	if err != nil {
		return d, fmt.Errorf("edit pair %s: %w: %w", d.Name, pair.ErrInvalid, err)
	}
	v, err := generic(b)
	file, ok := v.(map[string]any)
	if err != nil || !ok {
		return d, fmt.Errorf("edit pair %s: its definition is no mapping: %w", d.Name, pair.ErrInvalid)
	}
	file["apiVersion"], file["kind"] = "tandem/v1", "Pair"
	for _, e := range edits {
		if err := put(file, steps(e.Path), value(e.Value)); err != nil {
			return d, fmt.Errorf("%s: %w: %w", e, err, pair.ErrInvalid)
		}
	}
	if b, err = json.Marshal(file); err != nil { // JSON is YAML
		return d, fmt.Errorf("edit pair %s: %w: %w", d.Name, pair.ErrInvalid, err)
	}
	all, err := manifest.Read("", bytes.NewReader(b))
	if problems, ok := errors.AsType[manifest.Problems](err); ok {
		for i := range problems {
			problems[i].Line, problems[i].Column = 0, 0 // of a file that nobody wrote
		}
		return d, problems
	}
	if err != nil {
		return d, err
	}
	if len(all) != 1 || all[0].Name != d.Name {
		return d, fmt.Errorf("name: expected the pair's own, %s, because its decisions are named after it: %w", d.Name, pair.ErrInvalid)
	}
	return all[0], nil
}

// value reads a value as JSON where it is, and as text where it is not.
func value(text string) any {
	if v, err := generic([]byte(text)); err == nil && json.Valid([]byte(text)) {
		return v
	}
	return text
}

// steps cuts a path into keys and the numbers of list items.
func steps(path string) []any {
	var all []any
	for part := range strings.SplitSeq(path, ".") {
		key, rest, _ := strings.Cut(part, "[")
		all = append(all, key)
		for number := range strings.SplitSeq(strings.TrimSuffix(rest, "]"), "][") {
			if n, err := strconv.Atoi(number); err == nil {
				all = append(all, n)
			}
		}
	}
	return all
}

// put sets what stands at the steps of a path. A mapping that the file leaves
// out is made; whether it has such a key is for the file's reader to say.
func put(in any, path []any, v any) error {
	last := len(path) == 1
	switch step := path[0].(type) {
	case string:
		m, ok := in.(map[string]any)
		if !ok {
			return fmt.Errorf("there is no mapping that could have the key %s", step)
		}
		if last {
			m[step] = v
			return nil
		}
		if m[step] == nil {
			m[step] = map[string]any{}
		}
		return put(m[step], path[1:], v)
	case int:
		list, ok := in.([]any)
		if !ok || step >= len(list) {
			return fmt.Errorf("there is no list with an item %d, counted from 0", step)
		}
		if last {
			list[step] = v
			return nil
		}
		return put(list[step], path[1:], v)
	default:
		return errors.New("a path of keys and numbers was expected") // steps makes no others
	}
}
