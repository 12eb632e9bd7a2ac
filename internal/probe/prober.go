package probe

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"sync/atomic"
	"syscall"
	"time"

	"tandem/internal/pair"
)

const (
	// defaultTimeout is less than the load balancer's shortest interval of
	// five seconds, so that two checks never overlap.
	defaultTimeout = 2 * time.Second
	// maxHeader bounds what is read of an answer; its body is never read.
	maxHeader = 16 << 10
)

// Options configure a Prober. The zero value is ready for use.
type Options struct {
	// DialContext opens connections to units and proxies; nil means a plain
	// net.Dialer. Every dial ends within Timeout.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
	// Proxy chooses an HTTP proxy for a request, as http.ProxyFromEnvironment
	// does; nil means none. Checks are tunnelled (CONNECT), because a proxy
	// that forwards answers 503 for itself too, which is what a standby says.
	// Only proxies with an http URL can be used.
	Proxy func(*http.Request) (*url.URL, error)
	// Timeout is how long a unit may take from the dial to the end of the
	// header; 0 means 2s. A longer one sees slow units as alive, a shorter one
	// sees busy units as silent.
	Timeout time.Duration
	// Now is the clock of what was seen; nil means time.Now.
	Now func() time.Time
}

// Prober asks check ports. It is safe for concurrent use and keeps nothing
// between two checks, no connection either.
type Prober struct{ opts Options }

// New returns a Prober. It makes no call and starts no goroutine.
func New(opts Options) (*Prober, error) {
	if opts.Timeout < 0 {
		return nil, fmt.Errorf("make a prober: timeout %v: expected more than zero: %w", opts.Timeout, pair.ErrInvalid)
	}
	opts.Timeout = cmp.Or(opts.Timeout, defaultTimeout)
	if opts.DialContext == nil {
		opts.DialContext = (&net.Dialer{}).DialContext
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Prober{opts: opts}, nil
}

// CheckPort asks a check port once and tells how it answered.
//
// CheckOdd with status 0 is an answer that is not HTTP, such as a TLS alert.
// CheckRefused includes a connection that was taken and closed without a word,
// CheckSilent a host that the network cannot find. CheckUnknown means that nothing
// was learned of the unit: ctx ended first, the address is none, or our own
// proxy or socket failed. Redirects are not followed; they are odd.
func (p *Prober) CheckPort(ctx context.Context, addr netip.AddrPort) pair.CheckSeen {
	if !addr.IsValid() || ctx.Err() != nil {
		return pair.CheckSeen{}
	}
	at := netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	status, answer := p.ask(ctx, "http://"+at.String()+"/")
	if answer == pair.CheckUnknown {
		return pair.CheckSeen{}
	}
	return pair.CheckSeen{Answer: answer, Status: status, At: p.opts.Now()}
}

func (p *Prober) ask(ctx context.Context, target string) (status int, answer pair.CheckAnswer) {
	askCtx, cancel := context.WithTimeout(ctx, p.opts.Timeout)
	defer cancel()
	var far progress
	traced := httptrace.WithClientTrace(askCtx, &httptrace.ClientTrace{
		GotFirstResponseByte: func() { far.answered.Store(true) },
		TLSHandshakeDone:     func(_ tls.ConnectionState, err error) { far.noTLS.Store(err != nil) },
	})
	req, err := http.NewRequestWithContext(traced, http.MethodGet, target, nil)
	if err != nil {
		return 0, pair.CheckUnknown
	}
	req.Header.Set("User-Agent", "tandem")
	transport := &http.Transport{
		DialContext:            p.dial(req, &far),
		TLSClientConfig:        &tls.Config{InsecureSkipVerify: true}, // Check says why
		TLSHandshakeTimeout:    p.opts.Timeout,                        // as in dial: it does not end with the request
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeader,
	}
	resp, err := transport.RoundTrip(req) // not http.Client: no redirects
	switch {
	case err == nil:
		_ = resp.Body.Close()
		return resp.StatusCode, meaning(resp.StatusCode)
	case ctx.Err() != nil:
		return 0, pair.CheckUnknown
	default:
		return 0, failure(askCtx, err, &far)
	}
}

// progress is how far a check came; a dial may outlive its check.
type progress struct {
	atProxy  atomic.Bool // the proxy is being called, the unit is not yet
	answered atomic.Bool // at least one byte of an answer came back
	noTLS    atomic.Bool // TLS could not be agreed upon
}

func meaning(status int) pair.CheckAnswer {
	switch status {
	case http.StatusOK:
		return pair.CheckServing
	case http.StatusServiceUnavailable:
		return pair.CheckIdle
	default:
		return pair.CheckOdd
	}
}

// failure translates a request without an HTTP answer. The first rule that
// fits wins: a silence after half a line is a silence, but half a line and the
// end of the connection is an answer of something else than a check port.
func failure(ctx context.Context, err error, far *progress) pair.CheckAnswer {
	if ours, ok := errors.AsType[*proxyError](err); ok {
		return ours.answer
	}
	switch {
	case far.atProxy.Load():
		return pair.CheckUnknown
	case ctx.Err() != nil, timedOut(err):
		return pair.CheckSilent
	case far.answered.Load():
		return pair.CheckOdd
	case isAny(err, io.EOF, io.ErrUnexpectedEOF, syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EPIPE):
		return pair.CheckRefused
	case isAny(err, syscall.EHOSTUNREACH, syscall.EHOSTDOWN):
		return pair.CheckSilent
	case far.noTLS.Load():
		return pair.CheckOdd
	default: // no socket, no network or permission of our own
		return pair.CheckUnknown
	}
}

func timedOut(err error) bool {
	n, ok := errors.AsType[net.Error](err)
	return ok && n.Timeout()
}

func isAny(err error, kinds ...error) bool {
	for _, kind := range kinds {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// proxyError is a failure on this side of the unit, with what it tells of the
// unit, if anything.
type proxyError struct {
	text   string
	answer pair.CheckAnswer
}

func (e *proxyError) Error() string { return e.text }

// dial returns the way to the unit: direct, or through the proxy that is
// chosen for the request.
func (p *Prober) dial(req *http.Request, far *progress) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, p.opts.Timeout) // http.Transport does not pass on the end of the request's
		defer cancel()
		if p.opts.Proxy == nil {
			return p.opts.DialContext(ctx, network, address)
		}
		proxy, err := p.opts.Proxy(req)
		switch {
		case err != nil:
			return nil, &proxyError{text: "the proxy setting is not usable"}
		case proxy == nil:
			return p.opts.DialContext(ctx, network, address)
		case proxy.Scheme != "http":
			return nil, &proxyError{text: "expected a proxy with an http URL"}
		}
		return p.tunnel(ctx, proxy, address, far)
	}
}

