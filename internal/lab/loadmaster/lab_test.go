package loadmaster_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/lab/loadmaster"
	"tandem/internal/lab/network"
)

var (
	firstAddr  = netip.MustParseAddr("10.0.0.4")
	secondAddr = netip.MustParseAddr("10.0.0.5")
	probeAddr  = netip.MustParseAddr("168.63.129.16")
)

// lab is a pair of units, a load balancer that only probes, and an operator.
type lab struct {
	t             *testing.T
	net           *network.Network
	operator, lb  *network.Host
	first, second *loadmaster.Unit

	mu     sync.Mutex // guards events
	start  time.Time
	events []string
}

// inLab runs a story in virtual time with two units that are off. change
// adjusts the configuration of both.
func inLab(t *testing.T, change func(c *loadmaster.Config), story func(t *testing.T, l *lab)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := &lab{t: t, net: network.New(network.Options{Seed: 1}), start: time.Now()}
		defer l.net.Close()
		l.operator = l.net.Host("operator", netip.MustParseAddr("10.0.0.10"))
		l.lb = l.net.Host("probe", probeAddr)
		l.first = l.unit(loadmaster.Config{
			Name: "lm1", Role: loadmaster.First, Partner: secondAddr, Phase: 11 * time.Microsecond, Seed: 1,
		}, firstAddr, change)
		defer l.first.Close()
		l.second = l.unit(loadmaster.Config{
			Name: "lm2", Role: loadmaster.Second, Partner: firstAddr, Phase: 2*time.Second + 13*time.Microsecond, Seed: 2,
		}, secondAddr, change)
		defer l.second.Close()
		story(t, l)
	})
}

func (l *lab) unit(cfg loadmaster.Config, addr netip.Addr, change func(c *loadmaster.Config)) *loadmaster.Unit {
	cfg.Preferred = true
	cfg.APIKey, cfg.Password = "the-key", "the-password"
	cfg.ServicePorts = []int{80}
	if change != nil {
		change(&cfg)
	}
	u, err := loadmaster.New(cfg, l.net.Host(cfg.Name, addr), func(event string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.events = append(l.events, fmt.Sprintf("%v %s %s", time.Since(l.start), cfg.Name, event))
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return u
}

// running starts the usual pair: first active, second standby.
func (l *lab) running() *lab {
	l.first.Start(loadmaster.Active)
	l.second.Start(loadmaster.Standby)
	return l
}

// pass lets time pass while the load balancer probes both units every five
// seconds, and ends when everything is quiet.
func (l *lab) pass(d time.Duration) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), d)
	defer cancel()
	var probes sync.WaitGroup
	for i, addr := range []netip.Addr{firstAddr, secondAddr} {
		probes.Go(func() {
			wait := time.Duration(i+1) * 700 * time.Millisecond
			for {
				select {
				case <-ctx.Done():
					return
				case <-time.After(wait):
				}
				wait = 5 * time.Second
				_, _, _ = fetch(l.lb, "http://"+addr.String()+":8444/", 2*time.Second)
			}
		})
	}
	probes.Wait()
	<-ctx.Done()
	synctest.Wait()
}

// expect compares the states of both units.
func (l *lab) expect(when string, first, second loadmaster.State) {
	l.t.Helper()
	if f, s := l.first.State(), l.second.State(); f != first || s != second {
		l.t.Errorf("%s: first %v and second %v, want %v and %v\n%s", when, f, s, first, second, l.transcript())
	}
}

func (l *lab) transcript() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.events, "\n")
}

func (l *lab) cutPartners() {
	l.net.Cut(firstAddr, secondAddr)
	l.net.Cut(secondAddr, firstAddr)
}

func (l *lab) healPartners() {
	l.net.Restore(firstAddr, secondAddr)
	l.net.Restore(secondAddr, firstAddr)
}

// do sends one request on a connection of its own.
func do(h *network.Host, req *http.Request, patience time.Duration) (*http.Response, string, error) {
	client := &http.Client{
		Timeout: patience,
		Transport: &http.Transport{
			DialContext:       h.DialContext,
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
			DisableKeepAlives: true,
		},
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, string(body), err
}

func fetch(h *network.Host, url string, patience time.Duration) (int, string, error) {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	resp, body, err := do(h, req, patience)
	if err != nil {
		return 0, "", err
	}
	return resp.StatusCode, body, nil
}

// v1 calls the first unit with the right password.
func (l *lab) v1(command string) (int, string) {
	l.t.Helper()
	return l.v1Of(firstAddr, command)
}

func (l *lab) v1Of(addr netip.Addr, command string) (int, string) {
	l.t.Helper()
	req, err := http.NewRequest(http.MethodGet, "https://"+addr.String()+":8443/access/"+command, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	req.SetBasicAuth("bal", "the-password")
	resp, body, err := do(l.operator, req, time.Minute)
	if err != nil {
		l.t.Fatalf("%s: %v", command, err)
	}
	return resp.StatusCode, body
}

// v2 calls the first unit; fields is JSON without braces.
func (l *lab) v2(fields string) (int, string) {
	l.t.Helper()
	return l.v2Raw(`{"apikey":"the-key",` + fields + `}`)
}

func (l *lab) v2Raw(body string) (int, string) {
	l.t.Helper()
	req, err := http.NewRequest(http.MethodPost, "https://10.0.0.4:8443/accessv2", strings.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	resp, answer, err := do(l.operator, req, time.Minute)
	if err != nil {
		l.t.Fatalf("%s: %v", body, err)
	}
	return resp.StatusCode, answer
}

func fixture(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
