// Package manifest reads the files in which a person describes a pair (DESIGN
// section 7), says everything that is wrong with them at once, and writes them
// back. Its JSON Schema and the reference in docs/pair-file.md come from the
// same struct tags that the reader obeys.
//
// It only judges what stands in the files. Whether Azure and the units agree
// is found out by internal/balancer and internal/doctor.
package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"strconv"

	"go.yaml.in/yaml/v3"

	"tandem/internal/nearest"
	"tandem/internal/pair"
)

// MaxSize is the largest file that is read, in bytes. A pair file has a few
// hundred lines at most.
const MaxSize = 1 << 20

// mostDocuments is how many pairs one file may have.
const mostDocuments = 1000

// The envelope of every document.
const (
	apiVersion = "tandem/v1"
	kindPair   = "Pair"
	kindGeo    = "GeoTopology"
)

// document is one YAML document of a pair file.
type document struct {
	APIVersion string `json:"apiVersion" jsonschema:"required,enum=tandem/v1" jsonschema_description:"Version of the file's format."`
	Kind       string `json:"kind" jsonschema:"required,enum=Pair" jsonschema_description:"What the document describes."`
	pair.Definition
}

// Read reads the pairs of one file: YAML or JSON, one document for each pair,
// separated by lines of three dashes. The name is for the messages only.
//
// The definitions come with their defaults filled in. When anything is wrong
// the error is Problems with every mistake of the file and no definition is
// returned; an error of r itself is returned as it is, wrapped.
func Read(name string, r io.Reader) ([]pair.Definition, error) {
	var rd reader
	if err := rd.read(name, r); err != nil {
		return nil, err
	}
	return rd.result()
}

// Load reads several files as Read does, reports the mistakes of all of them
// together, and refuses two pairs that claim the same name or virtual machine.
// The path - reads from stdin. A file that cannot be read is reported beside
// the Problems of the others.
func Load(stdin io.Reader, paths ...string) ([]pair.Definition, error) {
	var rd reader
	var errs []error
	for _, path := range paths {
		if path == "-" {
			errs = append(errs, rd.read("standard input", stdin))
		} else {
			errs = append(errs, rd.open(path))
		}
	}
	definitions, err := rd.result()
	if err = errors.Join(append(errs, err)...); err != nil {
		return nil, err
	}
	return definitions, nil
}

// reader collects the documents of several files.
type reader struct{ documents []*decoded }

// decoded is a document and what was found wrong with it. The definition is
// empty where the document could not be read at all.
type decoded struct {
	*decoder
	definition pair.Definition // with defaults
}

func (rd *reader) open(path string) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read pair file: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return rd.read(path, f)
}

func (rd *reader) read(name string, r io.Reader) error {
	content, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	if err != nil {
		return fmt.Errorf("read pair file %s: %w", name, err)
	}
	if len(content) > MaxSize {
		rd.broken(name, Problem{Value: "a file that is too large", Expected: "at most " + strconv.Itoa(MaxSize) + " bytes"})
		return nil
	}
	rd.split(name, content)
	return nil
}

// split reads the documents of one file. After a mistake in the YAML itself
// nothing that follows can be trusted, so it ends there.
func (rd *reader) split(name string, content []byte) {
	before := len(rd.documents)
	for dec := yaml.NewDecoder(bytes.NewReader(content)); ; {
		var n yaml.Node
		err := dec.Decode(&n)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			rd.broken(name, syntaxProblem(err))
			return
		}
		root := n.Content[0]
		if root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null" {
			continue
		}
		if len(rd.documents)-before == mostDocuments {
			rd.broken(name, Problem{Line: root.Line, Column: root.Column, Value: "one more document", Expected: strconv.Itoa(mostDocuments) + " at most in one file"})
			return
		}
		rd.document(name, root)
	}
	if len(rd.documents) == before {
		rd.broken(name, Problem{Line: 1, Column: 1, Value: "an empty file", Expected: "a document of the kind " + kindPair})
	}
}

// broken keeps a problem because of which there is no document.
func (rd *reader) broken(name string, p Problem) {
	d := newDecoder(name)
	d.add(p)
	rd.documents = append(rd.documents, &decoded{decoder: d})
}

var syntaxLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// syntaxProblem translates what the YAML library says. The line is only to be
// found in its text, where some mistakes have the line before their own.
func syntaxProblem(err error) Problem {
	text := err.Error()
	found := syntaxLine.FindStringSubmatch(text)
	line := 1
	if found != nil {
		text = text[len(found[0]):]
	}
	if found != nil && found[1] != "" {
		line, _ = strconv.Atoi(found[1])
	}
	return Problem{Line: line, Value: clip(text), Expected: "valid YAML"}
}

// document reads one document and checks it by itself.
func (rd *reader) document(name string, root *yaml.Node) {
	d := newDecoder(name)
	rd.documents = append(rd.documents, &decoded{decoder: d})
	if !d.envelope(root) {
		return
	}
	var doc document
	d.value(root, reflect.ValueOf(&doc).Elem(), "", key{typ: reflect.TypeFor[document]()})
	definition := doc.WithDefaults()
	for _, p := range append(checkTags(doc, d.given), checkRules(definition)...) {
		d.addChecked(p)
	}
	rd.documents[len(rd.documents)-1].definition = definition
}

// envelope reports whether the document is one that this release reads. Where
// the envelope is missing it goes on, to report the other mistakes with it.
func (d *decoder) envelope(root *yaml.Node) bool {
	ok := true
	if n := member(root, "apiVersion"); n != nil && n.Value != apiVersion {
		d.refuse(n, "apiVersion", shown(n, "apiVersion"), apiVersion)
		ok = false
	}
	n := member(root, "kind")
	if n == nil || n.Value == kindPair {
		return ok
	}
	expected := kindPair
	if word, found := nearest.Word(n.Value, []string{kindPair, kindGeo}); n.Value == kindGeo {
		expected = kindPair + ", because " + kindGeo + " is not supported by this release"
	} else if found {
		expected = oneOf([]string{kindPair, kindGeo}) + " (did you mean " + word + "?)"
	}
	d.refuse(n, "kind", shown(n, "kind"), expected)
	return false
}

// member returns the scalar that a mapping holds at the key, or nil.
func member(root *yaml.Node, name string) *yaml.Node {
	if root.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		if n := root.Content[i+1]; root.Content[i].Value == name && n.Kind == yaml.ScalarNode && n.ShortTag() != "!!null" {
			return n
		}
	}
	return nil
}

// result checks the documents against each other and returns the definitions,
// or else every problem.
func (rd *reader) result() ([]pair.Definition, error) {
	rd.checkClaims()
	var problems Problems
	var definitions []pair.Definition
	for _, doc := range rd.documents {
		definitions = append(definitions, doc.definition)
		problems = append(problems, doc.report()...)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return definitions, nil
}

// report returns the document's problems in the order of their lines.
func (d *decoder) report() Problems {
	d.problems.sort()
	if !d.more {
		return d.problems
	}
	return append(d.problems, Problem{File: d.file, Value: "more mistakes", Expected: "those above to be corrected first"})
}

// checkClaims refuses a name or a virtual machine that two pairs have, because
// a unit belongs to one pair (DESIGN section 6).
func (rd *reader) checkClaims() {
	owners := make(map[claim]*decoded)
	for _, doc := range rd.documents {
		for _, c := range claims(doc.definition) {
			owner, taken := owners[c.claim]
			if !taken {
				owners[c.claim] = doc
			} else if owner != doc { // within one pair it is a rule of its own
				doc.addChecked(Problem{
					Field: c.field,
					Value: strconv.Quote(clip(c.value)),
					Expected: fmt.Sprintf("another %s, because the pair %q in %s has this one",
						c.kind, clip(owner.definition.Name), owner.file),
				})
			}
		}
	}
}

// claim is something that only one pair can have.
type claim struct{ kind, id string }

// claimed is a claim and where it is made.
type claimed struct {
	claim
	field, value string
}

func claims(d pair.Definition) []claimed {
	var out []claimed
	if d.Name != "" {
		out = append(out, claimed{claim{"name", d.Name}, "name", d.Name})
	}
	for _, r := range pair.Roles {
		if vm := d.Units.Of(r).VM; vm != "" {
			out = append(out, claimed{claim{"virtual machine", string(d.VMID(r))}, "units." + r.String() + ".vm", vm})
		}
	}
	return out
}
