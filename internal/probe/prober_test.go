package probe_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/pair"
	"tandem/internal/probe"
)

var seenAt = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newProber(t *testing.T, opts probe.Options) *probe.Prober {
	t.Helper()
	opts.Now = func() time.Time { return seenAt }
	p, err := probe.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// listen serves every connection with serve on a real loopback port.
func listen(t *testing.T, serve func(net.Conn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	return netip.MustParseAddrPort(l.Addr().String())
}

// answering reads a request and answers with raw bytes.
func answering(raw string) func(net.Conn) {
	return func(c net.Conn) {
		defer func() { _ = c.Close() }()
		if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
			return
		}
		_, _ = io.WriteString(c, raw)
	}
}

func fixture(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestOnlyTheStatusCounts(t *testing.T) {
	tests := []struct {
		name   string
		raw    string
		answer pair.CheckAnswer
		status int
	}{
		{"an active unit answers 200", fixture(t, "health-active.http"), pair.CheckServing, 200},
		{"a standby answers 503", fixture(t, "health-standby.http"), pair.CheckIdle, 503},
		{"newer words in the body make no difference", "HTTP/1.0 200 OK\r\n\r\nSecond is standby", pair.CheckServing, 200},
		{"a redirect is odd and is not followed", "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n", pair.CheckOdd, 302},
		{"any other status is odd", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", pair.CheckOdd, 404},
		{"another success is odd", "HTTP/1.1 204 No Content\r\n\r\n", pair.CheckOdd, 204},
		{"a TLS alert is odd without a status", "\x15\x03\x01\x00\x02\x02\x46", pair.CheckOdd, 0},
		{"words are odd without a status", "SSH-2.0-OpenSSH_9.6\r\n", pair.CheckOdd, 0},
		{"half a status line is odd without a status", "HTTP/1.1 2", pair.CheckOdd, 0},
		{"a header without end is odd without a status", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", pair.CheckOdd, 0},
		{"a body is not waited for", "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", pair.CheckServing, 200},
		{"a closed connection without a word is refused", "", pair.CheckRefused, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := newProber(t, probe.Options{}).CheckPort(t.Context(), listen(t, answering(tt.raw)))
			want := pair.CheckSeen{Answer: tt.answer, Status: tt.status, At: seenAt}
			if got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestTLSOnTheCheckPortIsOdd(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	got := newProber(t, probe.Options{}).CheckPort(t.Context(), netip.MustParseAddrPort(server.Listener.Addr().String()))
	if got.Answer != pair.CheckOdd {
		t.Errorf("got %+v, want an odd answer", got)
	}
}

func TestTheRequestIsAPlainGETOnAFreshConnection(t *testing.T) {
	var connections atomic.Int32
	requests := make(chan *http.Request, 2)
	addr := listen(t, func(c net.Conn) {
		connections.Add(1)
		defer func() { _ = c.Close() }()
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		requests <- r
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	})
	p := newProber(t, probe.Options{})
	for range 2 {
		p.CheckPort(t.Context(), addr)
		r := <-requests
		if r.Method != "GET" || r.URL.String() != "/" || r.Host != addr.String() || !r.Close {
			t.Errorf("got %s %s, host %s, close %t", r.Method, r.URL, r.Host, r.Close)
		}
	}
	if n := connections.Load(); n != 2 {
		t.Errorf("two checks made %d connections", n)
	}
}

func TestClosedPortIsRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParseAddrPort(l.Addr().String())
	_ = l.Close()
	if got := newProber(t, probe.Options{}).CheckPort(t.Context(), addr); got.Answer != pair.CheckRefused {
		t.Errorf("got %+v, want refused", got)
	}
}

func TestResetIsRefused(t *testing.T) {
	addr := listen(t, func(c net.Conn) {
		_, _ = http.ReadRequest(bufio.NewReader(c))
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	})
	if got := newProber(t, probe.Options{}).CheckPort(t.Context(), addr); got.Answer != pair.CheckRefused {
		t.Errorf("got %+v, want refused", got)
	}
}

// failing is a dialer that gives an error, as a system call would.
func failing(err error) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err}
	}
}

// mute is a dialer into a network that drops everything.
func mute(ctx context.Context, _, _ string) (net.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// deaf is a dialer to a unit that takes connections and says little.
func deaf(says string) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			_, _ = http.ReadRequest(bufio.NewReader(far))
			_, _ = io.WriteString(far, says)
			_, _ = io.Copy(io.Discard, far)
		}()
		return near, nil
	}
}

var unitAddr = netip.MustParseAddrPort("10.0.0.4:8444")

func TestWhatIsLearnedFromFailures(t *testing.T) {
	tests := []struct {
		name string
		dial func(context.Context, string, string) (net.Conn, error)
		want pair.CheckAnswer
	}{
		{"a refused connection is refused", failing(os.NewSyscallError("connect", syscall.ECONNREFUSED)), pair.CheckRefused},
		{"a host that the network cannot find is silent", failing(syscall.EHOSTUNREACH), pair.CheckSilent},
		{"no network of our own says nothing of the unit", failing(syscall.ENETUNREACH), pair.CheckUnknown},
		{"no socket of our own says nothing of the unit", failing(syscall.EMFILE), pair.CheckUnknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := newProber(t, probe.Options{DialContext: tt.dial}).CheckPort(t.Context(), unitAddr)
			if got.Answer != tt.want || got.At.IsZero() != (tt.want == pair.CheckUnknown) {
				t.Errorf("got %+v, want %v", got, tt.want)
			}
		})
	}
}

