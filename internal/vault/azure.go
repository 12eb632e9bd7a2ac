package vault

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	azblob "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"tandem/internal/pair"
)

// AzureOptions say which container is used and how: either ConnectionString and
// Container, or URL and Credential.
type AzureOptions struct {
	// ConnectionString names an account with its key, as for Azurite, and Container
	// one of its containers.
	ConnectionString, Container string
	// URL is the container's address, such as
	// https://ACCOUNT.blob.core.windows.net/CONTAINER.
	URL string
	// Credential is the identity. It needs Storage Blob Data Contributor on the
	// container and nothing else: the container is not made here, because that would
	// take a right on the whole account.
	Credential azcore.TokenCredential
	// Transport sends the requests; it must not retry, and follow no redirection.
	// Nil means HTTP with the system's proxy.
	Transport policy.Transporter
	// Timeout bounds one request, a minute when 0. A write that takes longer has an
	// unknown outcome.
	Timeout time.Duration
}

const (
	defaultTimeout = time.Minute
	// pagesMost bounds a list; each page has up to 5,000 blobs.
	pagesMost = 20
	// listMost bounds what is read of a page, in bytes.
	listMost = 16 << 20
	// waitMost bounds how long an answer can make us wait.
	waitMost = 10 * time.Minute
)

// azure is the backend in blob storage.
type azure struct {
	client  *container.Client
	timeout time.Duration
}

// NewAzure returns a vault in blob storage. It makes no call. The error is
// pair.ErrInvalid when the options do not name a container; it does not repeat a
// connection string.
func NewAzure(o AzureOptions) (*Vault, error) {
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Transport == nil {
		o.Transport = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	opts := &container.ClientOptions{ClientOptions: azcore.ClientOptions{
		Transport: noting{o.Transport}, Retry: policy.RetryOptions{MaxRetries: -1},
	}}
	a := &azure{timeout: o.Timeout}
	var err error
	switch {
	case o.ConnectionString != "" && o.Container != "":
		if a.client, err = container.NewClientFromConnectionString(o.ConnectionString, o.Container, opts); err != nil {
			err = errors.New("malformed connection string")
		}
	case o.URL != "" && o.Credential != nil:
		a.client, err = container.NewClient(o.URL, o.Credential, opts)
	default:
		err = errors.New("neither a connection string with a container nor an address with a credential is given")
	}
	if err != nil {
		return nil, fmt.Errorf("open the container for backups: %w: %w", pair.ErrInvalid, err)
	}
	return &Vault{a}, nil
}

func (a *azure) put(ctx context.Context, name string, meta map[string]string, file []byte) error {
	ctx, c, cancel := a.begin(ctx, true)
	defer cancel()
	beside := map[string]*string{}
	for k, text := range meta {
		beside[k] = &text
	}
	none, kind := azcore.ETagAny, "application/octet-stream"
	_, err := a.client.NewBlockBlobClient(name).Upload(ctx, streaming.NopCloser(bytes.NewReader(file)), &blockblob.UploadOptions{
		Metadata: beside, HTTPHeaders: &azblob.HTTPHeaders{BlobContentType: &kind},
		AccessConditions: &azblob.AccessConditions{ModifiedAccessConditions: &azblob.ModifiedAccessConditions{IfNoneMatch: &none}},
	})
	return c.kind(err)
}

func (a *azure) list(ctx context.Context, prefix string) ([]blob, error) {
	var found []blob
	pager := a.client.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{Prefix: &prefix, Include: container.ListBlobsInclude{Metadata: true}})
	for range pagesMost {
		page, err := a.page(ctx, pager.NextPage)
		if err != nil {
			return nil, err
		}
		if page.Segment != nil {
			for _, item := range page.Segment.BlobItems {
				if item == nil || item.Name == nil || item.Properties == nil || item.Properties.ContentLength == nil {
					return nil, fmt.Errorf("a blob without name or length: %w", pair.ErrUnreadable)
				}
				found = append(found, blob{*item.Name, *item.Properties.ContentLength, lower(item.Metadata)})
			}
		}
		if !pager.More() {
			return found, nil
		}
	}
	return nil, fmt.Errorf("more than %d pages: %w", pagesMost, pair.ErrTooLarge)
}

func (a *azure) page(ctx context.Context, next func(context.Context) (container.ListBlobsFlatResponse, error)) (container.ListBlobsFlatResponse, error) {
	ctx, c, cancel := a.begin(ctx, false)
	defer cancel()
	page, err := next(ctx)
	return page, c.kind(err)
}

func (a *azure) get(ctx context.Context, name string, most int64) (blob, []byte, error) {
	ctx, c, cancel := a.begin(ctx, false)
	defer cancel()
	got, err := a.client.NewBlobClient(name).DownloadStream(ctx, nil)
	if err != nil {
		return blob{}, nil, c.kind(err)
	}
	defer func() { _ = got.Body.Close() }() // read as far as it is wanted
	file, err := io.ReadAll(io.LimitReader(got.Body, most+1))
	if err != nil {
		return blob{}, nil, c.kind(err)
	}
	return blob{name, int64(len(file)), lower(got.Metadata)}, file, nil
}

