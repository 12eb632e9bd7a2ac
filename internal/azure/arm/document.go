package arm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tandem/internal/pair"
)

// document is a backend pool as Resource Manager sent it. A write sends these
// bytes back with one word changed, so that what this release does not know
// is not lost: a PUT replaces the whole pool (azure.md 1.3), and armnetwork's
// structs drop fields that are newer than they are.
type document struct {
	raw     []byte
	etag    string
	members []member
}

// member is one entry of a pool's loadBalancerBackendAddresses.
type member struct {
	name     string
	address  string // empty for most members by interface
	ipConfig string // id of the interface's IP configuration, empty for members by address
	admin    pair.AdminState

	adminAt span // the value of adminState, or where to insert the member
	insert  string
}

// span is a range of bytes of a document.
type span struct{ from, to int }

// readDocument finds the members of a pool. Names are compared as Resource
// Manager does, without regard to case; a name that comes twice in one object
// is refused, because then nobody can say which of the two counts.
func readDocument(raw []byte) (document, error) {
	if !json.Valid(raw) {
		return document{}, errors.New("not JSON")
	}
	d := document{raw: raw}
	pool, err := object(raw, span{0, len(raw)})
	if err != nil {
		return document{}, err
	}
	d.etag = text(raw, pool["etag"])
	properties, err := object(raw, pool["properties"])
	if err != nil {
		return document{}, fmt.Errorf("properties: %w", err)
	}
	entries, err := array(raw, properties["loadbalancerbackendaddresses"])
	if err != nil {
		return document{}, fmt.Errorf("loadBalancerBackendAddresses: %w", err)
	}
	for i, at := range entries {
		m, err := readMember(raw, at)
		if err != nil {
			return document{}, fmt.Errorf("loadBalancerBackendAddresses[%d]: %w", i, err)
		}
		d.members = append(d.members, m)
	}
	return d, nil
}

func readMember(raw []byte, at span) (member, error) {
	entry, err := object(raw, at)
	if err != nil {
		return member{}, err
	}
	at, ok := entry["properties"]
	if !ok {
		return member{}, errors.New("no properties")
	}
	properties, err := object(raw, at)
	if err != nil {
		return member{}, fmt.Errorf("properties: %w", err)
	}
	m := member{name: text(raw, entry["name"]), address: text(raw, properties["ipaddress"])}
	if at, ok := properties["networkinterfaceipconfiguration"]; ok {
		ref, err := object(raw, at)
		if err != nil {
			return member{}, fmt.Errorf("networkInterfaceIPConfiguration: %w", err)
		}
		m.ipConfig = text(raw, ref["id"])
	}
	if at, ok := properties["adminstate"]; ok {
		m.adminAt, m.insert = at, "%s"
		m.admin = adminState(text(raw, at))
		return m, nil
	}
	m.admin = pair.AdminNone
	m.adminAt, m.insert = span{at.from + 1, at.from + 1}, `"adminState":%s`
	if len(properties) > 0 {
		m.insert += ","
	}
	return m, nil
}

// with returns the document with the admin state of one of its members
// changed, and every other byte as it was.
func (d document) with(m member, want pair.AdminState) []byte {
	word := fmt.Sprintf(m.insert, `"`+want.String()+`"`)
	return slices.Concat(d.raw[:m.adminAt.from], []byte(word), d.raw[m.adminAt.to:])
}

// adminState reads the platform's word. A member whose state was never set
// carries none; a word that we do not know is unknown, not None.
func adminState(word string) pair.AdminState {
	if word == "" {
		return pair.AdminNone
	}
	var a pair.AdminState
	if a.UnmarshalText([]byte(word)) != nil {
		return pair.AdminUnknown
	}
	return a
}

// object returns where the values of a JSON object stand, by their names in
// lower case. Null and a missing object have none.
func object(raw []byte, at span) (map[string]span, error) {
	values := map[string]span{}
	err := walk(raw, at, '{', func(name string, at span) error {
		name = strings.ToLower(name)
		if _, twice := values[name]; twice {
			return fmt.Errorf("%q comes twice", name)
		}
		values[name] = at
		return nil
	})
	return values, err
}

// array returns where the values of a JSON array stand.
func array(raw []byte, at span) ([]span, error) {
	var values []span
	err := walk(raw, at, '[', func(_ string, at span) error {
		values = append(values, at)
		return nil
	})
	return values, err
}

// walk visits the values of the object or array that stands at a place.
func walk(raw []byte, at span, open json.Delim, visit func(name string, at span) error) error {
	if at.to == at.from || string(raw[at.from:at.to]) == "null" {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(raw[at.from:at.to]))
	if t, err := d.Token(); err != nil || t != open {
		return fmt.Errorf("expected %q", open.String())
	}
	for d.More() {
		name := ""
		if open == '{' {
			t, err := d.Token()
			if err != nil {
				return err
			}
			name, _ = t.(string) // a JSON object has no other names
		}
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return err
		}
		to := at.from + int(d.InputOffset())
		if err := visit(name, span{to - len(v), to}); err != nil {
			return err
		}
	}
	return nil
}

// text returns the string that stands at a place, empty when there is none.
func text(raw []byte, at span) string {
	var s string
	if at.to > at.from && json.Unmarshal(raw[at.from:at.to], &s) != nil {
		return ""
	}
	return s
}
