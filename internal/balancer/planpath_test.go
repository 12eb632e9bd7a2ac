package balancer

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tandem/internal/pair"
)

// raw is a JSON value; an empty text is an empty value, not a missing one.
func raw(s string) json.RawMessage { return json.RawMessage(s) }

func mustPath(t testing.TB, s string) Path {
	t.Helper()
	p, err := parsePath(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPathsAreReadAsTheyAreWritten(t *testing.T) {
	for _, row := range []struct {
		text string
		path Path
	}{
		{"location", Path{{Name: "location"}}},
		{"properties.probes[name=check].properties.port", Path{{Name: "properties"}, {Name: "probes", Key: "name", Value: "check"}, {Name: "properties"}, {Name: "port"}}},
		{"a[id=/subscriptions/1/resourceGroups/r (1)/x.y]", Path{{Name: "a", Key: "id", Value: "/subscriptions/1/resourceGroups/r (1)/x.y"}}},
		{`tags."a.b"`, Path{{Name: "tags"}, {Name: "a.b"}}},
		{`a[name="b]c"]`, Path{{Name: "a", Key: "name", Value: "b]c"}}},
		{`a[name="\"q\""].c`, Path{{Name: "a", Key: "name", Value: `"q"`}, {Name: "c"}}},
		{`"ä"["k="="é"]`, Path{{Name: "ä", Key: "k=", Value: "é"}}},
	} {
		if got := row.path.String(); got != row.text {
			t.Errorf("%v is written as %s, want %s", row.path, got, row.text)
		}
		got, err := parsePath(row.text)
		if diff := cmp.Diff(row.path, got); err != nil || diff != "" {
			t.Errorf("%s is read as %v, %v\n%s", row.text, got, err, diff)
		}
	}
}

func TestWhatIsNoPathIsRefused(t *testing.T) {
	for _, text := range []string{"", ".", "a.", ".a", "a..b", "a[", "a[]", "a[name]", "a[name=]", "a[name=b", "a[name=b]c", "a b", `"a`, `""`, `a[name="b]`, "a]"} {
		if p, err := parsePath(text); !errors.Is(err, pair.ErrInvalid) {
			t.Errorf("%q is read as %v, %v", text, p, err)
		}
	}
}

func FuzzParsePath(f *testing.F) {
	f.Add("properties", "name", "check")
	f.Add("a.b", "k]", "=\"\\\x00\u2028")
	f.Fuzz(func(t *testing.T, name, key, value string) {
		_, _ = parsePath(value) // must not panic
		path := Path{{Name: name}, {Name: key, Key: name, Value: value}, {Name: value}}
		if !path[0].valid() || !path[1].valid() || !path[2].valid() {
			return
		}
		got, err := parsePath(path.String())
		if diff := cmp.Diff(path, got); err != nil || diff != "" {
			t.Fatalf("%q: %v\n%s", path.String(), err, diff)
		}
	})
}
