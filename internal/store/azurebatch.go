package store

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
)

// call follows one request through the SDK's pipeline, by its context.
type call struct {
	write  bool
	sent   bool        // something may have reached the service
	answer []batchPart // of a transaction
}

type callKey struct{}

// batchPart is the answer to one operation of a transaction, or to the first
// that failed.
type batchPart struct {
	status int
	etag   string
	code   string // of a failure
}

// batchPolicy reads the answers to transactions, and keeps them from the SDK,
// which reports a failed transaction as status 202 without a code, does not
// tell the new etags, and panics on an answer without a line break
// (toolbox.md; checked in aztables 1.4.1, transactional_batch.go). The SDK gets
// errAnswered instead.
type batchPolicy struct{}

// errAnswered ends the SDK's part in a transaction: the answer is in the call.
var errAnswered = errors.New("answered")

// Do implements policy.Policy.
func (batchPolicy) Do(req *policy.Request) (*http.Response, error) {
	resp, err := req.Next()
	c, ok := req.Raw().Context().Value(callKey{}).(*call)
	if err != nil || !ok || !strings.HasSuffix(req.Raw().URL.Path, "/$batch") || resp.StatusCode >= http.StatusMultipleChoices {
		return resp, err
	}
	body, err := runtime.Payload(resp)
	if err != nil {
		return nil, err
	}
	if c.answer, err = readBatch(resp.Header.Get("Content-Type"), body); err != nil {
		return nil, fmt.Errorf("read the answer to a transaction: %w", err)
	}
	return nil, errAnswered
}

// readBatch reads the answer to a transaction: a multipart message that holds
// a multipart message that holds one HTTP response for each operation, or one
// for the whole when it failed.
func readBatch(contentType string, body []byte) ([]batchPart, error) {
	outer, err := parts(contentType, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	part, err := outer.NextRawPart()
	if err != nil {
		return nil, err
	}
	inner, err := parts(part.Header.Get("Content-Type"), part)
	if err != nil {
		return nil, err
	}
	var answers []batchPart
	for {
		p, err := inner.NextRawPart()
		if errors.Is(err, io.EOF) && len(answers) > 0 {
			return answers, nil
		}
		if err != nil {
			return nil, err
		}
		if len(answers) == maxOps {
			return nil, fmt.Errorf("more than %d answers", maxOps)
		}
		answer, err := readAnswer(p)
		if err != nil {
			return nil, err
		}
		answers = append(answers, answer)
	}
}

func parts(contentType string, body io.Reader) (*multipart.Reader, error) {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return nil, err
	}
	if kind != "multipart/mixed" || params["boundary"] == "" {
		return nil, fmt.Errorf("content of type %.60q, expected multipart/mixed", kind)
	}
	return multipart.NewReader(body, params["boundary"]), nil
}

// readAnswer reads the HTTP response to one operation.
func readAnswer(r io.Reader) (batchPart, error) {
	resp, err := http.ReadResponse(bufio.NewReader(r), nil)
	if err != nil {
		return batchPart{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer := batchPart{status: resp.StatusCode, etag: resp.Header.Get("ETag")}
	if answer.status < http.StatusBadRequest {
		return answer, nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return answer, err
	}
	var failure struct {
		Error struct {
			Code string `json:"code"`
		} `json:"odata.error"`
	}
	if json.Unmarshal(body, &failure) == nil {
		answer.code = failure.Error.Code
	}
	return answer, nil
}