func (a *azure) remove(ctx context.Context, name string) error {
	ctx, c, cancel := a.begin(ctx, true)
	defer cancel()
	_, err := a.client.NewBlobClient(name).Delete(ctx, nil)
	return c.kind(err)
}

// lower turns metadata into what was written: headers come back in another spelling.
func lower(meta map[string]*string) map[string]string {
	out := map[string]string{}
	for k, text := range meta {
		if text != nil {
			out[strings.ToLower(k)] = *text
		}
	}
	return out
}

// call is one request: whether it writes, and whether it was handed to the network.
type call struct{ write, sent bool }

type callKey struct{}

func (a *azure) begin(ctx context.Context, write bool) (context.Context, *call, context.CancelFunc) {
	c := &call{write: write}
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, callKey{}, c), a.timeout)
	return ctx, c, cancel
}

// noting notes that a request was handed to the network, and bounds what is read of
// its answer.
type noting struct{ inner policy.Transporter }

func (n noting) Do(req *http.Request) (*http.Response, error) {
	if c, ok := req.Context().Value(callKey{}).(*call); ok {
		c.sent = true
	}
	resp, err := n.inner.Do(req)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, pair.BackupMost+listMost), resp.Body}
	}
	return resp, err
}

// kind translates an error of the SDK into one of pair's kinds. A write that was sent
// and not answered clearly has an unknown outcome, never a failure.
func (c *call) kind(err error) error {
	if err == nil {
		return nil
	}
	if answer, ok := errors.AsType[*azcore.ResponseError](err); ok {
		return c.answered(answer)
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // without the URL, which may hold a signature
	}
	op, dialled := errors.AsType[*net.OpError](err)
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	_, malformed := errors.AsType[*xml.SyntaxError](err)
	switch {
	case untrusted:
		return fmt.Errorf("%w: %w", pair.ErrUntrusted, err)
	case !c.sent && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("get a token: %w: %w", pair.ErrRefused, err)
	case !c.sent, dialled && op.Op == "dial":
		return fmt.Errorf("%w: %w", pair.ErrUnreachable, err)
	case c.write:
		return fmt.Errorf("%w: %w", pair.ErrUnknownOutcome, err)
	case malformed:
		return fmt.Errorf("%w: %w", pair.ErrUnreadable, err)
	default:
		return fmt.Errorf("%w: %w", pair.ErrUnreachable, err)
	}
}

// answered returns the kind of a clear answer.
func (c *call) answered(answer *azcore.ResponseError) error {
	var kind error
	switch code := bloberror.Code(answer.ErrorCode); {
	case code == bloberror.ContainerNotFound:
		kind = fmt.Errorf("the container does not exist, and is not made here: %w", pair.ErrNotFound)
	case code == bloberror.BlobAlreadyExists, answer.StatusCode == http.StatusPreconditionFailed:
		kind = pair.ErrExists // the only condition is that there is none
	case code == bloberror.ContainerBeingDeleted:
		kind = pair.ErrBusy
	case answer.StatusCode == http.StatusUnauthorized, answer.StatusCode == http.StatusForbidden:
		kind = pair.ErrRefused
	case answer.StatusCode == http.StatusNotFound:
		kind = pair.ErrNotFound
	case answer.StatusCode == http.StatusConflict:
		kind = pair.ErrConflict
	case answer.StatusCode == http.StatusRequestEntityTooLarge:
		kind = pair.ErrTooLarge
	case code == bloberror.ServerBusy, answer.StatusCode == http.StatusTooManyRequests:
		kind = pair.ErrThrottled
	case answer.StatusCode >= http.StatusInternalServerError && c.write, answer.StatusCode < http.StatusBadRequest && c.write:
		kind = pair.ErrUnknownOutcome
	case answer.StatusCode >= http.StatusInternalServerError:
		kind = pair.ErrUnreachable
	case answer.StatusCode >= http.StatusBadRequest:
		kind = pair.ErrInvalid
	default:
		kind = pair.ErrUnreadable
	}
	err := fmt.Errorf("status %d %.60s: %w", answer.StatusCode, answer.ErrorCode, kind)
	if errors.Is(kind, pair.ErrThrottled) {
		return &pair.Waiting{Err: err, After: retryAfter(answer.RawResponse)}
	}
	return err
}

// retryAfter is how long an answer asks to wait, 0 when it does not say.
func retryAfter(resp *http.Response) time.Duration {
	if resp == nil {
		return 0
	}
	n, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 16)
	if err != nil {
		return 0
	}
	return min(time.Duration(n)*time.Second, waitMost)
}
