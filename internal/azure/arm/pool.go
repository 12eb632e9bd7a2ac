package arm

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"tandem/internal/pair"
)

// BeginAdminState writes one admin state into one pool, with If-Match on the
// pool that the decision was made on. It returns as soon as the platform has
// taken the write; Poll tells how it goes on.
//
// last is asked right before the write is sent, when everything slow is over;
// its error is returned as it is, and nothing is written then.
//
// Nothing is written when the admin state is already the wanted one, unless
// the change asks for it to supersede an earlier write. Errors
// are of these kinds: ErrConflict when the pool has another ETag than the
// change, before or at the write; ErrNotFound when the pool or the member is
// not there; ErrBusy, ErrThrottled and ErrRefused as the platform says, the
// first two as *pair.Waiting where it says how long; ErrUnknownOutcome when
// the write went out and nothing is known of it; ErrInvalid when the change
// itself cannot be right. A write is sent once, never again.
func (c *Client) BeginAdminState(ctx context.Context, ch pair.AdminChange, last func(context.Context) error) (pair.Operation, error) {
	what := fmt.Sprintf("set admin state %s of %s in pool %s of load balancer %s", ch.Want, ch.Address, ch.Pool, ch.LoadBalancer.Name())
	address, err := c.poolURL(ch)
	if err == nil {
		err = checkChange(ch)
	}
	if err != nil {
		return pair.Operation{}, fmt.Errorf("%s: %w", what, err)
	}
	pool, err := c.readPool(ctx, what, address)
	if err != nil {
		return pair.Operation{}, err
	}
	if pool.etag != ch.ETag {
		return pair.Operation{}, overtaken(what, pool, ch)
	}
	m, err := c.memberAt(ctx, pool, backend{ch.VM, ch.Address.Unmap()})
	if err != nil {
		return pair.Operation{}, fmt.Errorf("%s: %w", what, err)
	}
	if m.admin == ch.Want && !ch.Rewrite {
		return pair.Operation{Done: true}, nil
	}
	if err := last(ctx); err != nil {
		return pair.Operation{}, err
	}
	k := c.writing(what)
	resp, err := c.send(ctx, k, request{method: http.MethodPut, address: address, ifMatch: pool.etag, body: pool.with(m, ch.Want)})
	if err != nil {
		return pair.Operation{}, err
	}
	return follow[poolWritten](c, k, resp)
}

func overtaken(what string, pool document, ch pair.AdminChange) error {
	return fmt.Errorf("%s: %w: the pool is at %s, the decision was made on %s", what, pair.ErrConflict, oneLine(pool.etag, 80), oneLine(ch.ETag, 80))
}

// strayETag is an ETag that no pool has, in the form that the platform uses.
const strayETag = `W/"00000000-0000-0000-0000-000000000000"`

// ProveIfMatch proves that the platform heeds If-Match on this very pool,
// which no document says of pools (azure.md 1.9), and on which every write of
// an admin state relies. It writes the pool as it is, with an ETag that is
// wrong, and returns nil if exactly that was refused with 412, so that nothing
// was changed.
//
// ErrInvalid means that the proof failed for good: the platform took the
// write, or found something else wrong with it, or the change names no pool. A
// write that was taken may still be running, and changed the pool only if
// somebody else did in the moment since it was read. Any other error says that
// nothing was learned; its kinds are those of BeginAdminState, ErrConflict
// where the change has an ETag and the pool another one by now. The address
// and the admin state are not used.
func (c *Client) ProveIfMatch(ctx context.Context, ch pair.AdminChange) error {
	what := fmt.Sprintf("prove If-Match on pool %s of load balancer %s", ch.Pool, ch.LoadBalancer.Name())
	address, err := c.poolURL(ch)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	pool, err := c.readPool(ctx, what, address)
	if err != nil {
		return err
	}
	if ch.ETag != "" && pool.etag != ch.ETag {
		return overtaken(what, pool, ch)
	}
	k := c.writing(what)
	_, err = c.send(ctx, k, request{method: http.MethodPut, address: address, ifMatch: strayETag, body: pool.raw})
	switch {
	case err == nil:
		return fmt.Errorf("%s: %w: the platform took a write with a wrong ETag%s", what, pair.ErrInvalid, correlation(k.resp))
	case k.resp != nil && k.resp.StatusCode == http.StatusPreconditionFailed:
		return nil
	default:
		return err
	}
}

// checkChange refuses a change of an admin state that cannot be right.
func checkChange(ch pair.AdminChange) error {
	switch {
	case ch.Want != pair.AdminNone && ch.Want != pair.AdminUp && ch.Want != pair.AdminDown:
		return fmt.Errorf("%w: admin state %s cannot be written", pair.ErrInvalid, ch.Want)
	case ch.ETag == "":
		return fmt.Errorf("%w: no ETag, so nobody knows what the decision was made on", pair.ErrInvalid)
	case !ch.Address.IsValid():
		return fmt.Errorf("%w: no address", pair.ErrInvalid)
	default:
		return nil
	}
}

// poolURL returns the address of the pool of a change.
func (c *Client) poolURL(ch pair.AdminChange) (string, error) {
	id, err := parseID(ch.LoadBalancer, balancerKind)
	if err != nil {
		return "", err
	}
	if strings.Trim(ch.Pool, ".") == "" {
		return "", fmt.Errorf("%w: %q is no name of a pool", pair.ErrInvalid, ch.Pool)
	}
	return c.url(id, balancerKind, "/backendAddressPools/"+url.PathEscape(ch.Pool), networkVersion), nil
}

func (c *Client) readPool(ctx context.Context, what, address string) (document, error) {
	k := c.reading("%s: read the pool", what)
	raw, etag, err := c.read(ctx, k, address)
	if err != nil {
		return document{}, err
	}
	d, err := readDocument(raw)
	if err != nil {
		return document{}, k.failed(err)
	}
	if d.etag == "" {
		d.etag = etag
	}
	return d, nil
}

// memberAt returns the one member that is a unit. Addresses of interfaces are
// read afresh, because a write must not rest on what was true an hour ago.
func (c *Client) memberAt(ctx context.Context, pool document, unit backend) (member, error) {
	at, err := c.unitsAfresh(ctx, []backend{unit}, pool.members)
	if err != nil {
		return member{}, err
	}
	var found []member
	for i, m := range pool.members {
		if at[i].IsValid() {
			found = append(found, m)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return member{}, fmt.Errorf("%w: no member of the pool has the address", pair.ErrNotFound)
	default:
		return member{}, fmt.Errorf("%w: %d members of the pool have the address", pair.ErrInvalid, len(found))
	}
}