func TestSilence(t *testing.T) {
	tests := []struct {
		name    string
		dial    func(context.Context, string, string) (net.Conn, error)
		timeout time.Duration
		caller  time.Duration // 0 means patient
		want    pair.CheckAnswer
		after   time.Duration
	}{
		{"nobody takes the connection for two seconds", mute, 0, 0, pair.CheckSilent, 2 * time.Second},
		{"the timeout is set", mute, 300 * time.Millisecond, 0, pair.CheckSilent, 300 * time.Millisecond},
		{"a connection is taken but nothing is said", deaf(""), 0, 0, pair.CheckSilent, 2 * time.Second},
		{"half an answer is a silence while the rest may come", deaf("HTTP/1.1 200 O"), 0, 0, pair.CheckSilent, 2 * time.Second},
		{"a caller who gives up first learns nothing", mute, 0, time.Second, pair.CheckUnknown, time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if tt.caller > 0 {
					ctx, cancel = context.WithTimeout(ctx, tt.caller)
					defer cancel()
				}
				start := time.Now()
				got := newProber(t, probe.Options{DialContext: tt.dial, Timeout: tt.timeout}).CheckPort(ctx, unitAddr)
				if got.Answer != tt.want || time.Since(start) != tt.after {
					t.Errorf("got %v after %v, want %v after %v", got.Answer, time.Since(start), tt.want, tt.after)
				}
				time.Sleep(10 * time.Second) // whatever was started has ended, or the bubble complains
			})
		})
	}
}

func TestNothingIsAskedWithoutNeed(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	never := func(context.Context, string, string) (net.Conn, error) {
		t.Error("a connection was made")
		return nil, errors.New("never")
	}
	p := newProber(t, probe.Options{DialContext: never})
	if got := p.CheckPort(ended, unitAddr); got != (pair.CheckSeen{}) {
		t.Errorf("ended context: got %+v, want nothing", got)
	}
	if got := p.CheckPort(t.Context(), netip.AddrPort{}); got != (pair.CheckSeen{}) {
		t.Errorf("no address: got %+v, want nothing", got)
	}
}

