package arm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"tandem/internal/pair"
)

// Azure's limits for the tags of a resource; lengths are in UTF-16 units.
const (
	tagsMost     = 50
	tagNameMost  = 512
	tagValueMost = 256
)

// ourTags picks the tags that are ours. Azure compares names of tags without
// regard to case but keeps it, so ours are returned in lower case.
func ourTags(all map[string]*string) map[string]string {
	var ours map[string]string
	for name, v := range all {
		if name = strings.ToLower(name); strings.HasPrefix(name, pair.TagPrefix) {
			if ours == nil {
				ours = map[string]string{}
			}
			ours[name] = value(v)
		}
	}
	return ours
}

// SetTag sets one tag of ours on a load balancer, or removes it where the value
// is empty, and leaves all other tags as they are, byte for byte. The platform
// only takes the whole set (PATCH), so it is read afresh and written with
// If-Match on what was read. It is a write like any other: it gives the load
// balancer and its pools a new ETag and may cancel a running write (azure.md 0
// item 1).
//
// last is asked right before the write is sent; its error is returned as it is,
// and nothing is written then. Nothing is written either where the tag is right
// already. The operation that is returned is done when the tag was seen
// afterwards. The platform documents no other way; where it says all the same
// that it is not ready yet, there is a token for Poll, and the tag is to be
// looked for in LoadBalancer.
//
// Errors are those of BeginAdminState: ErrConflict means that the load balancer
// was changed since it was read, ErrUnknownOutcome also that the tag was not
// seen afterwards. ErrTooLarge means that the name, the value or the number of
// tags exceeds Azure's limits, ErrInvalid that the tag is none or not ours.
func (c *Client) SetTag(ctx context.Context, lb pair.ResourceID, name, value string, last func(context.Context) error) (pair.Operation, error) {
	what := fmt.Sprintf("set tag %s of load balancer %s", oneLine(name, 80), lb.Name())
	id, err := parseID(lb, balancerKind)
	if err == nil {
		err = checkTag(name, value)
	}
	if err != nil {
		return pair.Operation{}, fmt.Errorf("%s: %w", what, err)
	}
	address := c.url(id, balancerKind, "", networkVersion)
	tags, etag, err := c.readTags(ctx, what, address)
	if err != nil {
		return pair.Operation{}, err
	}
	wanted := tags.with(name, value)
	switch {
	case tags.has(name, value):
		return pair.Operation{Done: true}, nil
	case len(wanted) > max(tagsMost, len(tags)):
		return pair.Operation{}, fmt.Errorf("%s: %w: it has %d tags already", what, pair.ErrTooLarge, len(tags))
	}
	if err := last(ctx); err != nil {
		return pair.Operation{}, err
	}
	k := c.writing(what)
	resp, err := c.send(ctx, k, request{method: http.MethodPatch, address: address, ifMatch: etag, body: wanted.patch()})
	switch {
	case err != nil:
		return pair.Operation{}, err
	case resp.StatusCode != http.StatusOK:
		return follow[tagsWritten](c, k, resp)
	}
	return c.seeTag(ctx, what, address, name, value)
}

// seeTag believes a write that the platform calls done when it is seen. The
// provisioning state in the platform's answer does not tell: it is that of the
// whole load balancer.
func (c *Client) seeTag(ctx context.Context, what, address, name, value string) (pair.Operation, error) {
	tags, _, err := c.readTags(ctx, what, address)
	switch {
	case err != nil:
		return pair.Operation{}, fmt.Errorf("%s: %w: it was taken, but not seen: %s", what, pair.ErrUnknownOutcome, err.Error()) // its text only, as in failed
	case !tags.has(name, value):
		return pair.Operation{}, fmt.Errorf("%s: %w: it was taken, but reads otherwise", what, pair.ErrUnknownOutcome)
	default:
		return pair.Operation{Done: true}, nil
	}
}

