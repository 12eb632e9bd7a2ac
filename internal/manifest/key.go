package manifest

import (
	"encoding"
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"tandem/internal/pair"
)

// key is one key of a file as the tags of its field describe it. The
// reader, the schema and the reference are all made from the same tags, so
// that they cannot say different things.
type key struct {
	name        string
	index       []int // of the field, for reflect.Value.FieldByIndex
	typ         reflect.Type
	description string
	required    bool
	limits      map[string]string // minimum, pattern and so on, from the jsonschema tag
	pattern     *regexp.Regexp    // the limit of that name, or nil
}

// keysOf holds the keys of every mapping of a document. It is made once,
// because a large file asks for them at every mapping in it.
var keysOf = allKeys(allKeys(make(map[reflect.Type][]key), reflect.TypeFor[document]()), reflect.TypeFor[topologyDocument]())

// keys returns the keys of a mapping in the order in which they are written,
// those of embedded structs included.
func keys(t reflect.Type) []key {
	ks, ok := keysOf[t]
	if !ok {
		panic("manifest: no keys of the type " + t.String())
	}
	return ks
}

func allKeys(known map[reflect.Type][]key, t reflect.Type) map[reflect.Type][]key {
	known[t] = readKeys(t)
	for f := range t.Fields() {
		if f.Anonymous {
			allKeys(known, f.Type)
		}
	}
	for _, k := range known[t] {
		inner := k.typ
		if inner.Kind() == reflect.Slice {
			inner = inner.Elem()
		}
		if isMapping(inner) {
			allKeys(known, inner)
		}
	}
	return known
}

// readKeys reads the keys of a mapping from the tags of its fields.
func readKeys(t reflect.Type) []key {
	var out []key
	for f := range t.Fields() {
		if f.Anonymous {
			for _, k := range readKeys(f.Type) {
				k.index = append([]int{f.Index[0]}, k.index...)
				out = append(out, k)
			}
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		k := key{
			name:        name,
			index:       f.Index,
			typ:         f.Type,
			description: f.Tag.Get("jsonschema_description"),
			limits:      limits(f.Tag.Get("jsonschema")),
		}
		_, optional := k.limits["optional"]
		k.required = !strings.HasPrefix(options, "omit") || isMapping(f.Type) && hasRequired(f.Type) && !optional
		if form, ok := k.limits["pattern"]; ok {
			k.pattern = regexp.MustCompile(form)
		}
		out = append(out, k)
	}
	return out
}

// hasRequired reports whether a mapping has a required key, which makes the
// mapping itself required unless its tag says that it is optional.
func hasRequired(t reflect.Type) bool {
	for _, k := range readKeys(t) {
		if k.required {
			return true
		}
	}
	return false
}

func limits(tag string) map[string]string {
	out := make(map[string]string)
	for part := range strings.SplitSeq(tag, ",") {
		name, value, _ := strings.Cut(part, "=")
		out[name] = value
	}
	return out
}

func names(ks []key) []string {
	out := make([]string, len(ks))
	for i, k := range ks {
		out[i] = k.name
	}
	return out
}

// isText reports whether values of the type are written as text and read by
// their own UnmarshalText.
func isText(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// isMapping reports whether values of the type are written as mappings.
func isMapping(t reflect.Type) bool { return t.Kind() == reflect.Struct && !isText(t) }

// durationPattern is the form of durations in files: positive, with a unit.
const durationPattern = `^(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h))+$`

// expects says in words what may stand at the key.
func (k key) expects() string { return expects(k.typ, k.limits) }

// item returns what stands in the place of one item of the key's list.
func (k key) item() key { return key{typ: k.typ.Elem()} }

func expects(t reflect.Type, limits map[string]string) string {
	switch t {
	case reflect.TypeFor[document](), reflect.TypeFor[topologyDocument]():
		return "a mapping that starts with apiVersion: " + apiVersion
	case reflect.TypeFor[netip.Addr]():
		return "an IP address such as 10.0.0.4"
	case reflect.TypeFor[netip.Prefix]():
		return "a network such as 10.0.0.0/24"
	case reflect.TypeFor[pair.Duration]():
		return "a positive duration with a unit, such as 10m or 5s"
	}
	if words := choices(t); words != nil {
		return oneOf(words)
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return expectsNumber(limits)
	case reflect.Slice:
		return expectsList(limits)
	case reflect.Struct:
		return "a mapping with the keys " + strings.Join(names(keys(t)), ", ")
	default:
		return expectsText(limits)
	}
}

func expectsNumber(limits map[string]string) string {
	least, most := limits["minimum"], limits["maximum"]
	switch {
	case least != "" && most != "":
		return "a whole number from " + least + " to " + most
	case least != "":
		return "a whole number, " + least + " or more"
	default:
		return "a whole number"
	}
}

func expectsList(limits map[string]string) string {
	if least := limits["minItems"]; least != "" {
		return "a list of " + least + " or more"
	}
	return "a list"
}

func expectsText(limits map[string]string) string {
	switch {
	case limits["enum"] != "":
		return limits["enum"]
	case limits["format"] == "uuid":
		return "a UUID such as 00000000-0000-0000-0000-000000000001"
	case limits["pattern"] != "" && limits["maxLength"] != "":
		return "text of at most " + limits["maxLength"] + " characters that matches " + limits["pattern"]
	case limits["pattern"] != "":
		return "text that matches " + limits["pattern"]
	default:
		return "text"
	}
}

func oneOf(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return "one of " + strings.Join(words, ", ")
}

// allows reports whether a value that somebody wrote is within the key's limits.
func (k key) allows(v reflect.Value) bool {
	switch {
	case v.Type() == reflect.TypeFor[pair.Duration]():
		return v.Int() > 0
	case v.Kind() == reflect.Int:
		return k.least("minimum") <= v.Int() && v.Int() <= k.most("maximum")
	case v.Kind() == reflect.Slice:
		return k.least("minItems") <= int64(v.Len())
	case v.Kind() == reflect.String:
		return k.allowsText(v.String())
	default:
		return true
	}
}

func (k key) allowsText(s string) bool {
	if k.limits["format"] == "uuid" && (len(s) != 36 || uuid.Validate(s) != nil) {
		return false
	}
	if k.pattern != nil && !k.pattern.MatchString(s) {
		return false
	}
	return int64(len(s)) <= k.most("maxLength")
}

func (k key) least(limit string) int64 { return k.number(limit, -1<<63) }
func (k key) most(limit string) int64  { return k.number(limit, 1<<63-1) }

func (k key) number(limit string, otherwise int64) int64 {
	text, ok := k.limits[limit]
	if !ok {
		return otherwise
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		panic(fmt.Sprintf("manifest: tag of key %s: %s=%s is not a number", k.name, limit, text))
	}
	return n
}
