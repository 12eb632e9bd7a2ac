package arm

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxBody bounds request bodies, in bytes, as Resource Manager does.
const maxBody = 4 << 20

// call is one request, taken apart.
type call struct {
	method      string
	url         *url.URL
	base        string // scheme and host that the client used
	target      target
	request     *http.Request
	body        []byte
	ifMatch     string
	ifNoneMatch string
	clientID    string // x-ms-client-request-id
	correlation string
	principal   Principal
	fault       Fault
	header      http.Header // of the answer
}

func (m *Manager) newCall(r *http.Request) *call {
	c := &call{method: r.Method, url: r.URL, request: r, header: http.Header{}}
	c.ifMatch, c.ifNoneMatch = r.Header.Get("If-Match"), r.Header.Get("If-None-Match")
	c.base = "http://" + r.Host
	if r.TLS != nil {
		c.base = "https://" + r.Host
	}
	c.target = parseTarget(r.URL.Path)
	c.clientID = headerID(r.Header, "X-Ms-Client-Request-Id")
	c.correlation = headerID(r.Header, "X-Ms-Correlation-Request-Id")
	m.mu.Lock()
	requestID := m.guid()
	if c.correlation == "" {
		c.correlation = requestID
	}
	m.mu.Unlock()
	c.header.Set("X-Ms-Request-Id", requestID)
	c.header.Set("X-Ms-Correlation-Request-Id", c.correlation)
	if c.clientID != "" {
		c.header.Set("X-Ms-Client-Request-Id", c.clientID)
	}
	c.header.Set("Cache-Control", "no-cache")
	return c
}

// headerID returns an id that the client chose, unless it is absurd.
func headerID(h http.Header, name string) string {
	if id := h.Get(name); len(id) <= 128 {
		return id
	}
	return ""
}

// writes tells whether the request is one that changes a resource's document.
func (c *call) writes() bool { return c.method == http.MethodPut || c.method == http.MethodPatch }

// readBody reads the body, which happens before anything is locked.
func (c *call) readBody() error {
	body, err := io.ReadAll(io.LimitReader(c.request.Body, maxBody+1))
	if err != nil {
		return &failure{status: http.StatusBadRequest, code: "InvalidRequestContent", message: "The request content could not be read."}
	}
	if len(body) > maxBody {
		return &failure{
			status: http.StatusRequestEntityTooLarge, code: "RequestContentTooLarge",
			message: "The request content size exceeds the maximum size of 4 MB.",
		}
	}
	c.body = body
	return nil
}

// document parses the body as one JSON object.
func (c *call) document() (document, error) {
	d, err := parseDocument(c.body)
	if err != nil {
		return nil, &failure{
			status: http.StatusBadRequest, code: "InvalidRequestContent",
			message: "The request content was invalid and could not be deserialized: '" + err.Error() + "'.",
		}
	}
	return d, nil
}

var apiVersion = regexp.MustCompile(`^20\d\d-[01]\d-[0-3]\d(-preview)?$`)

// checkVersion refuses a request without a usable api-version. Which of the
// many real versions is asked for makes no difference.
func (c *call) checkVersion() error {
	switch v := c.url.Query().Get("api-version"); {
	case v == "":
		return &failure{
			status: http.StatusBadRequest, code: "MissingApiVersionParameter",
			message: "The api-version query parameter (?api-version=) is required for all requests.",
		}
	case !apiVersion.MatchString(v):
		return &failure{
			status: http.StatusBadRequest, code: "InvalidApiVersionParameter",
			message: "The api-version '" + v + "' is invalid.",
		}
	}
	return nil
}

// target says what a path means. Empty strings stand for what it lacks.
type target struct {
	subscription, group    string
	provider, kind, name   string // Microsoft.Network, loadBalancers, lb
	child, childName, verb string // backendAddressPools, pool1, or only verb: start, instanceView
	operation              string // the id of a long operation
	result                 bool   // operationResults, not operations
	metrics                bool   // Microsoft.Insights/metrics of the resource
	known                  bool
}

