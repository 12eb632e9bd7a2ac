package balancer

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"tandem/internal/pair"
)

func TestReadTreeBounds(t *testing.T) {
	for _, row := range []struct {
		name string
		raw  string
		want error
	}{
		{"values as deep as the bound are read", strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth), nil},
		{"deeper values are refused", strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1), pair.ErrUnreadable},
		{"an endless opening is refused", strings.Repeat(`{"a":`, 100_000), pair.ErrUnreadable},
		{"more bytes than the bound are refused", `"` + strings.Repeat("a", maxBytes) + `"`, pair.ErrTooLarge},
		{"no text is no value", "", pair.ErrUnreadable},
		{"two values are none", "1 2", pair.ErrUnreadable},
	} {
		t.Run(row.name, func(t *testing.T) {
			if _, err := readTree([]byte(row.raw), nil); !errors.Is(err, row.want) {
				t.Errorf("readTree of %.40q: %v, want %v", row.raw, err, row.want)
			}
		})
	}
}

func TestNamesAreFoundWithoutRegardToCase(t *testing.T) {
	raw := []byte(`{"Properties":{"\u0050robes":[7,{"name":5},{"NAME":"Check","port":1},{"name":"CHECK2"}]},"a":1,"A":2}`)
	d, err := readTree(raw, nil)
	if err != nil {
		t.Fatal(err)
	}
	properties, _ := d.member(0, "properties")
	probes, _ := d.member(properties, "probes")
	found, err := d.elements(probes, "name")
	if err != nil {
		t.Fatal(err)
	}
	check, err := found.element("cHeck")
	if err != nil || string(d.bytes(check)) != `{"NAME":"Check","port":1}` {
		t.Errorf("element is %d, %v", check, err)
	}
	if none, err := d.member(0, "b"); none != -1 || err != nil {
		t.Errorf("a missing member is %d, %v", none, err)
	}
	if none, err := found.element("5"); none != -1 || err != nil {
		t.Errorf("an element whose key is a number is found by a text: %d, %v", none, err)
	}
	if _, err := d.member(0, "a"); !errors.Is(err, pair.ErrUnreadable) {
		t.Errorf("a name that comes twice: %v", err)
	}
}

func TestSameFoldIsToLower(t *testing.T) {
	texts := []string{"", "a", "A", "ab", "aé", "AÉ", "k", "\u212a", "ſ", "s", "İ", "i̇", "a\xff", "a\ufffd", "\\", "[", "{"}
	for _, a := range texts {
		for _, b := range texts {
			lowerA, lowerB := strings.ToLower(a), strings.ToLower(b)
			if got := sameFold(a, []byte(b)); got != (lowerA == lowerB) {
				t.Errorf("sameFold(%q, %q) is %t", a, b, got)
			}
		}
	}
}

// depth is how deep containers nest.
func depth(raw []byte) int {
	d := json.NewDecoder(bytes.NewReader(raw))
	deep, deepest := 0, 0
	for token, err := d.Token(); err == nil; token, err = d.Token() {
		switch token {
		case json.Delim('{'), json.Delim('['):
			deep++
		case json.Delim('}'), json.Delim(']'):
			deep--
		}
		deepest = max(deepest, deep)
	}
	return deepest
}

// What readTree accepts is what json.Valid accepts, within its bounds, and the
// places that it notes are those of the values.
func FuzzReadTree(f *testing.F) {
	for _, seed := range []string{
		`{"a":[1,-0.5e+7,true,false,null,"\u00e9\n"], "b" : { } }`, `[]`, `01`, `-`, `1.`, `1e`, `"\x"`, `"\u12g4"`, `"\`, "\"\x01\"", `{"a"}`, `{"a":1,}`, `[1 2]`, ` nul`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, err := readTree(raw, nil)
		if want := json.Valid(raw) && depth(raw) <= maxDepth; want != (err == nil) {
			t.Fatalf("%q: %v", raw, err)
		}
		if err != nil {
			if !errors.Is(err, pair.ErrUnreadable) && !errors.Is(err, pair.ErrTooLarge) {
				t.Fatalf("%q: %v is of no kind", raw, err)
			}
			return
		}
		for n := range d.nodes {
			if !json.Valid(d.bytes(n)) {
				t.Fatalf("value %d of %q is %q", n, raw, d.bytes(n))
			}
			for _, f := range []form{shown, folded, exact} {
				if n == 0 && !json.Valid(d.write(nil, n, f)) {
					t.Fatalf("%q is written as %q", raw, d.write(nil, n, f))
				}
			}
		}
	})
}
