package store

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azqueue/queueerror"

	"tandem/internal/pair"
)

// errNoTable and errNoQueue tell a missing table or queue, which is made on
// demand, from a missing row.
var (
	errNoTable = fmt.Errorf("the table does not exist: %w", pair.ErrNotFound)
	errNoQueue = fmt.Errorf("the queue does not exist: %w", pair.ErrNotFound)
)

// kind translates an error of the SDK into one of pair's kinds. A write that
// was sent and not answered clearly has an unknown outcome, never a failure.
func (c *call) kind(err error) error {
	if answer, ok := errors.AsType[*azcore.ResponseError](err); ok {
		return c.answered(answer.StatusCode, answer.ErrorCode, answer.RawResponse)
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // without the URL, which may hold a signature
	}
	if !c.mayHaveArrived(err) {
		return unsent(err)
	}
	if c.write {
		return fmt.Errorf("%w: %w", pair.ErrUnknownOutcome, err)
	}
	if _, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("%w: %w", pair.ErrUnreadable, err)
	}
	return fmt.Errorf("%w: %w", pair.ErrUnreachable, err)
}

// mayHaveArrived reports whether the service may have seen the request. A
// connection that was never made carried nothing.
func (c *call) mayHaveArrived(err error) bool {
	if !c.sent {
		return false
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && (op.Op == "dial" || op.Op == "proxyconnect") {
		return false
	}
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	return !untrusted
}

// unsent returns the kind of an error that happened before anything was sent.
// The SDK marks whatever keeps a credential from giving a token as not worth a
// retry; only a network error in it tells that the identity service, not its
// answer, is the trouble.
func unsent(err error) error {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Errorf("%w: %w", pair.ErrUntrusted, err)
	}
	var final interface {
		error
		NonRetriable()
	}
	if _, network := errors.AsType[net.Error](err); errors.As(err, &final) && !network && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("get a token: %w: %w", pair.ErrRefused, err)
	}
	return fmt.Errorf("%w: %w", pair.ErrUnreachable, err)
}

// kindOfCode names the codes that say more than their status (azure.md 6.2,
// 6.4).
var kindOfCode = map[string]error{
	string(aztables.EntityAlreadyExists):         pair.ErrExists,
	string(aztables.TableAlreadyExists):          pair.ErrExists,
	string(queueerror.QueueAlreadyExists):        pair.ErrExists,
	string(aztables.UpdateConditionNotSatisfied): pair.ErrConflict,
	string(aztables.TableNotFound):               errNoTable,
	string(queueerror.QueueNotFound):             errNoQueue,
	string(aztables.ResourceNotFound):            pair.ErrNotFound,
	string(aztables.EntityNotFound):              pair.ErrNotFound,
	string(aztables.TableBeingDeleted):           pair.ErrBusy,
	string(queueerror.QueueBeingDeleted):         pair.ErrBusy,
	string(aztables.PropertyValueTooLarge):       pair.ErrTooLarge,
	string(aztables.EntityTooLarge):              pair.ErrTooLarge,
	string(aztables.TooManyProperties):           pair.ErrTooLarge,
	string(queueerror.RequestBodyTooLarge):       pair.ErrTooLarge,
	string(queueerror.MessageTooLarge):           pair.ErrTooLarge,
	string(queueerror.ServerBusy):                pair.ErrThrottled,
}

// answered returns the kind of a clear answer. A failure of the service leaves
// the outcome of a write open.
func (c *call) answered(status int, code string, resp *http.Response) error {
	kind, known := kindOfCode[code]
	switch {
	case known:
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		kind = pair.ErrRefused
	case status == http.StatusNotFound:
		kind = pair.ErrNotFound
	case status == http.StatusConflict, status == http.StatusPreconditionFailed:
		kind = pair.ErrConflict
	case status == http.StatusRequestEntityTooLarge:
		kind = pair.ErrTooLarge
	case status == http.StatusTooManyRequests:
		kind = pair.ErrThrottled
	case status >= http.StatusInternalServerError && c.write, status == http.StatusRequestTimeout && c.write:
		kind = pair.ErrUnknownOutcome
	case status >= http.StatusInternalServerError, status == http.StatusRequestTimeout:
		kind = pair.ErrUnreachable
	case status >= http.StatusBadRequest:
		kind = pair.ErrInvalid
	default:
		// A success that the SDK could not read, such as one of a proxy.
		kind = pair.ErrUnreadable
		if c.write {
			kind = pair.ErrUnknownOutcome
		}
	}
	err := fmt.Errorf("status %d %.60s: %w", status, code, kind)
	if errors.Is(kind, pair.ErrThrottled) {
		return &pair.Waiting{Err: err, After: retryAfter(resp)}
	}
	return err
}

// maxWait bounds how long an answer can make us wait.
const maxWait = 10 * time.Minute

// retryAfter returns how long an answer asks to wait, 0 when it does not say.
// Storage sends whole seconds.
func retryAfter(resp *http.Response) time.Duration {
	if resp == nil {
		return 0
	}
	n, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 16)
	if err != nil {
		return 0
	}
	return min(time.Duration(n)*time.Second, maxWait)
}
