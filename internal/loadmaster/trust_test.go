package loadmaster_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"tandem/internal/loadmaster"
	"tandem/internal/pair"
)

// serveTLS serves a healthy unit on a real port.
func serveTLS(t *testing.T, config *tls.Config) (*httptest.Server, *atomic.Int32) {
	t.Helper()
	var served atomic.Int32
	h := newHealthy()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		served.Add(1)
		a := h.answer(readCall(r))
		w.WriteHeader(a.status)
		_, _ = io.WriteString(w, a.body)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = config
	server.StartTLS()
	t.Cleanup(server.Close)
	return server, &served
}

func inPEM(certs ...*x509.Certificate) string {
	var all strings.Builder
	for _, c := range certs {
		_ = pem.Encode(&all, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	}
	return all.String()
}

func TestWhoIsTrusted(t *testing.T) {
	ca, otherCA := newAuthority(t), newAuthority(t)
	selfSigned := certificate(t, authority{}, nil)
	expired := certificate(t, authority{}, func(c *x509.Certificate) { c.NotAfter = c.NotBefore.AddDate(1, 0, 0) })
	named := func(by authority, edit func(*x509.Certificate)) tls.Certificate { return certificate(t, by, edit) }
	byAddress := func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.ParseIP("10.0.0.4")} }
	byName := func(c *x509.Certificate) { c.DNSNames = []string{"LM1"} }
	colons := func(p string) string {
		var parts []string
		for i := 0; i < len(p); i += 2 {
			parts = append(parts, strings.ToUpper(p[i:i+2]))
		}
		return strings.Join(parts, ":")
	}
	late := named(ca, func(c *x509.Certificate) { byAddress(c); c.NotAfter = c.NotBefore.AddDate(1, 0, 0) })
	tests := []struct {
		name string
		cert tls.Certificate
		pin  string
		file string // of the CA file; empty means none
		ok   bool
		says string
	}{
		{name: "the pinned certificate is trusted", cert: selfSigned, pin: pin(selfSigned), ok: true},
		{name: "a pin may have colons and capitals", cert: selfSigned, pin: colons(pin(selfSigned)), ok: true},
		{name: "a pin outlives the certificate's dates", cert: expired, pin: pin(expired), ok: true},
		{name: "another certificate than the pinned one is not trusted", cert: selfSigned, pin: pin(expired), says: pin(selfSigned)},
		{name: "a pin beats a CA file that would do", cert: named(ca, byAddress), pin: pin(selfSigned), file: inPEM(ca.cert), says: "pinned"},
		{name: "a certificate for the address, signed by the file's, is trusted", cert: named(ca, byAddress), file: inPEM(otherCA.cert, ca.cert), ok: true},
		{name: "a certificate for the VM's name, signed by the file's, is trusted", cert: named(ca, byName), file: inPEM(ca.cert), ok: true},
		{name: "a certificate that is in the file itself is trusted", cert: selfSigned, file: inPEM(ca.cert, selfSigned.Leaf), ok: true},
		{
			name: "a certificate of the same authority for another server is not trusted", says: "for www.example.com, expected 10.0.0.4",
			cert: named(ca, func(c *x509.Certificate) { c.DNSNames = []string{"www.example.com"} }), file: inPEM(ca.cert),
		},
		{
			name: "a certificate for another address is not trusted", says: "for 10.0.0.5",
			cert: named(ca, func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.ParseIP("10.0.0.5")} }), file: inPEM(ca.cert),
		},
		{name: "a wildcard is not a name of the unit", cert: named(ca, func(c *x509.Certificate) { c.DNSNames = []string{"*"} }), file: inPEM(ca.cert), says: "for *"},
		{name: "a signed certificate without names is not trusted", cert: named(ca, nil), file: inPEM(ca.cert), says: "for nobody"},
		{name: "another authority is not trusted", cert: named(otherCA, byAddress), file: inPEM(ca.cert), says: "not signed"},
		{name: "a signed certificate that has ended is not trusted", cert: late, file: inPEM(ca.cert), says: "expired"},
		{name: "a self-signed certificate is not trusted by the system", cert: selfSigned, says: "certificate"},
		{name: "a file without certificates trusts nobody", cert: named(ca, byAddress), file: "hello", says: "found none"},
		{
			name: "a broken certificate in the file trusts nobody", cert: named(ca, byAddress), says: "read CA file ca.pem",
			file: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
		},
		{
			name: "a key beside the certificate is passed over", cert: selfSigned, ok: true,
			file: "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n" + inPEM(selfSigned.Leaf),
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server, served := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{tt.cert}})
			c := newClient(t, loadmaster.Options{
				Secrets: &secrets{creds: withPassword}, DialContext: dialTo(server.Listener),
				ReadFile: func(name string) ([]byte, error) {
					if name != "ca.pem" {
						return nil, os.ErrNotExist
					}
					return []byte(tt.file), nil
				},
			})
			defer c.Close()
			u := pair.Unit{VM: "lm1", Address: unitAddr, API: pair.API{Secret: "s", TLS: pair.TLS{SHA256: tt.pin}}}
			if tt.file != "" {
				u.API.CAFile = "ca.pem"
			}
			_, errRead := c.HAParameters(t.Context(), u)
			errWrite := c.Reboot(t.Context(), u)
			for _, err := range []error{errRead, errWrite} {
				switch {
				case tt.ok && err != nil:
					t.Errorf("got %v, want trust", err)
				case !tt.ok && (!errors.Is(err, pair.ErrUntrusted) || !strings.Contains(err.Error(), tt.says) || errors.Is(err, pair.ErrUnreachable)):
					t.Errorf("got %v, want ErrUntrusted that says %q", err, tt.says)
				}
			}
			if n := served.Load(); !tt.ok && n != 0 {
				t.Errorf("the untrusted unit was sent %d requests", n)
			}
		})
	}
}

