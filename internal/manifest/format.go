package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"

	"go.yaml.in/yaml/v3"

	"tandem/internal/pair"
)

// Format writes a pair file that Read turns into the same definition again,
// with its keys in the order of the reference. Unset values are left out and
// equal definitions give equal bytes.
func Format(d pair.Definition) ([]byte, error) {
	asJSON, err := json.Marshal(document{APIVersion: apiVersion, Kind: kindPair, Definition: d})
	if err != nil {
		return nil, fmt.Errorf("format pair %s: %w", d.Name, err)
	}
	var n yaml.Node // JSON is YAML, and reading it as such keeps the order of its keys
	if err := yaml.Unmarshal(asJSON, &n); err != nil {
		return nil, fmt.Errorf("format pair %s: %w", d.Name, err)
	}
	layOut(&n)
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(&n); err != nil {
		return nil, fmt.Errorf("format pair %s: %w", d.Name, err)
	}
	return b.Bytes(), nil
}

// layOut gives a node the style of a file that a person wrote: what holds only
// plain values is on one line, everything else is indented, and text is quoted
// only where it must be.
func layOut(n *yaml.Node) {
	n.Style = 0
	flat := n.Kind != yaml.DocumentNode
	for _, child := range n.Content {
		layOut(child)
		flat = flat && child.Kind == yaml.ScalarNode
	}
	if flat && len(n.Content) > 0 {
		n.Style = yaml.FlowStyle
	}
}
