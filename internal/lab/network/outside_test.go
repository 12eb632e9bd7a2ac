package network_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tandem/internal/lab/network"
)

// serveText answers every request on the port with a text until the listener
// closes.
func serveText(t *testing.T, l net.Listener, text string) *http.Server {
	t.Helper()
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s to %s", text, r.URL.Path, r.Host)
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	return server
}

// startProxy serves a proxy on a free loopback port; stop ends it and waits.
func startProxy(t *testing.T, w *world) (address string, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.net.ServeProxy(ctx, l, w.alice) }()
	return l.Addr().String(), func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve proxy: %v", err)
		}
	}
}

func proxied(address string) (*http.Client, *http.Transport) {
	transport := &http.Transport{
		Proxy:           http.ProxyURL(&url.URL{Scheme: "http", Host: address}),
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}, transport
}

func fetch(client *http.Client, url string) (int, string, error) {
	resp, err := client.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

func TestProxy(t *testing.T) {
	defer goleak.VerifyNone(t)
	w := newWorld(t)
	w.net.Name("bob.example", bobAddr)
	serveText(t, w.listener, "plain")
	cert, _ := selfSigned(t, "bob.example")
	serveText(t, tls.NewListener(listen(t, w.bob, 443), &tls.Config{Certificates: []tls.Certificate{cert}}), "secret")
	address, stop := startProxy(t, w)
	client, transport := proxied(address)
	tests := []struct {
		name, url string
		status    int
		body      string
		fails     bool
	}{
		{name: "an absolute-form request goes through", url: "http://10.0.0.5/a", status: 200, body: "plain /a to 10.0.0.5"},
		{name: "names are those of the network", url: "http://bob.example/b", status: 200, body: "plain /b to bob.example"},
		{name: "a CONNECT tunnel carries TLS", url: "https://bob.example/c", status: 200, body: "secret /c to bob.example"},
		{name: "a refused dial is a bad gateway", url: "http://10.0.0.5:81/", status: 502},
		{name: "a refused tunnel fails", url: "https://10.0.0.5:81/", fails: true},
		{name: "an unknown name is a bad gateway", url: "http://nobody.example/", status: 502},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, body, err := fetch(client, tt.url)
			if status != tt.status || (err != nil) != tt.fails || tt.body != "" && body != tt.body {
				t.Errorf("got %d %q %v, want %d %q", status, body, err, tt.status, tt.body)
			}
		})
	}
	t.Run("a request that is none for a proxy is a bad request", func(t *testing.T) {
		direct := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		if status, _, err := fetch(direct, "http://"+address+"/"); status != 400 || err != nil {
			t.Errorf("got %d %v, want 400", status, err)
		}
	})
	transport.CloseIdleConnections()
	stop()
	w.net.Close()
}

// tunnel opens a CONNECT tunnel by hand.
func tunnel(t *testing.T, proxy, target string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", proxy)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", target, target)
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect})
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("CONNECT %s: %v %v", target, resp, err)
	}
	return c, r
}

func TestProxyTunnelPassesHalfCloseOn(t *testing.T) {
	defer goleak.VerifyNone(t)
	w := newWorld(t)
	address, stop := startProxy(t, w)
	c, r := tunnel(t, address, "10.0.0.5:80")
	far, err := w.listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	write(t, c, "question")
	_ = c.(*net.TCPConn).CloseWrite()
	if got, err := io.ReadAll(far); string(got) != "question" || err != nil {
		t.Fatalf("got %q %v, want question", got, err)
	}
	write(t, far, "answer")
	_ = far.Close()
	if got, err := io.ReadAll(r); string(got) != "answer" || err != nil {
		t.Errorf("got %q %v, want answer", got, err)
	}
	_ = c.Close()
	stop()
	w.net.Close()
}