func TestMissingCAFileTrustsNobody(t *testing.T) {
	server, _ := serveTLS(t, nil)
	c := newClient(t, loadmaster.Options{Secrets: &secrets{creds: withKey}, DialContext: dialTo(server.Listener)})
	_, err := c.Report(t.Context(), pair.Unit{VM: "lm1", Address: unitAddr, API: pair.API{Secret: "s", CAFile: "testdata/none.pem"}})
	if !errors.Is(err, pair.ErrUntrusted) || !strings.Contains(err.Error(), "none.pem") {
		t.Errorf("got %v, want ErrUntrusted that names the file", err)
	}
}

func TestReplacedCAFileNeedsNoRestart(t *testing.T) {
	ca := newAuthority(t)
	cert := certificate(t, ca, func(c *x509.Certificate) { c.DNSNames = []string{"lm1"} })
	server, _ := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{cert}})
	file := inPEM(newAuthority(t).cert)
	c := newClient(t, loadmaster.Options{
		Secrets: &secrets{creds: withKey}, DialContext: dialTo(server.Listener),
		ReadFile: func(string) ([]byte, error) { return []byte(file), nil },
	})
	defer c.Close()
	u := pair.Unit{VM: "lm1", Address: unitAddr, API: pair.API{Secret: "s", CAFile: "ca.pem"}}
	if _, err := c.HAParameters(t.Context(), u); !errors.Is(err, pair.ErrUntrusted) {
		t.Fatalf("got %v, want ErrUntrusted", err)
	}
	file = inPEM(ca.cert)
	if _, err := c.HAParameters(t.Context(), u); err != nil {
		t.Errorf("after the file was replaced: %v", err)
	}
}

func TestChangedPinIsUsedAtOnce(t *testing.T) {
	cert := certificate(t, authority{}, nil)
	server, _ := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{cert}})
	c := newClient(t, loadmaster.Options{Secrets: &secrets{creds: withKey}, DialContext: dialTo(server.Listener)})
	defer c.Close()
	u := pair.Unit{VM: "lm1", Address: unitAddr, API: pair.API{Secret: "s", TLS: pair.TLS{SHA256: pin(cert)}}}
	if _, err := c.HAParameters(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	u.API.TLS.SHA256 = strings.Repeat("00", 32)
	if _, err := c.HAParameters(t.Context(), u); !errors.Is(err, pair.ErrUntrusted) {
		t.Errorf("got %v: the connection of the old pin was used", err)
	}
}

