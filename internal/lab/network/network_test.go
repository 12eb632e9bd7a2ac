package network_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/lab/network"
)

var (
	aliceAddr = netip.MustParseAddr("10.0.0.4")
	bobAddr   = netip.MustParseAddr("10.0.0.5")
)

// world is two hosts and, with listening, an open port 80 on bob.
type world struct {
	net        *network.Network
	alice, bob *network.Host
	listener   net.Listener
}

func newWorld(t *testing.T) *world {
	t.Helper()
	n := network.New(network.Options{Seed: 1})
	t.Cleanup(n.Close)
	w := &world{net: n, alice: n.Host("alice", aliceAddr), bob: n.Host("bob", bobAddr)}
	w.listener = listen(t, w.bob, 80)
	return w
}

func listen(t *testing.T, h *network.Host, port int) net.Listener {
	t.Helper()
	l, err := h.Listen(port)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// connect returns both ends of a stream from alice to bob.
func (w *world) connect(t *testing.T) (near, far net.Conn) {
	t.Helper()
	near, err := w.alice.DialContext(t.Context(), "tcp", "10.0.0.5:80")
	if err != nil {
		t.Fatal(err)
	}
	far, err = w.listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return near, far
}

func (w *world) dialFor(t *testing.T, d time.Duration, address string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	c, err := w.alice.DialContext(ctx, "tcp", address)
	if err == nil {
		_ = c.Close()
	}
	return err
}

func TestDial(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(w *world)
		address string
		want    error // nil: connects
		takes   time.Duration
	}{
		{name: "an open port connects at once", address: "10.0.0.5:80"},
		{
			name: "a name resolves without case and final dot", address: "Bob.Example.:80",
			prepare: func(w *world) { w.net.Name("bob.example", bobAddr) },
		},
		{name: "an unknown name is not found", address: "nobody.example:80", want: &net.DNSError{}},
		{name: "an up host without a listener refuses at once", address: "10.0.0.5:81", want: syscall.ECONNREFUSED},
		{name: "an address nobody has hangs until the context ends", address: "10.0.0.99:80", want: context.DeadlineExceeded, takes: time.Minute},
		{
			name: "a host that is down hangs until the context ends", address: "10.0.0.5:80",
			prepare: func(w *world) { w.bob.SetUp(false) }, want: context.DeadlineExceeded, takes: time.Minute,
		},
		{
			name: "a host that came back has no listeners", address: "10.0.0.5:80",
			prepare: func(w *world) { w.bob.SetUp(false); w.bob.SetUp(true) }, want: syscall.ECONNREFUSED,
		},
		{
			name: "a cut of the way there hangs until the context ends", address: "10.0.0.5:80",
			prepare: func(w *world) { w.net.Cut(aliceAddr, bobAddr) }, want: context.DeadlineExceeded, takes: time.Minute,
		},
		{
			name: "a cut of the way back hangs as well", address: "10.0.0.5:80",
			prepare: func(w *world) { w.net.Cut(bobAddr, aliceAddr) }, want: context.DeadlineExceeded, takes: time.Minute,
		},
		{
			name: "a restored link connects", address: "10.0.0.5:80",
			prepare: func(w *world) { w.net.Cut(bobAddr, aliceAddr); w.net.Restore(bobAddr, aliceAddr) },
		},
		{
			name: "a rule for the port hangs until the context ends", address: "10.0.0.5:80",
			prepare: func(w *world) { w.net.Block(aliceAddr, bobAddr, 80) }, want: context.DeadlineExceeded, takes: time.Minute,
		},
		{
			name: "a rule for all ports hangs as well", address: "10.0.0.5:81",
			prepare: func(w *world) { w.net.Block(aliceAddr, bobAddr, 0) }, want: context.DeadlineExceeded, takes: time.Minute,
		},
		{
			name: "a rule for another port is no obstacle", address: "10.0.0.5:80",
			prepare: func(w *world) { w.net.Block(aliceAddr, bobAddr, 81) },
		},
		{
			name: "nor is a rule for the other direction, because rules are stateful", address: "10.0.0.5:80",
			prepare: func(w *world) { w.net.Block(bobAddr, aliceAddr, 0) },
		},
		{
			name: "a rule for all ports outlives the one for the port", address: "10.0.0.5:80",
			prepare: func(w *world) {
				w.net.Block(aliceAddr, bobAddr, 80)
				w.net.Block(aliceAddr, bobAddr, 0)
				w.net.Unblock(aliceAddr, bobAddr, 80)
			},
			want: context.DeadlineExceeded, takes: time.Minute,
		},
		{
			name: "a filter that drops hangs until the context ends", address: "10.0.0.5:80",
			prepare: func(w *world) {
				w.net.SetFilter(func(from, to netip.AddrPort) bool { return from.Addr() != aliceAddr || to.Port() != 80 })
			},
			want: context.DeadlineExceeded, takes: time.Minute,
		},
		{
			name: "a filter sees the port that the stream will come from", address: "10.0.0.5:80",
			prepare: func(w *world) {
				w.net.SetFilter(func(from, _ netip.AddrPort) bool { return from.Port() >= 49152 })
			},
		},
		{
			name: "a filter that is lifted is no obstacle", address: "10.0.0.5:80",
			prepare: func(w *world) {
				w.net.SetFilter(func(netip.AddrPort, netip.AddrPort) bool { return false })
				w.net.SetFilter(nil)
			},
		},
		{name: "a bad port is refused", address: "10.0.0.5:http", want: &net.AddrError{}},
		{
			name: "a closed network is closed", address: "10.0.0.5:80",
			prepare: func(w *world) { w.net.Close() }, want: net.ErrClosed,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				if tt.prepare != nil {
					tt.prepare(w)
				}
				start := time.Now()
				err := w.dialFor(t, time.Minute, tt.address)
				if !isError(err, tt.want) {
					t.Errorf("dial %s: got %v, want %v", tt.address, err, tt.want)
				}
				if took := time.Since(start); took != tt.takes {
					t.Errorf("dial %s took %v, want %v", tt.address, took, tt.takes)
				}
				if op := new(net.OpError); err != nil && !errors.As(err, &op) {
					t.Errorf("dial %s: got %T, want *net.OpError", tt.address, err)
				}
			})
		})
	}
}

