package arm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	azarm "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"

	"tandem/internal/pair"
)

// Whatever is written goes through the bare pipeline of azcore, not through
// the generated clients, for three reasons: the body goes back byte for byte;
// If-Match stands on the one request that it is meant for, where no poll can
// inherit it (armnetwork takes it only through a context, azure.md 1.9); and
// the resume tokens that are stored name our own types, so that they outlive a
// new major version of the SDK.

// networkVersion and computeVersion are the versions of the APIs, those that
// armnetwork v9 and armcompute v7 speak; tests keep them in step.
const (
	networkVersion = "2025-05-01"
	computeVersion = "2025-04-01"
)

// The results of operations, of which nothing is used: a write is believed
// when it is seen. Their names are part of the resume tokens that are stored,
// so they must never change.
type (
	poolWritten     struct{}
	tagsWritten     struct{}
	machineActed    struct{}
	resourceWritten struct{}
)

// request is one request of a write.
type request struct {
	method, address string
	ifMatch         string // empty where no version is written on
	create          bool   // only where there is none yet
	body            []byte // JSON, nil for none
}

// url returns the address of a resource of a kind or of what is below it.
func (c *Client) url(id *azarm.ResourceID, kind, below, version string) string {
	return fmt.Sprintf("%s/subscriptions/%s/resourceGroups/%s/providers/%s/%s%s?api-version=%s", strings.TrimRight(c.bare.Endpoint(), "/"),
		url.PathEscape(id.SubscriptionID), url.PathEscape(id.ResourceGroupName), kind, url.PathEscape(id.Name), below, version)
}

// read gets a resource as the bytes that Resource Manager sent, with the ETag
// of the answer's header, if there is one.
func (c *Client) read(ctx context.Context, k *call, address string) (raw []byte, etag string, err error) {
	req, err := runtime.NewRequest(k.within(ctx), http.MethodGet, address)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w: %w", k.what, pair.ErrInvalid, err)
	}
	req.Raw().Header.Set("Accept", "application/json")
	resp, err := c.bare.Pipeline().Do(req)
	if err != nil {
		return nil, "", k.failed(err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, "", k.refused(resp)
	}
	raw, err = runtime.Payload(resp)
	if err != nil {
		return nil, "", k.failed(err)
	}
	return raw, resp.Header.Get("ETag"), nil
}

// send sends a write once and returns the answer of a platform that took it.
func (c *Client) send(ctx context.Context, k *call, r request) (*http.Response, error) {
	req, err := runtime.NewRequest(k.within(ctx), r.method, r.address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", k.what, pair.ErrInvalid, err)
	}
	req.Raw().Header.Set("Accept", "application/json")
	if r.ifMatch != "" {
		req.Raw().Header.Set("If-Match", r.ifMatch)
	}
	if r.create {
		req.Raw().Header.Set("If-None-Match", "*")
	}
	if r.body != nil {
		if err := req.SetBody(streaming.NopCloser(bytes.NewReader(r.body)), "application/json"); err != nil {
			return nil, fmt.Errorf("%s: %w: %w", k.what, pair.ErrInvalid, err)
		}
	}
	resp, err := c.bare.Pipeline().Do(req)
	if err != nil {
		return nil, k.failed(err)
	}
	if !runtime.HasStatusCode(resp, http.StatusOK, http.StatusCreated, http.StatusAccepted) {
		return nil, k.refused(resp)
	}
	c.log.InfoContext(ctx, "write taken by the platform", "write", k.what, "status", resp.StatusCode,
		"correlation", resp.Header.Get("X-Ms-Correlation-Request-Id"))
	return resp, nil
}

// follow makes the operation of a write that was taken.
func follow[T any](c *Client, k *call, resp *http.Response) (pair.Operation, error) {
	p, err := runtime.NewPoller[T](resp, c.bare.Pipeline(), nil)
	if err != nil {
		return pair.Operation{}, k.failed(err)
	}
	return k.operation(p, resp)
}

// poller is a runtime.Poller of any result.
type poller interface {
	Done() bool
	Poll(context.Context) (*http.Response, error)
	ResumeToken() (string, error)
}

