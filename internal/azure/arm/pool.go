package arm

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	azarm "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"

	"tandem/internal/pair"
)

// Pools are read and written with the bare pipeline of azcore, not with
// armnetwork's client, for three reasons: the body goes back byte for byte;
// If-Match stands on the one request that it is meant for, where no poll can
// inherit it (armnetwork takes it only through a context, azure.md 1.9); and
// the resume tokens that are stored name our own type, so that they outlive a
// new major version of armnetwork.

// apiVersion is the version of the network API, the one that armnetwork v9
// speaks; a test keeps the two in step.
const apiVersion = "2025-05-01"

// poolWritten is the result of a pool write, of which nothing is used: a write
// is believed when it is seen. Its name is part of the resume tokens that are
// stored, so it must never change.
type poolWritten struct{}

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
	if err != nil {
		return pair.Operation{}, fmt.Errorf("%s: %w", what, err)
	}
	pool, err := c.readPool(ctx, what, address)
	if err != nil {
		return pair.Operation{}, err
	}
	if pool.etag != ch.ETag {
		return pair.Operation{}, fmt.Errorf("%s: %w: the pool is at %s, the decision was made on %s", what, pair.ErrConflict, oneLine(pool.etag, 80), oneLine(ch.ETag, 80))
	}
	m, err := c.memberAt(ctx, pool, ch.Address)
	if err != nil {
		return pair.Operation{}, fmt.Errorf("%s: %w", what, err)
	}
	if m.admin == ch.Want && !ch.Rewrite {
		return pair.Operation{Done: true}, nil
	}
	if err := last(ctx); err != nil {
		return pair.Operation{}, err
	}
	return c.writePool(ctx, what, address, pool.etag, pool.with(m, ch.Want))
}

// poolURL checks a change and returns the address of its pool.
func (c *Client) poolURL(ch pair.AdminChange) (string, error) {
	id, err := parseID(ch.LoadBalancer, "Microsoft.Network/loadBalancers")
	if err != nil {
		return "", err
	}
	switch {
	case ch.Want != pair.AdminNone && ch.Want != pair.AdminUp && ch.Want != pair.AdminDown:
		return "", fmt.Errorf("%w: admin state %s cannot be written", pair.ErrInvalid, ch.Want)
	case ch.ETag == "":
		return "", fmt.Errorf("%w: no ETag, so nobody knows what the decision was made on", pair.ErrInvalid)
	case !ch.Address.IsValid():
		return "", fmt.Errorf("%w: no address", pair.ErrInvalid)
	case strings.Trim(ch.Pool, ".") == "":
		return "", fmt.Errorf("%w: %q is no name of a pool", pair.ErrInvalid, ch.Pool)
	}
	return fmt.Sprintf("%s/subscriptions/%s/resourceGroups/%s/providers/Microsoft.Network/loadBalancers/%s/backendAddressPools/%s?api-version=%s",
		strings.TrimRight(c.bare.Endpoint(), "/"), url.PathEscape(id.SubscriptionID), url.PathEscape(id.ResourceGroupName),
		url.PathEscape(id.Name), url.PathEscape(ch.Pool), apiVersion), nil
}

func (c *Client) readPool(ctx context.Context, what, address string) (document, error) {
	k := c.reading("%s: read the pool", what)
	req, err := runtime.NewRequest(k.within(ctx), http.MethodGet, address)
	if err != nil {
		return document{}, fmt.Errorf("%s: %w: %w", k.what, pair.ErrInvalid, err)
	}
	req.Raw().Header.Set("Accept", "application/json")
	resp, err := c.bare.Pipeline().Do(req)
	if err != nil {
		return document{}, k.failed(err)
	}
	if resp.StatusCode != http.StatusOK {
		return document{}, k.refused(resp)
	}
	raw, err := runtime.Payload(resp)
	if err != nil {
		return document{}, k.failed(err)
	}
	d, err := readDocument(raw)
	if err != nil {
		return document{}, k.failed(err)
	}
	if d.etag == "" {
		d.etag = resp.Header.Get("ETag")
	}
	return d, nil
}

