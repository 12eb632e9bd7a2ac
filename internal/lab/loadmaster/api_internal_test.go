package loadmaster

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"

	"tandem/internal/lab/network"
)

// FuzzCall runs anything as the body of a v2 call: the answers are JSON and
// XML, whatever was stored and is read back.
func FuzzCall(f *testing.F) {
	for _, seed := range []string{
		`{"cmd":"getall"}`, `{"cmd":"set","param":"motd","value":"\u0000<]]>\ud800"}`, `{"cmd":"get","param":"<&"}`,
		`{"cmd":"azurehaparam","partner":"::1","hcp":1,"haprefered":true}`, `{"cmd":"addvs","vs":"10.0.0.4","port":443,"prot":"tcp","certfile":"\xff"}`, `{"cmd":"aclcontrol","add":"block","addr":"::/0","comment":"<&"}`,
		`{"cmd":"modvs","vs":"10.0.0.4","port":"80","prot":"tcp","createsubvs":""}`, `{"cmd":"addrule","name":"]]>","type":5,"pattern":"\u0000"}`,
		`{"cmd":"adddomain","domain":"<","port":true}`, `{"cmd":"restorecert","data":"H4sI","password":""}`, `[]`, `{}{}`, `{"cmd":{"cmd":1}}`, "\xff",
	} {
		f.Add(seed)
	}
	n := network.New(network.Options{})
	f.Cleanup(n.Close)
	host := n.Host("lm1", netip.MustParseAddr("10.0.0.4"))
	f.Fuzz(func(t *testing.T, body string) {
		u, err := New(Config{Name: "lm1", Role: First, Partner: netip.MustParseAddr("10.0.0.5")}, host, nil)
		if err != nil {
			t.Fatal(err)
		}
		args, err := readArguments(strings.NewReader(body))
		if err != nil {
			return
		}
		for _, a := range []answer{u.execute(args["cmd"], args), u.getAll(nil), u.getHAParameters(nil), u.get(args)} {
			if rendered := a.json(V2Typed); !json.Valid(rendered) || !utf8.Valid(rendered) {
				t.Errorf("%q was answered %q", body, rendered)
			}
			if err := parses(a.xml()); err != nil {
				t.Errorf("%q was answered %q: %v", body, a.xml(), err)
			}
		}
	})
}

// parses reads a document to its end.
func parses(document []byte) error {
	decoder := xml.NewDecoder(strings.NewReader(string(toUTF8(document))))
	decoder.CharsetReader = func(_ string, input io.Reader) (io.Reader, error) { return input, nil }
	for {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func toUTF8(latin []byte) []byte {
	var b []byte
	for _, c := range latin {
		b = utf8.AppendRune(b, rune(c))
	}
	return b
}