func TestProxyEndsWithItsTunnels(t *testing.T) {
	defer goleak.VerifyNone(t)
	w := newWorld(t)
	address, stop := startProxy(t, w)
	c, r := tunnel(t, address, "10.0.0.5:80")
	far, err := w.listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	stop()
	if _, err := r.ReadByte(); err == nil {
		t.Error("the tunnel outlived its proxy")
	}
	if _, err := far.Read(make([]byte, 1)); err == nil {
		t.Error("the inside of the tunnel outlived its proxy")
	}
	_ = c.Close()
	w.net.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.net.ServeProxy(t.Context(), l, w.alice); !errors.Is(err, net.ErrClosed) {
		t.Errorf("on a closed network got %v, want net.ErrClosed", err)
	}
}

func TestProxyReportsItsListener(t *testing.T) {
	w := newWorld(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if err := w.net.ServeProxy(t.Context(), l, w.alice); err == nil {
		t.Error("a closed listener was no error")
	}
}

// high moves loopback addresses to where other programs and parallel tests
// are not, and remembers nothing.
func high(network, address string) (net.Listener, error) {
	return net.Listen(network, strings.Replace(address, "127.0.10.", "127.0.210.", 1))
}

func TestBindFollowsTheListeners(t *testing.T) {
	defer goleak.VerifyNone(t)
	w := newWorld(t)
	server := serveText(t, listen(t, w.bob, 18080), "first life")
	_ = w.listener.Close()
	listen(t, w.alice, 18443)
	ctx, cancel := context.WithCancel(t.Context())
	bindings, err := w.net.Bind(ctx, high)
	if err != nil {
		t.Fatal(err)
	}
	want := []network.Binding{
		{Name: "alice", Simulated: netip.MustParseAddrPort("10.0.0.4:18443"), Loopback: netip.MustParseAddrPort("127.0.10.1:18443")},
		{Name: "bob", Simulated: netip.MustParseAddrPort("10.0.0.5:18080"), Loopback: netip.MustParseAddrPort("127.0.10.2:18080")},
	}
	if fmt.Sprint(bindings) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", bindings, want)
	}
	const url = "http://127.0.210.2:18080/x"
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	expect := func(when, want string) {
		t.Helper()
		eventually(t, when, func() bool {
			_, body, err := fetch(client, url)
			return err == nil && strings.HasPrefix(body, want)
		})
	}
	expect("at first", "first life /x")
	w.net.SetFilter(func(netip.AddrPort, netip.AddrPort) bool { return false })
	expect("whatever a filter keeps from the world's own", "first life /x")
	w.bob.SetUp(false)
	_ = server.Close()
	eventually(t, "a host that is down refuses", func() bool {
		_, _, err := fetch(client, url)
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	w.bob.SetUp(true)
	serveText(t, listen(t, w.bob, 18080), "second life")
	expect("after the reboot", "second life /x")
	cancel()
	w.net.Close()
	if _, err := net.Dial("tcp", "127.0.210.2:18080"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("after the end got %v, want a refusal", err)
	}
}

// eventually repeats a check against real sockets until it holds.
func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
		if check() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("%s: not within five seconds", what)
}

func TestBindSaysWhatToDo(t *testing.T) {
	tests := []struct {
		name  string
		errno syscall.Errno
		want  string
	}{
		{"low ports without the right to open them", syscall.EACCES, "need root"},
		{"a port of another program", syscall.EADDRINUSE, "another program"},
		{"a system with one loopback address", syscall.EADDRNOTAVAIL, "add the address"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			defer goleak.VerifyNone(t)
			w := newWorld(t)
			defer w.net.Close()
			opened := 0
			listen(t, w.alice, 18080)
			_, err := w.net.Bind(t.Context(), func(network, address string) (net.Listener, error) {
				if strings.HasSuffix(address, ":80") {
					return nil, tt.errno
				}
				opened++
				return net.Listen("tcp", "127.0.0.1:0")
			})
			if !errors.Is(err, tt.errno) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "10.0.0.5:80") {
				t.Errorf("got %v, want the port and %q", err, tt.want)
			}
			if opened != 1 {
				t.Errorf("opened %d other ports, want 1 that was closed again", opened)
			}
		})
	}
}