func checkTag(name, value string) error {
	length := func(s string) int { return len(utf16.Encode([]rune(s))) }
	switch {
	case !strings.HasPrefix(name, pair.TagPrefix) || name == pair.TagPrefix:
		return fmt.Errorf("%w: a tag of ours begins with %s", pair.ErrInvalid, pair.TagPrefix)
	case name != strings.ToLower(name) || strings.ContainsAny(name, `<>%&\?/`) || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' }):
		return fmt.Errorf("%w: the name of a tag is in lower case and without any of <>%%&\\?/", pair.ErrInvalid)
	case !utf8.ValidString(name + value):
		return fmt.Errorf("%w: a tag is text", pair.ErrInvalid)
	case length(name) > tagNameMost:
		return fmt.Errorf("%w: a name of %d characters, at most %d fit", pair.ErrTooLarge, length(name), tagNameMost)
	case length(value) > tagValueMost:
		return fmt.Errorf("%w: a value of %d characters, at most %d fit", pair.ErrTooLarge, length(value), tagValueMost)
	default:
		return nil
	}
}

// tagSet are the tags of a resource in the order and the very bytes in which
// Resource Manager sent them.
type tagSet []tag

type tag struct {
	name, value string
	raw         []byte // "name":"value"
}

// readTags reads the tags of a load balancer and its ETag.
func (c *Client) readTags(ctx context.Context, what, address string) (tagSet, string, error) {
	k := c.reading("%s: read the tags", what)
	raw, header, err := c.read(ctx, k, address)
	if err != nil {
		return nil, "", err
	}
	tags, etag, err := parseTags(raw)
	if err != nil {
		return nil, "", k.failed(err)
	}
	if etag == "" {
		etag = header
	}
	if etag == "" {
		return nil, "", k.failed(errors.New("no ETag to write on"))
	}
	return tags, etag, nil
}

func parseTags(raw []byte) (tags tagSet, etag string, err error) {
	if !json.Valid(raw) {
		return nil, "", errors.New("not JSON")
	}
	resource, err := object(raw, span{0, len(raw)})
	if err != nil {
		return nil, "", err
	}
	at, seen := resource["tags"], map[string]bool{}
	after := at.from + 1 // of the brace, then of the tag before
	err = walk(raw, at, '{', func(name string, v span) error {
		if seen[strings.ToLower(name)] {
			return fmt.Errorf("%q comes twice", name)
		}
		seen[strings.ToLower(name)] = true
		t := tag{name: name, raw: bytes.TrimLeft(raw[after:v.to], ", \t\r\n")}
		if err := json.Unmarshal(raw[v.from:v.to], &t.value); err != nil {
			return fmt.Errorf("%q is not text", name)
		}
		tags, after = append(tags, t), v.to
		return nil
	})
	if err != nil {
		return nil, "", fmt.Errorf("tags: %w", err)
	}
	return tags, text(raw, resource["etag"]), nil
}

// index returns where the tag with a name is, negative where it is not. Names
// are compared as Azure does, without regard to case.
func (s tagSet) index(name string) int {
	return slices.IndexFunc(s, func(t tag) bool { return strings.EqualFold(t.name, name) })
}

// has reports whether a tag has the value, or, for an empty one, is not there.
func (s tagSet) has(name, value string) bool {
	if i := s.index(name); i >= 0 {
		return value != "" && s[i].value == value
	}
	return value == ""
}

// with returns the set with one tag changed, added or removed.
func (s tagSet) with(name, value string) tagSet {
	changed := slices.Clone(s)
	i := s.index(name)
	if value == "" {
		if i < 0 {
			return changed
		}
		return slices.Delete(changed, i, i+1)
	}
	n, _ := json.Marshal(name) // of a string: cannot fail
	v, _ := json.Marshal(value)
	t := tag{name: name, value: value, raw: slices.Concat(n, []byte(":"), v)}
	if i < 0 {
		return append(changed, t)
	}
	changed[i] = t
	return changed
}

// patch is the body of a PATCH that replaces all tags.
func (s tagSet) patch() []byte {
	var list [][]byte
	for _, t := range s {
		list = append(list, t.raw)
	}
	return slices.Concat([]byte(`{"tags":{`), bytes.Join(list, []byte(",")), []byte("}}"))
}
