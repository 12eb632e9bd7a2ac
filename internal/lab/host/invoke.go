package host

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// EventSink takes the events of eventGrid output bindings.
type EventSink interface {
	// Publish sends the events of one invocation in one call to the topic's
	// endpoint with its key; the key is empty where an identity is used.
	Publish(ctx context.Context, endpoint, key string, events []json.RawMessage) error
}

var errFunctionTimeout = errors.New("timeout value was exceeded by function")

// invoke makes one call and delivers its outputs. Any error means that the
// run failed; what follows from that is the trigger's business
// (functions-host.md 3.5).
func (l *life) invoke(c *call) (answer, error) {
	name, started := c.function.info.Name, time.Now()
	l.host.log(LevelInformation, "Executing 'Functions.%s' (Id=%s)", name, c.id)
	a, err := l.answer(c)
	if err == nil {
		err = l.deliver(c.function, a)
	}
	took := time.Since(started).Milliseconds()
	if err != nil {
		l.host.log(LevelError, "Executed 'Functions.%s' (Failed, Id=%s, Duration=%dms): %v", name, c.id, took, err)
		return answer{}, fmt.Errorf("exception while executing function: Functions.%s: %w", name, err)
	}
	l.host.log(LevelInformation, "Executed 'Functions.%s' (Succeeded, Id=%s, Duration=%dms)", name, c.id, took)
	return a, nil
}

// answer posts the call and reads the handler's answer.
func (l *life) answer(c *call) (answer, error) {
	w, err := l.readyWorker()
	if err != nil {
		return answer{}, err
	}
	var a answer
	err = l.limited(w, func(ctx context.Context) (err error) {
		if a, err = w.post(ctx, c, l.host.config.ContentLength); errors.Is(err, errNoAnswer) {
			l.suffer(ctx, c.function, err)
		}
		return err
	})
	for _, line := range a.Logs {
		l.host.log(LevelInformation, "%s", line)
	}
	return a, err
}

// suffer does what follows from an answer that is null or empty: it is
// reported at once, or waited on as the real host does.
func (l *life) suffer(ctx context.Context, f *function, err error) {
	if l.host.config.StrictAnswers {
		l.host.fail("function %s: %v", f.info.Name, err)
		return
	}
	l.host.log(LevelWarning, "function %s: %v", f.info.Name, err)
	<-ctx.Done()
}

// limited runs one exchange with the handler under functionTimeout. When that
// runs out the handler is killed and started again, and every other
// invocation of the instance fails with it (functions-host.md 1.6).
func (l *life) limited(w *worker, exchange func(context.Context) error) error {
	ctx, cancel := l.work, context.CancelFunc(func() {})
	if limit := l.host.file.functionTimeout; limit > 0 {
		ctx, cancel = context.WithTimeoutCause(l.work, limit, errFunctionTimeout)
	}
	defer cancel()
	err := exchange(ctx)
	if err != nil && errors.Is(context.Cause(ctx), errFunctionTimeout) {
		l.thaw(l.host.config.Phase)
		w.replace()
		return fmt.Errorf("%w (%v)", errFunctionTimeout, l.host.file.functionTimeout)
	}
	return err
}

// post sends the invocation request of functions-host.md 2.1.
func (w *worker) post(ctx context.Context, c *call, withLength bool) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.base+"/"+c.function.info.Name, bytes.NewReader(c.body))
	if err != nil {
		return answer{}, err
	}
	if !withLength {
		request.ContentLength = -1 // chunked
	}
	c.mark(request.Header)
	request.Header.Set("Content-Type", "application/json; charset=utf-8")
	request.Header.Set("User-Agent", userAgent)
	response, err := w.client.Do(request)
	if err != nil {
		return answer{}, err
	}
	body, err := readBody(response)
	if err != nil {
		return answer{}, err
	}
	return parseAnswer(response.StatusCode, response.Header.Get("Content-Type"), body)
}

const userAgent = "Azure-Functions-Host/" + Version

// mark adds the host's headers under the spelling the host uses.
func (c *call) mark(header http.Header) {
	header["X-Azure-Functions-HostVersion"] = []string{Version}
	header["X-Azure-Functions-InvocationId"] = []string{c.id}
	header["traceparent"] = []string{c.trace}
}

func readBody(response *http.Response) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(response.Body, largestReply))
	return body, errors.Join(err, response.Body.Close())
}

// deliver writes the outputs after the handler answered, without a
// transaction: when one fails, the invocation fails although others may be
// written (functions-host.md 3.2). Outputs without a binding are ignored.
func (l *life) deliver(f *function, a answer) error {
	hasReturn := false
	for _, b := range f.outputs {
		hasReturn = hasReturn || b.Name == "$return"
	}
	var errs []error
	for _, b := range f.outputs {
		value, ok := a.output(b.Name, hasReturn)
		if !ok || b.isType("http") {
			continue
		}
		if l.work.Err() != nil {
			return fmt.Errorf("write outputs: %w", context.Cause(l.work))
		}
		texts, err := messages(value, strings.EqualFold(b.DataType, "binary"))
		if err == nil {
			err = l.send(b, texts)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("write output %s: %w", b.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (l *life) send(b binding, texts []string) error {
	if b.isType("eventGrid") {
		events := make([]json.RawMessage, len(texts))
		for i, text := range texts {
			if !json.Valid([]byte(text)) {
				return fmt.Errorf("event %q isn't JSON", excerpt([]byte(text)))
			}
			events[i] = json.RawMessage(text)
		}
		return l.host.config.Events.Publish(l.work, b.TopicEndpointURI, b.TopicKeySetting, events)
	}
	for _, text := range texts {
		if l.host.file.queues.base64 {
			text = base64.StdEncoding.EncodeToString([]byte(text))
		}
		if err := l.host.config.Queues.Enqueue(l.work, b.QueueName, text); err != nil {
			return err
		}
	}
	return nil
}