// parseTarget takes a path apart. Fixed segments are compared without case,
// as Resource Manager does.
func parseTarget(path string) target {
	s := strings.Split(strings.Trim(path, "/"), "/")
	is := func(i int, word string) bool { return i < len(s) && strings.EqualFold(s[i], word) }
	at := func(i int) string {
		if i < len(s) {
			return s[i]
		}
		return ""
	}
	var t target
	if !is(0, "subscriptions") || at(1) == "" || slices.Contains(s, "") {
		return t
	}
	t.subscription = s[1]
	rest := 2
	if is(2, "resourceGroups") && len(s) > 3 {
		t.group, rest = s[3], 4
	}
	if !is(rest, "providers") || len(s) < rest+3 {
		return t
	}
	t.provider, t.kind = s[rest+1], s[rest+2]
	tail := s[rest+3:]
	if t.group == "" {
		return t.ofSubscription(tail)
	}
	k := kindOf(t.provider, t.kind)
	switch {
	case k == nil || len(tail) > 4:
		return t
	case len(tail) >= 1:
		t.name = tail[0]
	}
	if len(tail) == 4 && strings.EqualFold(strings.Join(tail[1:], "/"), "providers/"+metricsType) {
		t.metrics, t.known = true, true
		return t
	}
	switch {
	case len(tail) == 2 && k.collection(tail[1]) == nil:
		t.verb = tail[1]
	case len(tail) >= 2:
		t.child = tail[1]
	}
	if len(tail) >= 3 {
		t.childName = tail[2]
	}
	if len(tail) == 4 {
		t.verb = tail[3]
	}
	t.known = true
	return t
}

// ofSubscription finishes a path that names no resource group: a list, or a
// long operation.
func (t target) ofSubscription(tail []string) target {
	switch {
	case len(tail) == 0:
		t.known = true
	case strings.EqualFold(t.kind, "locations") && len(tail) == 3:
		t.result = strings.EqualFold(tail[1], "operationResults")
		t.known = t.result || strings.EqualFold(tail[1], "operations")
		t.operation = tail[2]
	}
	return t
}

// label names the target in the log.
func (t target) label() string {
	switch {
	case t.childName != "" && t.verb != "":
		return t.verb + " of " + t.childName + " of " + t.name
	case t.childName != "":
		return t.childName + " of " + t.name
	case t.verb != "":
		return t.verb + " of " + t.name
	case t.metrics:
		return "metrics of " + t.name
	}
	return t.name
}

// answer is what is sent back; a nil body is no body.
type answer struct {
	status int
	header http.Header
	body   any
}

func ok(body any) answer { return answer{status: http.StatusOK, body: body} }

func (a answer) write(w http.ResponseWriter) {
	maps.Copy(w.Header(), a.header)
	if a.body == nil {
		w.WriteHeader(a.status)
		return
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(a.body); err != nil {
		http.Error(w, "encode answer: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(a.status)
	_, _ = w.Write(b.Bytes())
}

// failure is an error in the form of Resource Manager. The network provider
// always sends details, if only an empty list; others leave them out (nil).
type failure struct {
	status     int
	code       string
	message    string
	details    []detail
	retryAfter time.Duration
	header     http.Header
}

type detail struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

type errorBody struct {
	Code    string   `json:"code"`
	Message string   `json:"message"`
	Details []detail `json:"details,omitzero"`
}

// Error returns the code and the message.
func (f *failure) Error() string { return f.code + ": " + f.message }

func (f *failure) body() errorBody { return errorBody{f.code, f.message, f.details} }

func (f *failure) answer() answer {
	h := f.header.Clone()
	if h == nil {
		h = http.Header{}
	}
	setRetryAfter(h, f.retryAfter)
	return answer{f.status, h, struct {
		Error errorBody `json:"error"`
	}{f.body()}}
}

// setRetryAfter sets the header in whole seconds, rounded up, or not at all.
func setRetryAfter(h http.Header, d time.Duration) {
	if d > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(d.Seconds()))))
	}
}

// refuse is a 400 of the network provider.
func refuse(code, message string) *failure {
	return &failure{status: http.StatusBadRequest, code: code, message: message, details: []detail{}}
}

// codeFormat stands for refusals whose code no source names.
const codeFormat = "InvalidRequestFormat"

func notFound(id string) *failure {
	return &failure{status: http.StatusNotFound, code: "NotFound", message: "Resource " + id + " not found.", details: []detail{}}
}

func notAllowed(c *call) *failure {
	return &failure{
		status: http.StatusMethodNotAllowed, code: "MethodNotAllowed",
		message: "The simulated Resource Manager does not do " + c.method + " " + c.url.Path + ".",
	}
}

var errNotObject = errors.New("the content is not one JSON object")