// tunnel asks the proxy for a connection to the unit.
func (p *Prober) tunnel(ctx context.Context, proxy *url.URL, address string, far *progress) (net.Conn, error) {
	far.atProxy.Store(true)
	at := net.JoinHostPort(proxy.Hostname(), cmp.Or(proxy.Port(), "80"))
	conn, err := p.opts.DialContext(ctx, "tcp", at)
	far.atProxy.Store(err != nil)
	if err != nil {
		return nil, &proxyError{text: "the proxy cannot be reached"}
	}
	cut := context.AfterFunc(ctx, func() { _ = conn.Close() })
	reader := bufio.NewReader(io.LimitReader(conn, maxHeader))
	status, err := connect(conn, reader, proxy.User, address)
	if !cut() || err != nil || status != http.StatusOK {
		_ = conn.Close()
		return nil, refusal(ctx, status)
	}
	if reader.Buffered() > 0 { // nobody was asked anything yet
		_ = conn.Close()
		return nil, &proxyError{text: "the proxy talks out of turn"}
	}
	return conn, nil
}

func connect(w io.Writer, r *bufio.Reader, user *url.Userinfo, address string) (status int, err error) {
	request := "CONNECT " + address + " HTTP/1.1\r\nHost: " + address + "\r\nUser-Agent: tandem\r\n"
	if user != nil {
		password, _ := user.Password()
		login := base64.StdEncoding.EncodeToString([]byte(user.Username() + ":" + password))
		request += "Proxy-Authorization: Basic " + login + "\r\n"
	}
	if _, err := io.WriteString(w, request+"\r\n"); err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

// refusal tells a proxy's failure to reach the unit, which says something of
// the unit, from its failure to serve us.
func refusal(ctx context.Context, status int) error {
	e := &proxyError{text: fmt.Sprintf("the proxy answered %d", status)}
	switch {
	case status == http.StatusBadGateway:
		e.answer = pair.CheckRefused
	case status == http.StatusGatewayTimeout, status == 0 && ctx.Err() != nil:
		e.answer = pair.CheckSilent
	}
	return e
}
