package arm

import (
	"bytes"
	"encoding/json"
	"io"
	"log"
	"reflect"
	"strings"
	"testing"

	"tandem/internal/pair"
)

// Whatever a pool looks like: if it can be read, the write is JSON with the
// wanted admin state on that member, and equal to what was read elsewhere.
func FuzzDocument(f *testing.F) {
	f.Add(file(f, "pool-by-interface.json"))
	f.Add(`{"properties":{"loadBalancerBackendAddresses":[{"properties":{}}]}}`)
	f.Add(`{"properties":{"loadBalancerBackendAddresses":[ {"properties":{ "x":[{"adminState":"Up"}] , "adminState":null} } , {"properties":{"adminState":7}}]}}`)
	f.Add(`{"Properties":{"LOADBALANCERBACKENDADDRESSES":[{"properties":{"\u0061dminState":"Up"}}]}}`)
	f.Add(`null`)
	f.Fuzz(func(t *testing.T, raw string) {
		d, err := readDocument([]byte(raw))
		if err != nil {
			return
		}
		for i, m := range d.members {
			written := d.with(m, pair.AdminDown)
			back, err := readDocument(written)
			if err != nil || len(back.members) != len(d.members) {
				t.Fatalf("%q is written as %q: %v", raw, written, err)
			}
			for j := range back.members {
				want := d.members[j].admin
				if i == j {
					want = pair.AdminDown
				}
				if back.members[j].admin != want {
					t.Fatalf("member %d of %q is %v, want %v", j, written, back.members[j].admin, want)
				}
			}
			before, after := m.adminAt.from, m.adminAt.to
			if !bytes.HasPrefix(written, []byte(raw[:before])) || !bytes.HasSuffix(written, []byte(raw[after:])) {
				t.Fatalf("%q is written as %q", raw, written)
			}
		}
	})
}

func TestEveryOtherValueStays(t *testing.T) {
	raw := file(t, "pool-by-interface.json")
	d, err := readDocument([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	var before, after any
	if err := json.Unmarshal([]byte(raw), &before); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(d.with(d.members[0], pair.AdminNone), &after); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(before, after) {
		t.Error("writing what is there changes something")
	}
}

func TestAdminStateWords(t *testing.T) {
	for word, want := range map[string]pair.AdminState{
		"": pair.AdminNone, "None": pair.AdminNone, "up": pair.AdminUp, "Down": pair.AdminDown, "Drain": pair.AdminUnknown,
	} {
		if got := adminState(word); got != want {
			t.Errorf("%q reads as %v, want %v", word, got, want)
		}
	}
}

func quoted(s string) string { return `"` + strings.ReplaceAll(s, `"`, `\"`) + `"` }

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func discardLog() *log.Logger { return log.New(io.Discard, "", 0) }