// isError compares by identity, or by type where want is a detailed error.
func isError(err, want error) bool {
	switch want.(type) {
	case *net.DNSError:
		return errors.As(err, new(*net.DNSError))
	case *net.AddrError:
		return errors.As(err, new(*net.AddrError))
	}
	return errors.Is(err, want)
}

func TestWaitingDialConnectsWhenTheLinkIsRestored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.net.Cut(aliceAddr, bobAddr)
		time.AfterFunc(3*time.Second, func() { w.net.Restore(aliceAddr, bobAddr) })
		start := time.Now()
		if err := w.dialFor(t, time.Minute, "10.0.0.5:80"); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("connected after %v, want 3s", took)
		}
	})
}

func TestARuleDropsNewStreamsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		near, far := w.connect(t)
		w.net.Block(aliceAddr, bobAddr, 80)
		write(t, near, "there")
		write(t, far, "back")
		if there, back := readFor(far, time.Minute), readFor(near, time.Minute); there != "there" || back != "back" {
			t.Errorf("on an established stream got %q and %q", there, back)
		}
		time.AfterFunc(3*time.Second, func() { w.net.Unblock(aliceAddr, bobAddr, 80) })
		start := time.Now()
		if err := w.dialFor(t, time.Minute, "10.0.0.5:80"); err != nil || time.Since(start) != 3*time.Second {
			t.Errorf("a new stream: %v after %v, want one when the rule is lifted", err, time.Since(start))
		}
	})
}

func TestPassesTellsWhatIsInTheWay(t *testing.T) {
	to := netip.AddrPortFrom(bobAddr, 81) // nobody listens
	tests := []struct {
		name    string
		prepare func(w *world)
		want    bool
	}{
		{"nothing", func(*world) {}, true},
		{"a cut of the way there", func(w *world) { w.net.Cut(aliceAddr, bobAddr) }, false},
		{"a cut of the way back", func(w *world) { w.net.Cut(bobAddr, aliceAddr) }, false},
		{"a rule", func(w *world) { w.net.Block(aliceAddr, bobAddr, 81) }, false},
		{"a rule for the other way", func(w *world) { w.net.Block(bobAddr, aliceAddr, 81) }, true},
		{"a filter", func(w *world) {
			w.net.SetFilter(func(_, to netip.AddrPort) bool { return to.Port() != 81 })
		}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			tt.prepare(w)
			if got := w.net.Passes(aliceAddr, to); got != tt.want {
				t.Errorf("passes: %t, want %t", got, tt.want)
			}
		})
	}
}

func TestAnAddressIsAttachedOnce(t *testing.T) {
	w := newWorld(t)
	if _, err := w.net.Attach("mallory", bobAddr); err == nil || !strings.Contains(err.Error(), "taken by bob") {
		t.Errorf("a taken address: %v", err)
	}
	if h, err := w.net.Attach("carol", netip.MustParseAddr("10.0.0.6")); err != nil || h.Name() != "carol" {
		t.Errorf("a free address: %v", err)
	}
}

func TestDialWaitsWhileTheBacklogIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		accepted := 0
		for w.dialFor(t, time.Second, "10.0.0.5:80") == nil {
			accepted++
		}
		if accepted != 128 {
			t.Errorf("%d streams wait to be accepted, want 128", accepted)
		}
		time.AfterFunc(time.Second, func() { _, _ = w.listener.Accept() })
		if err := w.dialFor(t, time.Minute, "10.0.0.5:80"); err != nil {
			t.Errorf("dial after one was accepted: %v", err)
		}
	})
}

func TestListen(t *testing.T) {
	w := newWorld(t)
	if _, err := w.bob.Listen(80); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a port in use: got %v, want EADDRINUSE", err)
	}
	if _, err := w.bob.Listen(65536); !errors.As(err, new(*net.AddrError)) {
		t.Errorf("a port out of range: got %v, want *net.AddrError", err)
	}
	if got := w.listener.Addr().String(); got != "10.0.0.5:80" {
		t.Errorf("address %s, want 10.0.0.5:80", got)
	}
	if free := listen(t, w.bob, 0).Addr().(*net.TCPAddr).Port; free < 49152 {
		t.Errorf("port 0 chose %d, want an ephemeral port", free)
	}
	if err := w.listener.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.listener.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept after close: got %v, want net.ErrClosed", err)
	}
	listen(t, w.bob, 80)
	w.bob.SetUp(false)
	if _, err := w.bob.Listen(82); !errors.Is(err, syscall.ENETDOWN) {
		t.Errorf("listen on a host that is down: got %v, want ENETDOWN", err)
	}
}

func TestAddressTakenPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("attaching a taken address did not panic")
		}
	}()
	newWorld(t).net.Host("mallory", bobAddr)
}

func TestAddressesAndSeed(t *testing.T) {
	port := func(seed uint64) string {
		n := network.New(network.Options{Seed: seed})
		defer n.Close()
		a, b := n.Host("a", aliceAddr), n.Host("b", bobAddr)
		l := listen(t, b, 80)
		near, err := a.DialContext(t.Context(), "tcp", "10.0.0.5:80")
		if err != nil {
			t.Fatal(err)
		}
		far, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if near.LocalAddr().String() != far.RemoteAddr().String() || near.RemoteAddr().String() != "10.0.0.5:80" {
			t.Errorf("the ends disagree: %v-%v and %v-%v", near.LocalAddr(), near.RemoteAddr(), far.LocalAddr(), far.RemoteAddr())
		}
		return near.LocalAddr().String()
	}
	if a, b := port(7), port(7); a != b || !strings.HasPrefix(a, "10.0.0.4:") {
		t.Errorf("the same seed gave %s and %s", a, b)
	}
}

func TestCloseLetsThePeerReadTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := newWorld(t).connect(t)
		write(t, near, "the rest")
		if err := near.Close(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(far); string(got) != "the rest" || err != nil {
			t.Errorf("got %q, %v, want the rest", got, err)
		}
		if _, err := far.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("write to a closed peer: got %v, want EPIPE", err)
		}
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("read after close: got %v, want net.ErrClosed", err)
		}
	})
}

func TestHalfClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := newWorld(t).connect(t)
		write(t, near, "question")
		if err := near.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(far); string(got) != "question" || err != nil {
			t.Fatalf("got %q, %v, want question", got, err)
		}
		write(t, far, "answer")
		_ = far.Close()
		if got, err := io.ReadAll(near); string(got) != "answer" || err != nil {
			t.Errorf("got %q, %v, want answer", got, err)
		}
	})
}

func TestWriterWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := newWorld(t).connect(t)
		_ = near.SetWriteDeadline(time.Now().Add(time.Second))
		n, err := near.Write(make([]byte, 100<<10))
		if n != 64<<10 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("wrote %d, %v, want 65536 and a deadline", n, err)
		}
		_ = near.SetWriteDeadline(time.Time{})
		go func() { _, _ = near.Write(make([]byte, 100<<10)); _ = near.Close() }()
		if got, err := io.Copy(io.Discard, far); got != 164<<10 || err != nil {
			t.Errorf("read %d, %v, want all 167936", got, err)
		}
	})
}

func TestDeadlineEndsAWaitingRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, _ := newWorld(t).connect(t)
		time.AfterFunc(time.Second, func() { _ = near.SetReadDeadline(time.Now().Add(time.Second)) })
		start := time.Now()
		_, err := near.Read(make([]byte, 1))
		if timeout := net.Error(nil); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("got %v, want a timeout", err)
		}
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("took %v, want 2s", took)
		}
	})
}

func TestCutStallsEstablishedStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		near, far := w.connect(t)
		write(t, near, "before")
		w.net.Cut(bobAddr, aliceAddr) // one way is enough
		write(t, near, "after")
		if got := readFor(far, time.Minute); got != "before" {
			t.Errorf("during the cut got %q, want only what had arrived", got)
		}
		w.net.Cut(aliceAddr, bobAddr)
		w.net.Restore(bobAddr, aliceAddr)
		if got := readFor(far, time.Minute); got != "" {
			t.Errorf("with the other way cut got %q", got)
		}
		_ = near.Close()
		w.net.Restore(aliceAddr, bobAddr)
		if got, err := io.ReadAll(far); string(got) != "after" || err != nil {
			t.Errorf("after the cut got %q, %v", got, err)
		}
	})
}

func TestHostGoesDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		near, far := w.connect(t)
		idle, _ := w.connect(t)
		w.bob.SetUp(false)
		if _, err := w.listener.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept on a dead host: got %v, want net.ErrClosed", err)
		}
		_ = far.Close() // the dead say nothing
		write(t, near, "hello?")
		if got := readFor(near, time.Hour); got != "" {
			t.Errorf("a dead host said %q", got)
		}
		_ = near.SetReadDeadline(time.Time{})
		time.AfterFunc(time.Minute, func() { w.bob.SetUp(true) })
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("data on its way to a fresh host: got %v, want ECONNRESET", err)
		}
		if got := readFor(idle, time.Hour); got != "" {
			t.Errorf("an idle stream to a fresh host read %q", got)
		}
		write(t, idle, "hello?")
		_ = idle.SetReadDeadline(time.Time{})
		if _, err := idle.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("write to a fresh host, then read: got %v, want ECONNRESET", err)
		}
	})
}

func TestClosingAListenerResetsWhatNobodyAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		near, err := w.alice.DialContext(t.Context(), "tcp", "10.0.0.5:80")
		if err != nil {
			t.Fatal(err)
		}
		_ = w.listener.Close()
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("got %v, want ECONNRESET", err)
		}
	})
}

func TestCloseEndsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		near, far := w.connect(t)
		errs := make(chan error, 4)
		go func() { _, err := near.Read(make([]byte, 1)); errs <- err }()
		go func() { _, err := far.Read(make([]byte, 1)); errs <- err }()
		go func() { _, err := w.listener.Accept(); errs <- err }()
		go func() { _, err := w.alice.DialContext(t.Context(), "tcp", "10.0.0.99:80"); errs <- err }()
		synctest.Wait()
		w.net.Close()
		for range 4 {
			if err := <-errs; !errors.Is(err, net.ErrClosed) {
				t.Errorf("got %v, want net.ErrClosed", err)
			}
		}
	})
}

// TestHTTP runs net/http with TLS, HTTP/1.1 and HTTP/2, in virtual time.
func TestHTTP(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("http2 %v", h2), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.net.Name("bob.example", bobAddr)
				cert, pool := selfSigned(t, "bob.example")
				server := &http.Server{
					Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						time.Sleep(250 * time.Millisecond)
						n, _ := io.Copy(io.Discard, r.Body)
						fmt.Fprintf(w, "%s %d from %s", r.Proto, n, r.RemoteAddr[:8])
					}),
					TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}},
				}
				l := listen(t, w.bob, 443)
				served := make(chan error)
				go func() { served <- server.ServeTLS(l, "", "") }()
				transport := &http.Transport{
					DialContext:       w.alice.DialContext,
					TLSClientConfig:   &tls.Config{RootCAs: pool},
					ForceAttemptHTTP2: h2,
				}
				client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
				start := time.Now()
				for range 4 {
					resp, err := client.Post("https://bob.example/", "text/plain", strings.NewReader(strings.Repeat("x", 200_000)))
					if err != nil {
						t.Fatal(err)
					}
					body, _ := io.ReadAll(resp.Body)
					_ = resp.Body.Close()
					want := map[bool]string{false: "HTTP/1.1", true: "HTTP/2.0"}[h2] + " 200000 from 10.0.0.4"
					if string(body) != want {
						t.Errorf("got %q, want %q", body, want)
					}
				}
				if took := time.Since(start); took != time.Second {
					t.Errorf("four requests took %v, want 1s", took)
				}
				w.net.Cut(aliceAddr, bobAddr)
				start = time.Now()
				if _, err := client.Get("https://bob.example/"); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("through a cut link got %v, want the client's timeout", err)
				}
				if took := time.Since(start); took != 10*time.Second {
					t.Errorf("gave up after %v, want 10s", took)
				}
				transport.CloseIdleConnections()
				_ = server.Close()
				if err := <-served; !errors.Is(err, http.ErrServerClosed) {
					t.Errorf("the server ended with %v", err)
				}
			})
		})
	}
}

func write(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

// readFor reads what comes within a time.
func readFor(c net.Conn, d time.Duration) string {
	_ = c.SetReadDeadline(time.Now().Add(d))
	got, _ := io.ReadAll(c)
	_ = c.SetReadDeadline(time.Time{})
	return string(got)
}

func selfSigned(t *testing.T, name string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
}
