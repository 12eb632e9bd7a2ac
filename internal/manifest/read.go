// Package manifest reads the files in which a person describes pairs and GEO
// topologies (DESIGN section 7), says everything that is wrong with them at
// once, and writes pairs back. Its JSON Schemas and the references in
// docs/pair-file.md and docs/geo.md come from the same struct tags that the
// reader obeys.
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
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"tandem/internal/geo"
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

// topologyDocument is one YAML document of a GEO topology.
type topologyDocument struct {
	APIVersion string `json:"apiVersion" jsonschema:"required,enum=tandem/v1" jsonschema_description:"Version of the file's format."`
	Kind       string `json:"kind" jsonschema:"required,enum=GeoTopology" jsonschema_description:"What the document describes."`
	geo.Topology
}

// Read reads the pairs of one file: YAML or JSON, one document for each pair,
// separated by lines of three dashes. The name is for the messages only.
//
// The definitions come with their defaults filled in. When anything is wrong
// the error is Problems with every mistake of the file and no definition is
// returned; an error of r itself is returned as it is, wrapped.
func Read(name string, r io.Reader) ([]pair.Definition, error) {
	rd := reader{kinds: []string{kindPair}}
	if err := rd.read(name, r); err != nil {
		return nil, err
	}
	content, err := rd.result()
	return content.Pairs, err
}

// Load reads several files as Read does, reports the mistakes of all of them
// together, and refuses two pairs that claim the same name or virtual machine.
// The path - reads from stdin. A file that cannot be read is reported beside
// the Problems of the others.
func Load(stdin io.Reader, paths ...string) ([]pair.Definition, error) {
	rd := reader{kinds: []string{kindPair}}
	content, err := rd.load(stdin, paths)
	return content.Pairs, err
}

// Content is what files have.
type Content struct {
	Pairs []pair.Definition
	// Topologies have the addresses of the pairs that they name.
	Topologies []geo.Topology
}

// LoadAll reads files of both kinds as Load does. A topology's pairs are looked
// up in the same files. One that is not there is refused where all says that the
// files have all pairs; otherwise it stays without addresses.
func LoadAll(stdin io.Reader, all bool, paths ...string) (Content, error) {
	rd := reader{kinds: []string{kindPair, kindGeo}, all: all}
	return rd.load(stdin, paths)
}

// ReadTopology reads one topology whose pairs are given, as whoever applies it knows
// them. One that is not given is refused where all says that they are all pairs;
// otherwise it stays without addresses.
func ReadTopology(name string, r io.Reader, pairs []pair.Definition, all bool) (geo.Topology, error) {
	rd := reader{kinds: []string{kindGeo}, all: all, given: pairs}
	if err := rd.read(name, r); err != nil {
		return geo.Topology{}, err
	}
	content, err := rd.result()
	switch {
	case err != nil:
		return geo.Topology{}, err
	case len(content.Topologies) != 1:
		return geo.Topology{}, Problems{{File: name, Value: strconv.Itoa(len(content.Topologies)) + " topologies", Expected: "one"}}
	}
	return content.Topologies[0], nil
}

func (rd *reader) load(stdin io.Reader, paths []string) (Content, error) {
	var errs []error
	for _, path := range paths {
		if path == "-" {
			errs = append(errs, rd.read("standard input", stdin))
		} else {
			errs = append(errs, rd.open(path))
		}
	}
	content, err := rd.result()
	if err = errors.Join(append(errs, err)...); err != nil {
		return Content{}, err
	}
	return content, nil
}

// reader collects the documents of several files.
type reader struct {
	kinds     []string // that are taken
	all       bool     // the files have all pairs that topologies may name
	documents []*decoded
	given     []pair.Definition // pairs of no file
}

// decoded is a document and what was found wrong with it. Definition and
// topology are empty where the document is of the other kind or could not be
// read at all.
type decoded struct {
	*decoder
	definition pair.Definition // with defaults
	topology   geo.Topology    // as it stands in the file
	isTopology bool
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
		rd.broken(name, Problem{Line: 1, Column: 1, Value: "an empty file", Expected: "a document of the kind " + strings.Join(rd.kinds, " or ")})
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
	doc := &decoded{decoder: newDecoder(name)}
	rd.documents = append(rd.documents, doc)
	if !doc.envelope(root, rd.kinds) {
		return
	}
	if n := member(root, "kind"); n != nil && n.Value == kindGeo {
		doc.topology, doc.isTopology = doc.decodeTopology(root), true
	} else {
		doc.definition = doc.decodePair(root)
	}
}

func (d *decoder) decodePair(root *yaml.Node) pair.Definition {
	var doc document
	d.value(root, reflect.ValueOf(&doc).Elem(), "", key{typ: reflect.TypeFor[document]()})
	definition := doc.WithDefaults()
	for _, p := range append(checkTags(doc, d.given), checkRules(definition)...) {
		d.addChecked(p)
	}
	return definition
}

func (d *decoder) decodeTopology(root *yaml.Node) geo.Topology {
	var doc topologyDocument
	d.value(root, reflect.ValueOf(&doc).Elem(), "", key{typ: reflect.TypeFor[topologyDocument]()})
	for _, p := range checkTags(doc, d.given) {
		d.addChecked(p)
	}
	return doc.Topology
}

// envelope reports whether the document is one of the kinds. Where the envelope
// is missing it goes on, to report the other mistakes with it.
func (d *decoder) envelope(root *yaml.Node, kinds []string) bool {
	ok := true
	if n := member(root, "apiVersion"); n != nil && n.Value != apiVersion {
		d.refuse(n, "apiVersion", shown(n, "apiVersion"), apiVersion)
		ok = false
	}
	n := member(root, "kind")
	if n == nil || slices.Contains(kinds, n.Value) {
		return ok
	}
	expected := oneOf(kinds)
	if word, found := nearest.Word(n.Value, []string{kindPair, kindGeo}); n.Value == kindGeo {
		expected += ", because a " + kindGeo + " is not taken here; tandem geo plan and tandem validate take it"
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

// result checks the documents against each other and returns what they have,
// or else every problem.
func (rd *reader) result() (Content, error) {
	rd.checkClaims()
	var problems Problems
	var content Content
	for _, doc := range rd.documents {
		if doc.isTopology {
			content.Topologies = append(content.Topologies, rd.checkTopology(doc))
		} else {
			content.Pairs = append(content.Pairs, doc.definition)
		}
		problems = append(problems, doc.report()...)
	}
	if len(problems) > 0 {
		return Content{}, problems
	}
	return content, nil
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
		for _, c := range claims(doc) {
			owner, taken := owners[c.claim]
			if !taken {
				owners[c.claim] = doc
			} else if owner != doc { // within one pair it is a rule of its own
				doc.addChecked(Problem{
					Field:    c.field,
					Value:    strconv.Quote(clip(c.value)),
					Expected: fmt.Sprintf("another %s, because %s in %s has this one", c.kind, owner.named(), owner.file),
				})
			}
		}
	}
}

// named says what the document describes.
func (d *decoded) named() string {
	if d.isTopology {
		return fmt.Sprintf("the topology %q", clip(d.topology.Name))
	}
	return fmt.Sprintf("the pair %q", clip(d.definition.Name))
}

// claim is something that only one document can have.
type claim struct{ kind, id string }

// claimed is a claim and where it is made.
type claimed struct {
	claim
	field, value string
}

func claims(doc *decoded) []claimed {
	if name := doc.topology.Name; doc.isTopology && name != "" {
		return []claimed{{claim{"topology's name", name}, "name", name}}
	}
	d := doc.definition
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
