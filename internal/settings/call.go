package settings

import (
	"slices"
	"strings"
)

// Call is a call of the API, in the words of v1.
type Call struct {
	Command string
	Args    []Field
	// Writes says that the call changes something, so that it must not be sent twice.
	Writes bool
	// File is what is sent up with it, nil for none.
	File []byte
	// each is the class of which one call is made for every object.
	each Class

	class  Class  // that the answer is for
	object string // of which it is made
}

// V2 returns the name of the command in the JSON API, which has dots where v1 has
// slashes (loadmaster.md 1.1).
func (c Call) V2() string { return strings.ReplaceAll(c.Command, "/", ".") }

// String returns the call as a person would type it behind the unit's address.
func (c Call) String() string {
	var b strings.Builder
	b.WriteString(c.Command)
	for i, a := range c.Args {
		b.WriteByte("?&"[min(i, 1)])
		b.WriteString(a.Name)
		if a.Value != "" {
			b.WriteString("=" + a.Value)
		}
	}
	return b.String()
}

// of returns the call as it is made for an object, of which it may have the name in
// its arguments.
func (c Call) of(class Class, object string) Call {
	c.class, c.object = class, object
	c.Args = slices.Clone(c.Args)
	address, rest, _ := strings.Cut(object, "/")
	port, protocol, _ := strings.Cut(rest, "/")
	for i := range c.Args {
		c.Args[i].Value = strings.NewReplacer(itsName, object, itsAddress, address, itsPort, port, itsProtocol, protocol).Replace(c.Args[i].Value)
	}
	return c
}

func (c Call) same(other Call) bool {
	return c.Command == other.Command && c.object == other.object && slices.Equal(c.Args, other.Args)
}

// Node is an answer of a unit, or a part of one: a name with a text, or with
// further nodes. Lists are nodes of one name side by side, as XML has them, so that
// a list of one and a single value are the same (loadmaster.md 1.5).
type Node struct {
	Name string
	Text string
	Kids []Node
}

// child returns the first kid of a name, which is in lower case.
func (n *Node) child(name string) (*Node, bool) {
	for i := range n.Kids {
		if strings.EqualFold(n.Kids[i].Name, name) {
			return &n.Kids[i], true
		}
	}
	return nil, false
}

// text returns the text of a kid. Name may list alternatives, divided by bars.
func (n *Node) text(name string) string {
	for alternative := range strings.SplitSeq(name, "|") {
		if kid, ok := n.child(alternative); ok {
			return unpadded(kid.Text)
		}
	}
	return ""
}

// empty reports whether nothing is said but what the answer says beside its
// objects.
func (n *Node) empty(listed []string) bool {
	if len(n.Kids) == 0 {
		return unpadded(n.Text) == ""
	}
	for i := range n.Kids {
		if !slices.Contains(listed, strings.ToLower(n.Kids[i].Name)) && !n.Kids[i].empty(listed) {
			return false
		}
	}
	return true
}
