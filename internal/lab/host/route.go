package host

import (
	"cmp"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// route is a parsed route template: literals, {name}, {name:int}, {name?} and
// {*rest} (functions-host.md 4.1).
type route struct {
	template string
	segments []segment
}

type segment struct {
	literal  string // lower case; empty for a parameter
	name     string
	kind     parameterKind
	isInt    bool
	optional bool
}

// parameterKind orders segments from the most to the least specific; the
// most specific route wins.
type parameterKind int

const (
	literalSegment parameterKind = iota
	parameterSegment
	catchAllSegment
)

var parameterPattern = regexp.MustCompile(`^\{(\*{0,2})([a-zA-Z_][a-zA-Z0-9_]*)(:int)?(\?)?\}$`)

func parseRoute(prefix, template string) (route, error) {
	r := route{template: strings.Trim(prefix+"/"+strings.Trim(template, "/"), "/")}
	parts := strings.Split(r.template, "/")
	for i, part := range parts {
		if !strings.ContainsAny(part, "{}") {
			r.segments = append(r.segments, segment{literal: strings.ToLower(part)})
			continue
		}
		match := parameterPattern.FindStringSubmatch(part)
		if match == nil {
			return route{}, fmt.Errorf("read route %q: segment %q isn't modelled", template, part)
		}
		s := segment{kind: parameterSegment, name: match[2], isInt: match[3] != "", optional: match[4] != ""}
		if match[1] != "" {
			s.kind, s.optional = catchAllSegment, true
		}
		if s.optional && i != len(parts)-1 {
			return route{}, fmt.Errorf("read route %q: only the last segment may be optional", template)
		}
		r.segments = append(r.segments, s)
	}
	return r, nil
}

// match returns the route's values for an escaped path; an optional one that
// is missing is nil.
func (r route) match(path string) (map[string]any, bool) {
	rest := strings.Split(strings.Trim(path, "/"), "/")
	if rest[0] == "" {
		rest = nil
	}
	values := map[string]any{}
	for _, s := range r.segments {
		if s.kind == catchAllSegment {
			values[s.name] = nil
			if len(rest) > 0 {
				values[s.name] = unescape(strings.Join(rest, "/"))
			}
			return values, true
		}
		if len(rest) == 0 {
			if !s.optional {
				return nil, false
			}
			values[s.name] = nil
			continue
		}
		text := unescape(rest[0])
		if !s.accepts(text) {
			return nil, false
		}
		if s.kind == parameterSegment {
			values[s.name] = text
		}
		rest = rest[1:]
	}
	return values, len(rest) == 0
}

func (s segment) accepts(text string) bool {
	if s.kind == literalSegment {
		return strings.ToLower(text) == s.literal
	}
	if s.isInt {
		_, err := strconv.ParseInt(text, 10, 32)
		return err == nil
	}
	return text != ""
}

// compare orders routes by how specific they are, segment by segment, then by
// their text.
func (r route) compare(other route) int {
	for i := range min(len(r.segments), len(other.segments)) {
		a, b := r.segments[i], other.segments[i]
		if order := cmp.Compare(a.rank(), b.rank()); order != 0 {
			return order
		}
	}
	if order := cmp.Compare(len(other.segments), len(r.segments)); order != 0 {
		return order
	}
	return cmp.Compare(r.template, other.template)
}

func (s segment) rank() int {
	rank := 2 * int(s.kind)
	if s.kind == parameterSegment && !s.isInt {
		rank++
	}
	return rank
}

func unescape(text string) string {
	plain, err := url.PathUnescape(text)
	if err != nil {
		return text
	}
	return plain
}
