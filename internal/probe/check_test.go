package probe_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	lab "tandem/internal/lab/loadmaster"
	"tandem/internal/lab/network"
	"tandem/internal/pair"
	"tandem/internal/probe"
)

// shop is a check of a port on this machine.
func shop(port uint16, edit func(*pair.Check)) pair.Check {
	c := pair.Check{Name: "shop", Port: int(port), Path: "/healthz"}
	if edit != nil {
		edit(&c)
	}
	return c
}

func TestACheckComparesTheStatus(t *testing.T) {
	expect := func(status int) func(*pair.Check) { return func(c *pair.Check) { c.Expect = status } }
	tests := []struct {
		name   string
		raw    string
		check  func(*pair.Check)
		want   probe.CheckOutcome
		status int
		says   string
	}{
		{"the expected status passes", "HTTP/1.1 204 No Content\r\n\r\n", expect(204), probe.CheckPassed, 204, "status 204"},
		{"where nothing is said, 200 is expected", "HTTP/1.1 200 OK\r\n\r\n", nil, probe.CheckPassed, 200, "status 200"},
		{"a 503 may be expected", "HTTP/1.1 503 Unavailable\r\n\r\n", expect(503), probe.CheckPassed, 503, "status 503"},
		{"another status fails", "HTTP/1.1 503 Unavailable\r\n\r\n", nil, probe.CheckFailed, 503, "status 503"},
		{"a success that is not the expected one fails", "HTTP/1.1 200 OK\r\n\r\n", expect(204), probe.CheckFailed, 200, "status 200"},
		{"a redirect is not followed", "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n", nil, probe.CheckFailed, 302, "status 302"},
		{"a body is not waited for", "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", nil, probe.CheckPassed, 200, "status 200"},
		{"words fail without a status", "SSH-2.0-OpenSSH_9.6\r\n", nil, probe.CheckFailed, 0, "an answer that is not the expected protocol"},
		{"a header without end fails without a status", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", nil, probe.CheckFailed, 0, "an answer that is not the expected protocol"},
		{"a closed connection without a word is refused", "", nil, probe.CheckRefused, 0, "refused"},
		{"words instead of TLS fail without a status", "HTTP/1.1 400 Bad Request\r\n\r\n", func(c *pair.Check) { c.Scheme = pair.HTTPS }, probe.CheckFailed, 0, "an answer that is not the expected protocol"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			unit := listen(t, func(c net.Conn) {
				if tt.check != nil && shop(1, tt.check).Scheme == pair.HTTPS {
					_, _ = io.WriteString(c, tt.raw) // TLS is no request that could be read first
					_, _ = io.Copy(io.Discard, c)
					return
				}
				answering(tt.raw)(c)
			})
			got := newProber(t, probe.Options{}).Check(t.Context(), unit.Addr(), shop(unit.Port(), tt.check))
			if got != (probe.CheckResult{Outcome: tt.want, Status: tt.status, At: seenAt}) || got.String() != tt.says {
				t.Errorf("got %v %+v, want %v with status %d", got, got, tt.want, tt.status)
			}
		})
	}
}

func TestACheckIsOneRequestOfThePairFile(t *testing.T) {
	requests := make(chan *http.Request, 2)
	var connections atomic.Int32
	unit := listen(t, func(c net.Conn) {
		connections.Add(1)
		defer func() { _ = c.Close() }()
		if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			requests <- r
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	mapped := netip.AddrFrom16(unit.Addr().As16()) // the same unit
	p := newProber(t, probe.Options{})
	for _, c := range []pair.Check{
		shop(unit.Port(), func(c *pair.Check) { c.Path = "/a%20b?deep=1" }),
		shop(unit.Port(), func(c *pair.Check) { c.Path = "" }),
	} {
		want := "/"
		if c.Path != "" {
			want = c.Path
		}
		if got := p.Check(t.Context(), mapped, c); got.Outcome != probe.CheckPassed {
			t.Fatalf("got %+v", got)
		}
		if r := <-requests; r.Method != "GET" || r.RequestURI != want || r.Host != unit.String() || !r.Close {
			t.Errorf("got %s %s, host %s, close %t", r.Method, r.RequestURI, r.Host, r.Close)
		}
	}
	if n := connections.Load(); n != 2 {
		t.Errorf("two checks made %d connections", n)
	}
}

func TestACheckSpeaksTLSToAnyCertificate(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	at := netip.MustParseAddrPort(server.Listener.Addr().String())
	tests := []struct {
		name   string
		scheme pair.Scheme
		want   probe.CheckOutcome
		status int
	}{
		{"with https the service answers, whatever its certificate says", pair.HTTPS, probe.CheckPassed, 204},
		{"without it, it says that it wanted TLS", pair.SchemeUnset, probe.CheckFailed, 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := shop(at.Port(), func(c *pair.Check) { c.Scheme, c.Expect = tt.scheme, 204 })
			if got := newProber(t, probe.Options{}).Check(t.Context(), at.Addr(), c); got.Outcome != tt.want || got.Status != tt.status {
				t.Errorf("got %+v, want %v with status %d", got, tt.want, tt.status)
			}
		})
	}
}

func TestWhatACheckLearnsFromFailures(t *testing.T) {
	tests := []struct {
		name   string
		dial   func(context.Context, string, string) (net.Conn, error)
		caller time.Duration // 0 means patient
		want   probe.CheckOutcome
		after  time.Duration
	}{
		{"a refused connection is refused", failing(syscall.ECONNREFUSED), 0, probe.CheckRefused, 0},
		{"a host that the network cannot find is silent", failing(syscall.EHOSTUNREACH), 0, probe.CheckSilent, 0},
		{"no socket of our own says nothing of the unit", failing(syscall.EMFILE), 0, probe.CheckUnknown, 0},
		{"nobody takes the connection for two seconds", mute, 0, probe.CheckSilent, 2 * time.Second},
		{"a connection is taken but nothing is said", deaf(""), 0, probe.CheckSilent, 2 * time.Second},
		{"a caller who gives up first learns nothing", mute, time.Second, probe.CheckUnknown, time.Second},
	}
	for _, tt := range tests {
		for _, scheme := range []pair.Scheme{pair.HTTP, pair.HTTPS} {
			t.Run(tt.name+" with "+scheme.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					if tt.caller > 0 {
						ctx, cancel = context.WithTimeout(ctx, tt.caller)
						defer cancel()
					}
					start := time.Now()
					c := shop(443, func(c *pair.Check) { c.Scheme = scheme })
					got := newProber(t, probe.Options{DialContext: tt.dial}).Check(ctx, unitAddr.Addr(), c)
					if got.Outcome != tt.want || time.Since(start) != tt.after || got.At.IsZero() != (tt.want == probe.CheckUnknown) {
						t.Errorf("got %+v after %v, want %v after %v", got, time.Since(start), tt.want, tt.after)
					}
					time.Sleep(10 * time.Second) // whatever was started has ended, or the bubble complains
				})
			})
		}
	}
}

