package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
)

// class is a kind of mistake that a mutant makes.
type class string

// The classes. The goal is set for conditions and rows; boundaries are counted
// apart, because many of them change nothing that anybody could notice.
const (
	condition class = "condition" // a condition, or an operand of && and ||, is negated
	row       class = "row"       // a row of a decision table is missing
	boundary  class = "boundary"  // a comparison is off by its boundary: < for <=, == for !=
)

var classes = []class{condition, row, boundary}

// rowType is the element of a decision table.
const rowType = "Row"

// mutant is one mistake in one file.
type mutant struct {
	File   string `json:"file"` // relative to where the command was started
	Line   int    `json:"line"`
	Column int    `json:"column"`
	Class  class  `json:"class"`
	Was    string `json:"was"`
	Now    string `json:"now"`           // empty where Was is missing
	Why    string `json:"why,omitempty"` // it does not compile

	source *source
	edits  []edit // not overlapping, in order
}

func (m mutant) String() string {
	what := m.Now + " instead of " + m.Was
	if m.Now == "" {
		what = "without " + m.Was
	}
	return fmt.Sprintf("%s:%d:%d: %s: %s", m.File, m.Line, m.Column, m.Class, what)
}

// source is a file that mutants are made of.
type source struct {
	path string // absolute
	text []byte
}

// edit replaces a range of bytes.
type edit struct {
	from, to int
	text     string
}

// mutated returns the file with the mistake in it. Every other line keeps its
// number.
func (m mutant) mutated() []byte {
	var out []byte
	at := 0
	for _, e := range m.edits {
		out = append(append(out, m.source.text[at:e.from]...), e.text...)
		at = e.to
	}
	return append(out, m.source.text[at:]...)
}

// mutants returns every mutant of a file, in the order of their places.
func mutants(shown string, src *source) ([]mutant, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, shown, src.text, parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", shown, err)
	}
	f := &finder{fset: fset, source: src, file: shown, negated: map[ast.Expr]bool{}}
	ast.Inspect(file, f.conditions)
	ast.Inspect(file, f.others)
	slices.SortStableFunc(f.found, func(a, b mutant) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Class, b.Class))
	})
	return f.found, nil
}

// finder walks over one file.
type finder struct {
	fset    *token.FileSet
	source  *source
	file    string
	negated map[ast.Expr]bool // without the parentheses around it
	found   []mutant
}

// conditions negates what decides where the program goes on, and what a
// function says of a condition.
func (f *finder) conditions(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.IfStmt:
		f.negate(n.Cond)
	case *ast.ForStmt:
		if n.Cond != nil {
			f.negate(n.Cond)
		}
	case *ast.SwitchStmt:
		if n.Tag == nil {
			for _, clause := range n.Body.List {
				f.negate(clause.(*ast.CaseClause).List...)
			}
		}
	case *ast.ReturnStmt:
		for _, result := range n.Results {
			if isCondition(result) {
				f.negate(result)
			}
		}
	case *ast.BinaryExpr:
		if n.Op == token.LAND || n.Op == token.LOR {
			f.operands(n)
		}
	}
	return true
}

// operands negates both sides of && or ||. In a && b && c the parser takes
// a && b for one side, which nobody wrote as one.
func (f *finder) operands(n *ast.BinaryExpr) {
	for _, side := range []ast.Expr{n.X, n.Y} {
		if inner, ok := side.(*ast.BinaryExpr); !ok || inner.Op != n.Op {
			f.negate(side)
		}
	}
}

// isCondition reports whether an expression can be seen to be a condition
// without knowing any type.
func isCondition(e ast.Expr) bool {
	switch e := ast.Unparen(e).(type) {
	case *ast.UnaryExpr:
		return e.Op == token.NOT
	case *ast.BinaryExpr:
		return e.Op == token.LAND || e.Op == token.LOR || boundaryOf[e.Op] != 0
	default:
		return false
	}
}

