package host

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// serveFunction finds the HTTP function whose route and methods match,
// the most specific route first, and calls it. No match is 404.
func (l *life) serveFunction(w http.ResponseWriter, r *http.Request) {
	f, values := l.host.routeRequest(r)
	if f == nil {
		http.Error(w, "", http.StatusNotFound)
		return
	}
	var err error
	if l.host.file.forwardHTTP && f.forwardable() {
		err = l.forward(w, r, f)
	} else {
		err = l.serveEnvelope(w, r, f, values)
	}
	l.dropIfHalted()
	if err != nil { // a failed invocation is an empty 500 in Azure
		w.WriteHeader(http.StatusInternalServerError)
	}
}

func (h *Host) routeRequest(r *http.Request) (best *function, values map[string]any) {
	for _, f := range h.functions {
		if !f.runs() || !f.trigger.isType("httpTrigger") || !f.takesMethod(r.Method) {
			continue
		}
		if v, ok := f.route.match(r.URL.EscapedPath()); ok && (best == nil || f.route.compare(best.route) < 0) {
			best, values = f, v
		}
	}
	return best, values
}

func (f *function) takesMethod(method string) bool {
	methods := f.trigger.Methods
	return len(methods) == 0 || slices.ContainsFunc(methods, func(m string) bool { return strings.EqualFold(m, method) })
}

// forward passes the original request through; the handler's answer goes back
// as it is and the invocation counts as a success (functions-host.md 2.7). A
// chunked request loses its body.
func (l *life) forward(w http.ResponseWriter, r *http.Request, f *function) error {
	body, err := bodyWithLength(r)
	if err != nil {
		return err
	}
	worker, err := l.readyWorker()
	if err != nil {
		return err
	}
	c := &call{function: f, id: f.random.guid(), trace: f.random.traceParent()}
	return l.limited(worker, func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, r.Method, worker.base+r.URL.RequestURI(), bytes.NewReader(body))
		if err != nil {
			return err
		}
		request.Host = r.Host
		request.Header = r.Header.Clone()
		dropHopHeaders(request.Header)
		c.mark(request.Header)
		request.Header.Set("User-Agent", strings.TrimSpace(r.UserAgent()+" "+userAgent))
		response, err := worker.client.Do(request) //nolint:bodyclose // copyResponse closes it
		if err != nil {
			l.host.log(LevelError, "Executed 'Functions.%s' (Failed, Id=%s): %v", f.info.Name, c.id, err)
			return err
		}
		return copyResponse(w, response)
	})
}

func copyResponse(w http.ResponseWriter, response *http.Response) error {
	body, err := readBody(response)
	if err != nil {
		return err
	}
	dropHopHeaders(response.Header)
	maps.Copy(w.Header(), response.Header)
	w.WriteHeader(response.StatusCode)
	_, _ = w.Write(body) // the caller may have gone
	return nil
}

// dropHopHeaders removes what belongs to one connection. The length is set
// again by whoever sends the body.
func dropHopHeaders(header http.Header) {
	for _, name := range []string{"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Content-Length"} {
		header.Del(name)
	}
}

// bodyWithLength reads the body if its length was announced; a chunked one is
// lost, as in the real host.
func bodyWithLength(r *http.Request) ([]byte, error) {
	if r.ContentLength <= 0 {
		return nil, nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, fmt.Errorf("read request: %w", err)
	}
	return body, nil
}

// httpRequest is the trigger's value in JSON mode (functions-host.md 2.7).
type httpRequest struct {
	URL        string `json:"Url"`
	Method     string
	Query      map[string]string
	Headers    map[string][]string
	Params     map[string]any
	Identities []identity
	Body       *string `json:",omitempty"`
}

// identity is the anonymous caller; the stand-in knows no other.
type identity struct {
	AuthenticationType *string
	IsAuthenticated    bool
	Actor              *string
	BootstrapContext   *string
	Claims             []string
	Label              *string
	Name               *string
	NameClaimType      string
	RoleClaimType      string
}

func (l *life) serveEnvelope(w http.ResponseWriter, r *http.Request, f *function, values map[string]any) error {
	body, err := bodyWithLength(r)
	if err != nil {
		return err
	}
	c, err := newCall(f, requestValue(r, values, body), requestMetadata(r, values, body))
	if err != nil {
		return err
	}
	a, err := l.invoke(c)
	if err != nil {
		return err
	}
	reply, err := httpReply(f, a)
	if err != nil {
		return err
	}
	l.dropIfHalted()
	reply.write(w)
	return nil
}

