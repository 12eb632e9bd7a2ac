package arm

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"tandem/internal/pair"
)

// maxAnswer bounds an answer of Resource Manager. A load balancer with all its
// 1,500 rules is about 2 MiB.
const maxAnswer = 8 << 20

// wire is the last station before the network. It notes that a request went
// out, which decides between "not done" and "outcome unknown", and it reads
// the answer whole, so that a connection that breaks in the middle of a body
// is a transport error like any other.
type wire struct {
	next policy.Transporter
}

// Do sends one request, unless its context has ended before, perhaps while a
// token was asked for.
func (w *wire) Do(req *http.Request) (*http.Response, error) {
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	if k, ok := req.Context().Value(callKey{}).(*call); ok {
		k.sent.Store(true)
	}
	resp, err := w.next.Do(req)
	if err != nil {
		return nil, err
	}
	if resp == nil || resp.Body == nil {
		return nil, fmt.Errorf("read the answer: %w: there is none", pair.ErrUnreadable)
	}
	body, err := readBounded(resp.Body)
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	if resp.Request == nil {
		resp.Request = req
	}
	return resp, nil
}

func readBounded(r io.ReadCloser) ([]byte, error) {
	defer func() { _ = r.Close() }()
	body, err := io.ReadAll(io.LimitReader(r, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if len(body) > maxAnswer {
		return nil, fmt.Errorf("read the answer: %w: more than %d bytes", pair.ErrUnreadable, maxAnswer)
	}
	return body, nil
}

// homeOnly refuses to carry our token to any host but the cloud's own
// Resource Manager and the regional names below it. The addresses of running
// operations come from answers and from stored resume tokens.
type homeOnly struct {
	host string // in lower case
}

// Do passes the request on if it stays at home.
func (h *homeOnly) Do(req *policy.Request) (*http.Response, error) {
	host := strings.ToLower(req.Raw().URL.Hostname())
	if host != h.host && !strings.HasSuffix(host, "."+h.host) {
		return nil, fmt.Errorf("call host %q: %w: it does not belong to %s", host, pair.ErrInvalid, h.host)
	}
	return req.Next()
}