func (f *finder) negate(conditions ...ast.Expr) {
	for _, c := range conditions {
		if f.negated[ast.Unparen(c)] {
			continue
		}
		f.negated[ast.Unparen(c)] = true
		was := f.text(c.Pos(), c.End())
		now := "!(" + was + ")"
		if _, whole := c.(*ast.ParenExpr); whole {
			now = "!" + was
		}
		at, end := f.offset(c.Pos()), f.offset(c.End())
		f.add(c.Pos(), condition, was, now, edit{at, at, "!("}, edit{end, end, ")"})
	}
}

// boundaryOf maps each comparison to the one that differs from it least.
var boundaryOf = map[token.Token]token.Token{
	token.LSS: token.LEQ, token.LEQ: token.LSS,
	token.GTR: token.GEQ, token.GEQ: token.GTR,
	token.EQL: token.NEQ, token.NEQ: token.EQL,
}

// others moves boundaries and drops rows.
func (f *finder) others(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.BinaryExpr:
		f.move(n)
	case *ast.CompositeLit:
		if isTable(n) {
			f.drop(n)
		}
	}
	return true
}

// move swaps a comparison for its neighbour, unless that is the same as its
// negation, which is made already.
func (f *finder) move(n *ast.BinaryExpr) {
	to := boundaryOf[n.Op]
	equality := n.Op == token.EQL || n.Op == token.NEQ
	if to == 0 || equality && f.negated[n] {
		return
	}
	at := f.offset(n.OpPos)
	was := f.text(n.Pos(), n.End())
	now := f.text(n.Pos(), n.OpPos) + " " + to.String() + " " + f.text(n.OpPos+token.Pos(len(n.Op.String())), n.End())
	f.add(n.OpPos, boundary, was, now, edit{at, at + len(n.Op.String()), to.String()})
}

func isTable(n *ast.CompositeLit) bool {
	list, ok := n.Type.(*ast.ArrayType)
	if !ok {
		return false
	}
	element, ok := list.Elt.(*ast.Ident)
	return ok && element.Name == rowType
}

// drop leaves out one row at a time, with the comma behind it.
func (f *finder) drop(table *ast.CompositeLit) {
	for i, e := range table.Elts {
		end := table.Rbrace
		if i+1 < len(table.Elts) {
			end = table.Elts[i+1].Pos()
		}
		from, to := f.offset(e.Pos()), f.offset(end)
		lines := strings.Repeat("\n", strings.Count(string(f.source.text[from:to]), "\n"))
		f.add(e.Pos(), row, f.rowName(e), "", edit{from, to, lines})
	}
}

// rowName returns the row's field Name, and its text where it has none.
func (f *finder) rowName(e ast.Expr) string {
	if lit, ok := e.(*ast.CompositeLit); ok {
		for _, field := range lit.Elts {
			kv, ok := field.(*ast.KeyValueExpr)
			if !ok {
				continue
			}
			key, isName := kv.Key.(*ast.Ident)
			value, isText := kv.Value.(*ast.BasicLit)
			if isName && isText && key.Name == "Name" {
				if name, err := strconv.Unquote(value.Value); err == nil {
					return name
				}
			}
		}
	}
	return f.text(e.Pos(), e.End())
}

func (f *finder) add(at token.Pos, c class, was, now string, edits ...edit) {
	p := f.fset.Position(at)
	f.found = append(f.found, mutant{
		File: f.file, Line: p.Line, Column: p.Column, Class: c, Was: was, Now: now, source: f.source, edits: edits,
	})
}

func (f *finder) offset(p token.Pos) int { return f.fset.PositionFor(p, false).Offset }

// maxShown is how much of an expression is shown, in characters.
const maxShown = 120

// text returns a piece of the file on one line.
func (f *finder) text(from, to token.Pos) string {
	words := strings.Join(strings.Fields(string(f.source.text[f.offset(from):f.offset(to)])), " ")
	if r := []rune(words); len(r) > maxShown {
		return string(r[:maxShown]) + "…"
	}
	return words
}
