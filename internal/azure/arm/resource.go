package arm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	azarm "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"

	"tandem/internal/pair"
)

// kind is a type of resource that is read, listed or written as a document.
type kind struct {
	name     string // as the platform spells it
	version  string // of its API
	noun     string // for people
	writable bool
}

// kindOfResource returns what is known of a type of resource, and false for one
// that is none of ours.
func kindOfResource(name string) (kind, bool) {
	for _, k := range []kind{
		{balancerKind, networkVersion, "load balancer", true},
		{"Microsoft.Network/networkSecurityGroups", networkVersion, "security group", true},
		{interfaceKind, networkVersion, "interface", true},
		{"Microsoft.Network/publicIPAddresses", networkVersion, "public IP address", true},
		{networkKind, networkVersion, "virtual network", false},
		{subnetKind, networkVersion, "subnet", false},
		{machineKind, computeVersion, "VM", false},
	} {
		if strings.EqualFold(k.name, name) {
			return k, true
		}
	}
	return kind{}, false
}

// resource is a resource id, taken apart and known to be of a kind of ours.
type resource struct {
	kind
	id *azarm.ResourceID
}

// parseResource takes an id apart.
func parseResource(id string) (resource, error) {
	parsed, err := azarm.ParseResourceID(id)
	if err != nil {
		return resource{}, fmt.Errorf("resource id %q: %w: it cannot be parsed", oneLine(id, 200), pair.ErrInvalid)
	}
	k, known := kindOfResource(parsed.ResourceType.String())
	names := []string{parsed.SubscriptionID, parsed.ResourceGroupName, parsed.Name}
	if known && k.name == subnetKind {
		names = append(names, parsed.Parent.Name)
	}
	for _, name := range names {
		if strings.Trim(name, ".") == "" { // none, or one that would lead elsewhere
			known = false
		}
	}
	if !known {
		return resource{}, fmt.Errorf("resource id %q: %w: expected that of a resource of a pair in a resource group", oneLine(id, 200), pair.ErrInvalid)
	}
	return resource{k, parsed}, nil
}

// String names the resource for people.
func (r resource) String() string { return r.noun + " " + oneLine(r.id.Name, 80) }

// address is where a resource is read and written.
func (c *Client) address(r resource) string {
	if r.name == subnetKind {
		return c.url(r.id.Parent, networkKind, "/subnets/"+url.PathEscape(r.id.Name), r.version)
	}
	return c.url(r.id, r.name, "", r.version)
}

// Read returns a resource as Resource Manager sent it, byte for byte, and its
// ETag, which is empty where the platform gives none, as for most VMs. It reads
// load balancers, security groups, network interfaces, public IP addresses,
// virtual networks, subnets and VMs; a document is at most 8 MiB.
//
// Errors are of these kinds: ErrNotFound when there is no such resource;
// ErrRefused, ErrThrottled, ErrUnreachable and ErrUnreadable as the platform
// says or does, the second as *pair.Waiting where it says how long; ErrInvalid
// when the id is of no kind of these.
func (c *Client) Read(ctx context.Context, id pair.ResourceID) (doc json.RawMessage, etag string, err error) {
	r, err := parseResource(string(id))
	if err != nil {
		return nil, "", fmt.Errorf("read a resource: %w", err)
	}
	k := c.reading("read %s", r)
	raw, header, err := c.read(ctx, k, c.address(r))
	if err != nil {
		return nil, "", err
	}
	members, err := wholeObject(raw)
	if err != nil {
		return nil, "", k.failed(err)
	}
	if etag = text(raw, members["etag"]); etag == "" {
		etag = header
	}
	return raw, etag, nil
}

// wholeObject returns where the members of a document stand, which must be one
// JSON object.
func wholeObject(raw []byte) (map[string]span, error) {
	if !json.Valid(raw) {
		return nil, errors.New("not JSON")
	}
	if trimmed := strings.TrimLeft(string(raw[:min(len(raw), 64)]), " \t\r\n"); !strings.HasPrefix(trimmed, "{") {
		return nil, errors.New("not a JSON object")
	}
	return object(raw, span{0, len(raw)})
}

// maxDocument bounds what is written: Resource Manager takes at most 4 MiB.
const maxDocument = 4 << 20

// BeginWrite writes a whole resource: exactly these bytes, so that what they do
// not mention is gone. With ifMatch, the ETag of the document that they were
// made from, it is written only on that version; without one it is created, and
// only where there is none yet (If-None-Match). Load balancers, security
// groups, network interfaces and public IP addresses can be written. Where the
// document has an id, it must be that of the resource, and its spelling is the
// one that a new resource gets; ids of pair are in lower case.
//
// It returns as soon as the platform has taken the write; Poll tells how it
// goes on. last is asked right before the write is sent; its error is returned
// as it is, and nothing is written then. A write is sent once, never again.
// Errors are of the kinds of BeginAdminState: ErrConflict also when what is to
// be created exists, ErrNotFound when its resource group does not. ErrInvalid
// also means that the platform finds the document impossible, ErrTooLarge that
// it has more than 4 MiB.
func (c *Client) BeginWrite(ctx context.Context, id pair.ResourceID, doc []byte, ifMatch string, last func(context.Context) error) (pair.Operation, error) {
	what := "write "
	if ifMatch == "" {
		what = "create "
	}
	r, err := parseResource(string(id))
	if err != nil {
		return pair.Operation{}, fmt.Errorf("%sa resource: %w", what, err)
	}
	what += r.String()
	if r, err = checkWrite(r, doc, ifMatch); err != nil {
		return pair.Operation{}, fmt.Errorf("%s: %w", what, err)
	}
	if err := last(ctx); err != nil {
		return pair.Operation{}, err
	}
	k := c.writing(what)
	resp, err := c.send(ctx, k, request{method: http.MethodPut, address: c.address(r), ifMatch: ifMatch, create: ifMatch == "", body: doc})
	if err != nil {
		return pair.Operation{}, err
	}
	return follow[resourceWritten](c, k, resp)
}

// checkWrite refuses a write that cannot be right, and returns the resource as
// the document spells its id.
func checkWrite(r resource, doc []byte, ifMatch string) (resource, error) {
	if !r.writable {
		return r, fmt.Errorf("%w: a %s is not ours to write", pair.ErrInvalid, r.noun)
	}
	if len(doc) > maxDocument {
		return r, fmt.Errorf("%w: %d bytes", pair.ErrTooLarge, len(doc))
	}
	if ifMatch == "*" || strings.ContainsFunc(ifMatch, func(c rune) bool { return c < ' ' || c > '~' }) {
		return r, fmt.Errorf("%w: %q is no ETag", pair.ErrInvalid, oneLine(ifMatch, 80))
	}
	members, err := wholeObject(doc)
	if err != nil {
		return r, fmt.Errorf("%w: the document: %w", pair.ErrInvalid, err)
	}
	own := text(doc, members["id"])
	if own == "" {
		return r, nil
	}
	spelled, err := parseResource(own)
	if err != nil || pair.NewResourceID(own) != pair.NewResourceID(r.id.String()) {
		return r, fmt.Errorf("%w: the document is that of %s", pair.ErrInvalid, oneLine(own, 200))
	}
	return spelled, nil
}