func TestOldTLSIsNotSpoken(t *testing.T) {
	cert := certificate(t, authority{}, nil)
	server, served := serveTLS(t, &tls.Config{
		Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11,
	})
	c := newClient(t, loadmaster.Options{Secrets: &secrets{creds: withKey}, DialContext: dialTo(server.Listener)})
	u := pair.Unit{VM: "lm1", Address: unitAddr, API: pair.API{Secret: "s", TLS: pair.TLS{SHA256: pin(cert)}}}
	if _, err := c.Report(t.Context(), u); !errors.Is(err, pair.ErrUnreadable) || !strings.Contains(err.Error(), "TLS 1.2") || served.Load() != 0 {
		t.Errorf("got %v after %d requests, want ErrUnreadable and none", err, served.Load())
	}
}

// tunnel is a proxy that knows CONNECT and leads everything to one place.
func tunnel(t *testing.T, status int, to net.Listener) (proxy *url.URL, asked *atomic.Value) {
	t.Helper()
	asked = &atomic.Value{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	serve := func(c net.Conn) {
		defer func() { _ = c.Close() }()
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		asked.Store(r.Method + " " + r.RequestURI)
		_, _ = fmt.Fprintf(c, "HTTP/1.1 %d %s\r\n\r\n", status, http.StatusText(status))
		far, err := net.Dial("tcp", to.Addr().String())
		if status != http.StatusOK || err != nil {
			return
		}
		defer func() { _ = far.Close() }()
		go func() { _, _ = io.Copy(far, c) }()
		_, _ = io.Copy(c, far)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	return &url.URL{Scheme: "http", Host: l.Addr().String(), User: url.UserPassword("me", "proxypw")}, asked
}

func TestProxyKeepsThePin(t *testing.T) {
	cert := certificate(t, authority{}, nil)
	server, _ := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{cert}})
	tests := []struct {
		name   string
		pin    string
		status int
		want   error
	}{
		{"the pinned unit answers through the proxy", pin(cert), 200, nil},
		{"another certificate behind the proxy is not trusted", strings.Repeat("ab", 32), 200, pair.ErrUntrusted},
		{"a proxy that cannot connect means no answer", pin(cert), 502, pair.ErrUnreachable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			proxy, asked := tunnel(t, tt.status, server.Listener)
			c := newClient(t, loadmaster.Options{Secrets: &secrets{creds: withKey}, Proxy: http.ProxyURL(proxy)})
			defer c.Close()
			u := pair.Unit{VM: "lm1", Address: unitAddr, API: pair.API{Secret: "s", TLS: pair.TLS{SHA256: tt.pin}}}
			for what, err := range map[string]error{"read": second(c.HAParameters(t.Context(), u)), "write": c.Reboot(t.Context(), u)} {
				if !errors.Is(err, tt.want) {
					t.Errorf("%s: got %v, want %v", what, err, tt.want)
				}
				if err != nil && strings.Contains(err.Error(), "proxypw") {
					t.Errorf("%s: the error shows the proxy's password: %v", what, err)
				}
			}
			if got := asked.Load(); got != "CONNECT 10.0.0.4:8443" {
				t.Errorf("the proxy was asked %v", got)
			}
		})
	}
}

func second(_ loadmaster.HAParameters, err error) error { return err }

func TestUnusableProxySettingIsNotQuoted(t *testing.T) {
	c := newClient(t, loadmaster.Options{
		Secrets: &secrets{creds: withKey},
		Proxy: func(*http.Request) (*url.URL, error) {
			return nil, errors.New("cannot parse http://me:proxypw@[::1")
		},
		DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no dial wanted") },
	})
	_, err := c.Report(t.Context(), pair.Unit{VM: "lm1", Address: unitAddr, API: pair.API{Secret: "s"}})
	if err == nil || strings.Contains(err.Error(), "proxypw") || !strings.Contains(err.Error(), "proxy") {
		t.Errorf("got %v", err)
	}
}

func FuzzPin(f *testing.F) {
	f.Add(strings.Repeat("ab:", 31) + "cd")
	f.Add(strings.Repeat("AB", 32))
	f.Add("::::")
	c, err := loadmaster.New(loadmaster.Options{Secrets: &secrets{err: errors.New("not asked for")}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u := pair.Unit{VM: "lm1", Address: unitAddr, API: pair.API{Secret: "s", TLS: pair.TLS{SHA256: text}}}
		_, err := c.Report(t.Context(), u)
		digits := len(strings.ReplaceAll(text, ":", ""))
		if text != "" && digits != 64 && !errors.Is(err, pair.ErrInvalid) {
			t.Errorf("pin %q: got %v, want ErrInvalid", text, err)
		}
	})
}
