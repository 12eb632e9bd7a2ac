package settings

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// payload reads an example answer below its envelope. The client has readers for
// both dialects that bear what units really send; these bear the examples.
func payload(t testing.TB, file string) Node {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	n, err := parse(body)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return n
}

func parse(body []byte) (Node, error) {
	if !bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) {
		return parseXML(body)
	}
	var top map[string]any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&top); err != nil {
		return Node{}, err
	}
	n := fromJSON("", top)[0]
	n.Kids = slices.DeleteFunc(n.Kids, func(kid Node) bool { return kid.Name == "code" || kid.Name == "status" || kid.Name == "message" })
	return n, nil
}

func fromJSON(name string, value any) []Node {
	switch v := value.(type) {
	case map[string]any:
		n := Node{Name: name}
		for kid, inner := range v {
			n.Kids = append(n.Kids, fromJSON(kid, inner)...)
		}
		slices.SortStableFunc(n.Kids, func(a, b Node) int { return strings.Compare(a.Name, b.Name) })
		return []Node{n}
	case []any:
		var list []Node
		for _, item := range v {
			list = append(list, fromJSON(name, item)...)
		}
		return list
	case string:
		return []Node{{Name: name, Text: v}}
	case bool:
		return []Node{{Name: name, Text: map[bool]string{true: "true", false: "false"}[v]}}
	case json.Number:
		return []Node{{Name: name, Text: v.String()}}
	default:
		return []Node{{Name: name}}
	}
}

func parseXML(body []byte) (Node, error) {
	d := xml.NewDecoder(bytes.NewReader(body))
	d.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	open := []Node{{}}
	for {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			return Node{}, err
		}
		top := len(open) - 1
		switch token := token.(type) {
		case xml.StartElement:
			open = append(open, Node{Name: token.Name.Local})
		case xml.CharData:
			open[top].Text += string(token)
		case xml.EndElement:
			done := open[top]
			open = open[:top]
			open[top-1].Kids = append(open[top-1].Kids, done)
		}
	}
	n := open[0]
	for _, layer := range []string{"Response", "Success", "Data"} {
		if inner, ok := n.child(strings.ToLower(layer)); ok {
			n = *inner
		}
	}
	return n, nil
}

// reading answers the calls of a reading from example files, by their commands;
// calls without one are missed.
func reading(t testing.TB, files map[string]string, classes ...Class) (Snapshot, error) {
	t.Helper()
	r := NewReading(classes...)
	var first error
	for calls := r.Next(); len(calls) > 0; calls = r.Next() {
		for _, call := range calls {
			file, ok := files[call.String()]
			if !ok {
				file, ok = files[call.Command]
			}
			if !ok {
				r.Miss(call)
				continue
			}
			var n Node
			if strings.HasPrefix(file, "<") || strings.HasPrefix(file, "{") {
				var err error
				if n, err = parse([]byte(file)); err != nil {
					t.Fatalf("%s: %v", file, err)
				}
			} else {
				n = payload(t, file)
			}
			if err := r.Take(call, n); err != nil && first == nil {
				first = err
			}
		}
	}
	return r.Snapshot(), first
}