// operation says how far a write is, from the platform's last answer. The SDK
// would read the resource once more to tell; the caller does that anyway, and
// if it failed here a write that is done would look as if it were not.
func (k *call) operation(p poller, resp *http.Response) (pair.Operation, error) {
	if p.Done() {
		if succeeded(resp) {
			return pair.Operation{Done: true}, nil
		}
		return pair.Operation{}, k.refused(resp)
	}
	token, err := p.ResumeToken()
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

// Poll looks once at the operation of a resume token, be it of a pool, of tags,
// of a whole resource or of a VM, which may come from another process. Waiting
// for it is the caller's part: Operation.After says how long the platform asks
// for, and nothing here sleeps until the end, since the host kills what takes
// long.
//
// An operation that ended badly is an error: ErrSuperseded when a later write
// cancelled it, the platform's own kind where it has one, and otherwise
// ErrUnknownOutcome, as also when the platform has forgotten the operation.
// ErrUnreachable, ErrThrottled and ErrBusy mean to poll again with the same
// token, ErrInvalid that the token is none of ours.
func (c *Client) Poll(ctx context.Context, token string) (pair.Operation, error) {
	what := "look at " + subject(token)
	if len(token) > maxToken {
		return pair.Operation{}, fmt.Errorf("%s: %w: resume token of %d bytes", what, pair.ErrInvalid, len(token))
	}
	p, err := c.resume(token)
	if err != nil || p.Done() {
		return pair.Operation{}, fmt.Errorf("%s: %w: not a resume token of a running operation", what, pair.ErrInvalid)
	}
	k := c.reading("%s", what)
	resp, err := p.Poll(k.within(ctx))
	if err != nil {
		if k.resp != nil && (k.resp.StatusCode == http.StatusNotFound || k.resp.StatusCode == http.StatusGone) {
			return pair.Operation{}, fmt.Errorf("%s: %w: the platform does not know the operation any more%s", what, pair.ErrUnknownOutcome, correlation(k.resp))
		}
		return pair.Operation{}, k.failed(err)
	}
	k.write = true // what the platform says now, it says of the write
	return k.operation(p, resp)
}

// stored is what we read of a resume token ourselves.
type stored struct {
	Type  string `json:"type"`
	Token struct {
		Orig string `json:"origURL"`
		Poll string `json:"pollURL"`
	} `json:"token"`
}

func readToken(token string) stored {
	var t stored
	_ = json.Unmarshal([]byte(token), &t) // what is no token says nothing
	return t
}

// resume makes the poller of a resume token of any of our kinds.
func (c *Client) resume(token string) (poller, error) {
	switch pipeline := c.bare.Pipeline(); readToken(token).Type {
	case "poolWritten":
		return runtime.NewPollerFromResumeToken[poolWritten](token, pipeline, nil)
	case "tagsWritten":
		return runtime.NewPollerFromResumeToken[tagsWritten](token, pipeline, nil)
	case "machineActed":
		return runtime.NewPollerFromResumeToken[machineActed](token, pipeline, nil)
	case "resourceWritten":
		return runtime.NewPollerFromResumeToken[resourceWritten](token, pipeline, nil)
	default:
		return nil, errors.New("the token is of no kind of ours")
	}
}

// subject says what the operation of a resume token does, for errors. Only the
// address that the write was sent to tells, which not every token has.
func subject(token string) string {
	t := readToken(token)
	for _, address := range []string{t.Token.Orig, t.Token.Poll} {
		u, err := url.Parse(address)
		if err != nil {
			continue
		}
		path, verb := u.Path, ""
		if at := strings.LastIndexByte(path, '/'); t.Type == "machineActed" && at >= 0 {
			path, verb = path[:at], path[at+1:]
		}
		id, err := azarm.ParseResourceID(path)
		if err != nil {
			continue
		}
		switch name := oneLine(id.Name, 80); {
		case t.Type == "resourceWritten":
			if k, known := kindOfResource(id.ResourceType.String()); known {
				return "the write of " + k.noun + " " + name
			}
		case isOf(id, machineKind) && verb != "":
			return fmt.Sprintf("the %s of VM %s", oneLine(verb, 20), name)
		case isOf(id, balancerKind):
			return "the tags of load balancer " + name
		case isOf(id, balancerKind+"/backendAddressPools"):
			return fmt.Sprintf("the write of pool %s of load balancer %s", name, oneLine(id.Parent.Name, 80))
		}
	}
	return "an unknown operation"
}