// memberAt returns the one member with an address. Addresses of interfaces are
// read afresh, because a write must not rest on what was true an hour ago.
func (c *Client) memberAt(ctx context.Context, pool document, addr netip.Addr) (member, error) {
	var found []member
	for _, m := range pool.members {
		at, err := c.addressOf(ctx, m.address, m.ipConfig, afresh)
		if err != nil {
			return member{}, err
		}
		if at == addr.Unmap() {
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

func (c *Client) writePool(ctx context.Context, what, address, etag string, body []byte) (pair.Operation, error) {
	k := c.writing(what)
	req, err := runtime.NewRequest(k.within(ctx), http.MethodPut, address)
	if err != nil {
		return pair.Operation{}, fmt.Errorf("%s: %w: %w", what, pair.ErrInvalid, err)
	}
	req.Raw().Header.Set("Accept", "application/json")
	req.Raw().Header.Set("If-Match", etag)
	if err := req.SetBody(streaming.NopCloser(bytes.NewReader(body)), "application/json"); err != nil {
		return pair.Operation{}, fmt.Errorf("%s: %w: %w", what, pair.ErrInvalid, err)
	}
	resp, err := c.bare.Pipeline().Do(req)
	if err != nil {
		return pair.Operation{}, k.failed(err)
	}
	if !runtime.HasStatusCode(resp, http.StatusOK, http.StatusCreated, http.StatusAccepted) {
		return pair.Operation{}, k.refused(resp)
	}
	c.log.InfoContext(ctx, "admin state write taken by the platform", "write", what, "status", resp.StatusCode,
		"correlation", resp.Header.Get("X-Ms-Correlation-Request-Id"))
	poller, err := runtime.NewPoller[poolWritten](resp, c.bare.Pipeline(), nil)
	if err != nil {
		return pair.Operation{}, k.failed(err)
	}
	return k.operation(poller, resp)
}

// operation says how far a pool write is, from the platform's last answer. The
// SDK would read the pool once more to tell; the caller does that anyway, and
// if it failed here a write that is done would look as if it were not.
func (k *call) operation(poller *runtime.Poller[poolWritten], resp *http.Response) (pair.Operation, error) {
	if poller.Done() {
		if succeeded(resp) {
			return pair.Operation{Done: true}, nil
		}
		return pair.Operation{}, k.refused(resp)
	}
	token, err := poller.ResumeToken()
	if err != nil {
		return pair.Operation{}, fmt.Errorf("%s: %w: %w", k.what, pair.ErrUnknownOutcome, err)
	}
	return pair.Operation{Token: token, After: retryAfter(resp, k.now())}, nil
}

// succeeded reads the final state of a finished operation: the status of an
// operation, the provisioningState of a resource. An answer without either is
// a success by its status code.
func succeeded(resp *http.Response) bool {
	var body struct {
		Status     string `json:"status"`
		Properties struct {
			State string `json:"provisioningState"`
		} `json:"properties"`
	}
	if b, err := runtime.Payload(resp); err == nil {
		_ = json.Unmarshal(b, &body) // the poller has read it before
	}
	for _, state := range []string{body.Status, body.Properties.State} {
		switch strings.ToLower(state) {
		case "failed", "canceled", "cancelled":
			return false
		}
	}
	return true
}

// maxToken bounds a resume token; the signed addresses in it are about 3 KiB.
const maxToken = 32 << 10

// Poll looks once at the operation of a resume token, which may come from
// another process. Waiting for it is the caller's part: Operation.After says
// how long the platform asks for, and nothing here sleeps until the end, since
// the host kills what takes long.
//
// An operation that ended badly is an error: ErrSuperseded when a later write
// cancelled it, the platform's own kind where it has one, and otherwise
// ErrUnknownOutcome, as also when the platform has forgotten the operation.
// ErrUnreachable, ErrThrottled and ErrBusy mean to poll again with the same
// token, ErrInvalid that the token is none of ours.
func (c *Client) Poll(ctx context.Context, token string) (pair.Operation, error) {
	what := "look at the write of " + poolOf(token)
	if len(token) > maxToken {
		return pair.Operation{}, fmt.Errorf("%s: %w: resume token of %d bytes", what, pair.ErrInvalid, len(token))
	}
	poller, err := runtime.NewPollerFromResumeToken[poolWritten](token, c.bare.Pipeline(), nil)
	if err != nil || poller.Done() {
		return pair.Operation{}, fmt.Errorf("%s: %w: not a resume token of a running pool write", what, pair.ErrInvalid)
	}
	k := c.reading("%s", what)
	resp, err := poller.Poll(k.within(ctx))
	if err != nil {
		if k.resp != nil && (k.resp.StatusCode == http.StatusNotFound || k.resp.StatusCode == http.StatusGone) {
			return pair.Operation{}, fmt.Errorf("%s: %w: the platform does not know the operation any more%s", what, pair.ErrUnknownOutcome, correlation(k.resp))
		}
		return pair.Operation{}, k.failed(err)
	}
	k.write = true // what the platform says now, it says of the write
	return k.operation(poller, resp)
}

// poolOf names the pool that a resume token is about, for errors.
func poolOf(token string) string {
	var t struct {
		Token struct {
			Orig string `json:"origURL"`
			Poll string `json:"pollURL"`
		} `json:"token"`
	}
	_ = json.Unmarshal([]byte(token), &t) // what is no token has no name
	for _, address := range []string{t.Token.Orig, t.Token.Poll} {
		u, err := url.Parse(address)
		if err != nil {
			continue
		}
		if id, err := azarm.ParseResourceID(u.Path); err == nil && id.Parent != nil {
			return fmt.Sprintf("pool %s of load balancer %s", oneLine(id.Name, 80), oneLine(id.Parent.Name, 80))
		}
	}
	return "an unknown pool"
}