// proxying serves CONNECT with a status, and passes the rest on to a unit.
func proxying(status int, unit netip.AddrPort, login chan<- string) func(net.Conn) {
	return func(c net.Conn) {
		defer func() { _ = c.Close() }()
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil || r.Method != http.MethodConnect || r.RequestURI != unit.String() {
			return
		}
		login <- r.Header.Get("Proxy-Authorization")
		_, _ = fmt.Fprintf(c, "HTTP/1.1 %d %s\r\n\r\n", status, http.StatusText(status))
		if status != http.StatusOK {
			return
		}
		far, err := net.Dial("tcp", unit.String())
		if err != nil {
			return
		}
		defer func() { _ = far.Close() }()
		go func() { _, _ = io.Copy(far, c) }()
		_, _ = io.Copy(c, far)
	}
}

func TestAProxyIsNotMistakenForTheUnit(t *testing.T) {
	tests := []struct {
		name   string
		status int
		want   pair.CheckSeen
	}{
		{"the unit's answer comes through the tunnel", 200, pair.CheckSeen{Answer: pair.CheckIdle, Status: 503, At: seenAt}},
		{"a proxy that could not connect saw a refusal", 502, pair.CheckSeen{Answer: pair.CheckRefused, At: seenAt}},
		{"a proxy that waited in vain saw a silence", 504, pair.CheckSeen{Answer: pair.CheckSilent, At: seenAt}},
		{"a proxy's own 503 is not a standby", 503, pair.CheckSeen{}},
		{"a proxy that wants a login says nothing of the unit", 407, pair.CheckSeen{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			unit := listen(t, answering(fixture(t, "health-standby.http")))
			login := make(chan string, 1)
			at := listen(t, proxying(tt.status, unit, login))
			proxy := &url.URL{Scheme: "http", Host: at.String(), User: url.UserPassword("me", "pw")}
			got := newProber(t, probe.Options{Proxy: http.ProxyURL(proxy)}).CheckPort(t.Context(), unit)
			if got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			if l := <-login; l != "Basic bWU6cHc=" {
				t.Errorf("the proxy was given the login %q", l)
			}
		})
	}
}

func TestAnUnusableProxySaysNothingOfTheUnit(t *testing.T) {
	tests := []struct {
		name  string
		proxy func(*http.Request) (*url.URL, error)
	}{
		{"an error of the setting", func(*http.Request) (*url.URL, error) { return nil, errors.New("bad") }},
		{"another scheme", http.ProxyURL(&url.URL{Scheme: "socks5", Host: "127.0.0.1:1"})},
		{"nobody there", http.ProxyURL(&url.URL{Scheme: "http", Host: "127.0.0.1:1"})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := newProber(t, probe.Options{Proxy: tt.proxy}).CheckPort(t.Context(), unitAddr)
			if got != (pair.CheckSeen{}) {
				t.Errorf("got %+v, want nothing", got)
			}
		})
	}
	t.Run("a silent proxy", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			proxy := http.ProxyURL(&url.URL{Scheme: "http", Host: "10.9.9.9:3128"})
			got := newProber(t, probe.Options{Proxy: proxy, DialContext: mute}).CheckPort(t.Context(), unitAddr)
			if got != (pair.CheckSeen{}) {
				t.Errorf("got %+v, want nothing", got)
			}
			time.Sleep(10 * time.Second)
		})
	})
	t.Run("no proxy for this address means direct", func(t *testing.T) {
		none := func(*http.Request) (*url.URL, error) { return nil, nil }
		got := newProber(t, probe.Options{Proxy: none}).CheckPort(t.Context(), listen(t, answering("HTTP/1.1 200 OK\r\n\r\n")))
		if got.Answer != pair.CheckServing {
			t.Errorf("got %+v, want 200", got)
		}
	})
}

func TestIPv4InIPv6FormIsTheSameUnit(t *testing.T) {
	addr := listen(t, answering("HTTP/1.1 200 OK\r\n\r\n"))
	mapped := netip.AddrPortFrom(netip.AddrFrom16(addr.Addr().As16()), addr.Port())
	if got := newProber(t, probe.Options{}).CheckPort(t.Context(), mapped); got.Answer != pair.CheckServing {
		t.Errorf("got %+v, want 200", got)
	}
}

func TestNegativeTimeoutIsInvalid(t *testing.T) {
	if _, err := probe.New(probe.Options{Timeout: -1}); !errors.Is(err, pair.ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
}