func TestACheckThatCannotBeMadeIsNotMade(t *testing.T) {
	never := func(context.Context, string, string) (net.Conn, error) {
		t.Error("a connection was made")
		return nil, errors.New("never")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	p := newProber(t, probe.Options{DialContext: never})
	tests := []struct {
		name string
		ctx  context.Context
		unit netip.Addr
		edit func(*pair.Check)
	}{
		{"when the caller is gone", ended, unitAddr.Addr(), nil},
		{"without an address", t.Context(), netip.Addr{}, nil},
		{"of an address with a zone", t.Context(), netip.MustParseAddr("fe80::1%eth0"), nil},
		{"without a port", t.Context(), unitAddr.Addr(), func(c *pair.Check) { c.Port = 0 }},
		{"of a port that is none", t.Context(), unitAddr.Addr(), func(c *pair.Check) { c.Port = 70000 }},
		{"in another protocol", t.Context(), unitAddr.Addr(), func(c *pair.Check) { c.Scheme = pair.Scheme(9) }},
		{"of a path that leads to another host", t.Context(), unitAddr.Addr(), func(c *pair.Check) { c.Path = "@elsewhere/" }},
		{"of a path that is none", t.Context(), unitAddr.Addr(), func(c *pair.Check) { c.Path = "/%zz" }},
		{"of a path with a line break", t.Context(), unitAddr.Addr(), func(c *pair.Check) { c.Path = "/\r\nX: y" }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := p.Check(tt.ctx, tt.unit, shop(443, tt.edit)); got != (probe.CheckResult{}) || got.String() != "unknown" {
				t.Errorf("got %+v, want nothing", got)
			}
		})
	}
}

// The lab's services speak HTTP on 443.
func TestChecksOfSimulatedUnits(t *testing.T) {
	const service = 443
	tests := []struct {
		name string
		opts lab.Options
		want [2]probe.CheckOutcome
	}{
		{"only the active unit forwards", lab.Options{}, [2]probe.CheckOutcome{probe.CheckPassed, probe.CheckRefused}},
		{"where a standby forwards, both do", lab.Options{StandbyForwards: true}, [2]probe.CheckOutcome{probe.CheckPassed, probe.CheckPassed}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := network.New(network.Options{Seed: 7})
				p := newProber(t, probe.Options{DialContext: n.Host("tandem", netip.MustParseAddr("10.0.0.100")).DialContext})
				addrs := [2]netip.Addr{netip.MustParseAddr("10.0.0.4"), netip.MustParseAddr("10.0.0.5")}
				var units [2]*lab.Unit
				for i, role := range []lab.Role{lab.First, lab.Second} {
					name := fmt.Sprintf("lm%d", i+1)
					u, err := lab.New(lab.Config{
						Name: name, Role: role, Partner: addrs[1-i], Preferred: true, ServicePorts: []int{service},
						Phase: time.Duration(i*2000+11) * time.Microsecond, Seed: uint64(i), Options: tt.opts,
					}, n.Host(name, addrs[i]), func(string) {})
					if err != nil {
						t.Fatal(err)
					}
					units[i] = u
				}
				units[0].Start(lab.Active)
				units[1].Start(lab.Standby)
				check := pair.Check{Name: "shop", Port: service, Scheme: pair.HTTP, Path: "/healthz"}
				for i, want := range tt.want {
					if got := p.Check(t.Context(), addrs[i], check); got.Outcome != want {
						t.Errorf("unit %d: got %+v, want %v", i+1, got, want)
					}
				}
				units[0].SetFaults(lab.Faults{ServicesDead: true})
				seen := p.CheckPort(t.Context(), netip.AddrPortFrom(addrs[0], 8444))
				if got := p.Check(t.Context(), addrs[0], check); got.Outcome != probe.CheckRefused || seen.Answer != pair.CheckServing {
					t.Errorf("a unit that answers 200 and does not forward: check port %v, check %+v", seen.Answer, got)
				}
				for _, u := range units {
					u.Close()
				}
				n.Close()
				time.Sleep(time.Minute)
			})
		})
	}
}
