package balancer

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"unicode/utf8"

	"tandem/internal/balancer/document"
	"tandem/internal/pair"
)

func TestAViewIsOfTheTypesThatADocumentHas(t *testing.T) {
	for _, tt := range []struct {
		name, doc string
		ok        bool
	}{
		{"what is not named is passed over", `{"other":{"deep":[1,"x",null]},"properties":{"more":7}}`, true},
		{"null leaves a field as it is", `{"id":null,"properties":null}`, true},
		{"names are read without regard to case", `{"ID":"x","Properties":{"SecurityRules":[{"Name":"a"}]}}`, true},
		{"an object is no list", `{"properties":{"securityRules":{}}}`, false},
		{"a list is no object", `{"properties":[]}`, false},
		{"a number is no text", `{"id":7}`, false},
		{"a text is no number", `{"properties":{"securityRules":[{"properties":{"priority":"7"}}]}}`, false},
		{"a fraction is no whole number", `{"properties":{"securityRules":[{"properties":{"priority":7.5}}]}}`, false},
		{"half a document is none", `{"properties":{"securityRules":[{"name":"a"`, false},
		{"nothing is none", ``, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var doc document.SecurityGroup
			err := newViewer().view([]byte(tt.doc), &doc)
			if (err == nil) != tt.ok || err != nil && !errors.Is(err, pair.ErrUnreadable) {
				t.Errorf("got %v, want it to be read: %t", err, tt.ok)
			}
		})
	}
}

// FuzzView demands that a document is viewed as encoding/json reads it.
func FuzzView(f *testing.F) {
	for _, doc := range []string{
		`{"id":"/a","properties":{"securityRules":[{"name":"a","properties":{"priority":100,"sourceAddressPrefixes":["10.0.0.0\/8","\u00fc"],"access":"Deny"}}],"defaultSecurityRules":[]}}`,
		`{"properties":{"loadBalancingRules":[{"name":"r","properties":{"enableFloatingIP":true,"frontendPort":443,"backendAddressPools":[{"id":"x"}]}}]}}`,
		`{"location":"x","zones":["1"],"properties":{"networkProfile":{"networkInterfaces":[{"id":"n"}]}}}`,
		`{"properties":{"ipConfigurations":[{"properties":{"primary":false,"privateIPAddress":"10.0.0.4"}}]}}`,
		`{"properties":{"addressPrefixes":null}}`, `[]`, `null`, `7`, `{"id":{}}`, `{"properties":{"priority":1e2}}`,
	} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if !utf8.Valid(raw) || len(raw) > 4096 || repeats(raw) {
			return // encoding/json replaces what is no text, and adds up what comes twice
		}
		for _, kind := range []func() any{
			func() any { return new(document.SecurityGroup) }, func() any { return new(document.LoadBalancer) }, func() any { return new(document.VM) },
			func() any { return new(document.Interface) }, func() any { return new(document.Subnet) }, func() any { return new(document.PublicIP) },
		} {
			got, want := kind(), kind()
			gotErr, wantErr := newViewer().view(raw, got), json.Unmarshal(raw, want)
			if (gotErr == nil) != (wantErr == nil) {
				t.Fatalf("%T of %s: %v, and encoding/json says %v", got, raw, gotErr, wantErr)
			}
			if gotErr == nil && !reflect.DeepEqual(got, want) {
				t.Fatalf("%T of %s:\n%+v, and encoding/json reads\n%+v", got, raw, got, want)
			}
		}
	})
}

// repeats reports whether an object has a member twice.
func repeats(raw []byte) bool {
	t, err := readTree(raw, nil)
	if err != nil {
		return false
	}
	for n := range t.nodes {
		seen := map[string]bool{}
		for c := range t.children(n) {
			if t.nodes[n].kind != object {
				break
			}
			name := fold(t.name(c))
			if seen[name] {
				return true
			}
			seen[name] = true
		}
	}
	return bytes.Contains(raw, []byte(`\ud`)) // half a surrogate pair is replaced
}