func requestValue(r *http.Request, values map[string]any, body []byte) httpRequest {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	request := httpRequest{
		URL:     scheme + "://" + r.Host + r.URL.RequestURI(),
		Method:  r.Method,
		Query:   joined(r.URL.Query()),
		Headers: originalHeaders(r),
		Params:  values,
		Identities: []identity{{
			Claims:        []string{},
			NameClaimType: "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name",
			RoleClaimType: "http://schemas.microsoft.com/ws/2008/06/identity/claims/role",
		}},
	}
	if len(body) > 0 {
		text := strings.ToValidUTF8(string(body), "\ufffd")
		if media := mediaType(r); media == "application/octet-stream" || strings.HasPrefix(media, "multipart/") {
			text = base64.StdEncoding.EncodeToString(body)
		}
		request.Body = &text
	}
	return request
}

// requestMetadata holds query values except the key, route values and the
// top-level fields of a JSON body.
func requestMetadata(r *http.Request, values map[string]any, body []byte) metadata {
	about := metadata{}
	query := joined(r.URL.Query())
	for _, name := range sortedKeys(query) {
		if !strings.EqualFold(name, "code") {
			about.put(name, query[name])
		}
	}
	for _, name := range sortedKeys(values) {
		about.put(name, values[name])
	}
	if strings.Contains(mediaType(r), "json") {
		about.addFields(string(body))
	}
	about.put("Query", query)
	about.put("Headers", joined(originalHeaders(r)))
	return about
}

func mediaType(r *http.Request) string {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return media
}

func joined[M ~map[string][]string](values M) map[string]string {
	single := make(map[string]string, len(values))
	for name, list := range values {
		single[name] = strings.Join(list, ",")
	}
	return single
}

func sortedKeys[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// originalHeaders puts back what Go's server takes out of the header map.
func originalHeaders(r *http.Request) url.Values {
	headers := url.Values(r.Header.Clone())
	headers.Set("Host", r.Host)
	if r.ContentLength > 0 {
		headers.Set("Content-Length", strconv.FormatInt(r.ContentLength, 10))
	}
	if len(r.TransferEncoding) > 0 {
		headers.Set("Transfer-Encoding", strings.Join(r.TransferEncoding, ","))
	}
	return headers
}

// reply is what an http output asks for.
type reply struct {
	status  int
	headers map[string]string
	body    []byte
}

// httpReply reads the http output by functions-host.md 3.3. No output of that
// name is 200 with {}, no outputs at all an empty 200.
func httpReply(f *function, a answer) (reply, error) {
	i := slices.IndexFunc(f.outputs, func(b binding) bool { return b.isType("http") })
	if i < 0 || (a.Outputs == nil && a.ReturnValue == nil) {
		return reply{status: http.StatusOK}, nil
	}
	value, ok := a.output(f.outputs[i].Name, f.outputs[i].Name == "$return")
	if !ok {
		return reply{status: http.StatusOK, body: []byte("{}")}, nil
	}
	if text, isString, err := stringOf(value); err != nil {
		return reply{}, err
	} else if isString {
		value = json.RawMessage(strings.TrimSpace(text))
	}
	if !json.Valid(value) || value[0] != '{' {
		return reply{}, errors.New("read http output: expected an object or text that holds one")
	}
	return readReply(value)
}

func readReply(value json.RawMessage) (reply, error) {
	out := reply{status: http.StatusOK}
	for _, f := range fieldsOf(value) {
		var err error
		switch strings.ToLower(f.name) {
		case "statuscode", "status":
			out.status, err = readStatus(f.value)
		case "headers":
			out.headers, err = readHeaders(f.value)
		case "body":
			err = out.readBody(f.value)
		}
		if err != nil {
			return reply{}, fmt.Errorf("read http output's %s: %w", f.name, err)
		}
	}
	return out, nil
}

func readStatus(value json.RawMessage) (int, error) {
	text, isString, err := stringOf(value)
	if !isString {
		text = string(value)
	}
	status, parseErr := strconv.Atoi(text)
	if err = errors.Join(err, parseErr); err != nil || status < 200 || status > 999 {
		return 0, fmt.Errorf("%s isn't a status", value)
	}
	return status, nil
}

func readHeaders(value json.RawMessage) (map[string]string, error) {
	headers := map[string]string{}
	for _, f := range fieldsOf(value) {
		text, err := messageText(f.value)
		if err != nil {
			return nil, err
		}
		headers[f.name] = text
	}
	return headers, nil
}

func (r *reply) readBody(value json.RawMessage) error {
	text, isString, err := stringOf(value)
	switch {
	case err != nil:
		return err
	case isString:
		r.body = []byte(text)
	case string(value) != "null":
		r.body, err = compact(value)
	}
	return err
}

func (r reply) write(w http.ResponseWriter) {
	if len(r.body) > 0 && (r.body[0] == '{' || r.body[0] == '[') && json.Valid(r.body) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
	} else if len(r.body) > 0 {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	}
	for name, value := range r.headers {
		w.Header().Set(name, value)
	}
	w.WriteHeader(r.status)
	_, _ = w.Write(r.body) // the caller may have gone
}
