package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	azfake "github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"

	"tandem/internal/azure/arm"
	"tandem/internal/control"
	"tandem/internal/pair"
	"tandem/internal/store"
)

// quietFleet is many pairs with which nothing is wrong, over the real store and the
// real adapter of Resource Manager. It answers for the units and for Azure.
type quietFleet struct {
	names []string
	docs  map[string]json.RawMessage // by path in lower case

	requests atomic.Int64 // to Resource Manager
	kept     atomic.Int64 // to the store, for their budget
}

func newQuietFleet(t *testing.T, s *store.Store, pairs int) *quietFleet {
	t.Helper()
	f := &quietFleet{docs: map[string]json.RawMessage{}}
	for n := range pairs {
		at := func(last byte) netip.Addr { return netip.AddrFrom4([4]byte{10, 1, byte(n), last}) }
		d := pair.Definition{
			Name: fmt.Sprintf("pair-%03d", n), Mode: pair.Auto,
			Azure: pair.Scope{Subscription: "00000000-0000-0000-0000-000000000001", ResourceGroup: "rg", Location: "westeurope"},
		}
		d.Units = pair.Units{First: pair.Unit{VM: d.Name + "-1", Address: at(4)}, Second: pair.Unit{VM: d.Name + "-2", Address: at(5)}}
		d.SecurityGroup.Name = "nsg-" + d.Name
		d.LoadBalancers = []pair.LoadBalancer{{
			Name: "lb-" + d.Name, Pools: []string{"pool"}, Frontends: []pair.Frontend{{Name: "vip", Address: at(100)}},
			Rules: []pair.Rule{{Name: "check", Frontend: "vip", Port: 8444}},
		}}
		d = d.WithDefaults()
		f.names = append(f.names, d.Name)
		f.deploy(t, d, n)
		snap, err := s.Define(t.Context(), d, nil)
		if err == nil {
			rec := snap.Record
			rec.Proofs = []pair.LeverProof{{LoadBalancer: d.LoadBalancers[0].Name, Pool: "pool", Back: true}}
			_, err = s.Commit(t.Context(), snap, pair.Change{Record: rec})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// deploy makes the documents of a pair: machines in their network, and what the
// program makes of that.
func (f *quietFleet) deploy(t *testing.T, d pair.Definition, n int) {
	t.Helper()
	scope := "/subscriptions/" + d.Azure.Subscription + "/resourceGroups/rg/providers/Microsoft.Network/"
	subnet := scope + "virtualNetworks/net/subnets/" + d.Name
	f.put(subnet, `{"id":%q,"properties":{"addressPrefix":"10.1.%d.0/24"}}`, subnet, n)
	for i, r := range pair.Roles {
		u := d.Units.Of(r)
		nic := scope + "networkInterfaces/" + u.VM + "-nic"
		f.put(string(d.VMID(r)), `{"id":%q,"location":"westeurope","zones":["%d"],"properties":{"networkProfile":{"networkInterfaces":[{"id":%q}]}}}`, d.VMID(r), i+1, nic)
		f.put(nic, `{"id":%q,"location":"westeurope","properties":{"ipConfigurations":[{"name":"ip","id":"%s/ipConfigurations/ip",`+
			`"properties":{"privateIPAddress":%q,"primary":true,"subnet":{"id":%q}}}]}}`, nic, nic, u.Address, subnet)
	}
	c := &control.Controller{Options: control.Options{Resources: f}}
	for range 2 {
		plan, refusals, err := c.Plan(t.Context(), d)
		if err != nil || len(refusals) > 0 {
			t.Fatalf("plan %s: %v %v", d.Name, err, refusals)
		}
		for _, s := range plan.Steps {
			doc, err := s.Edit(f.docs[string(s.Resource)])
			if err != nil {
				t.Fatal(err)
			}
			f.docs[string(s.Resource)] = doc
		}
	}
}

func (f *quietFleet) put(id, format string, args ...any) {
	f.docs[strings.ToLower(id)] = fmt.Appendf(nil, format, args...)
}

// Read and BeginWrite are for deploy alone.
func (f *quietFleet) Read(_ context.Context, id pair.ResourceID) (json.RawMessage, string, error) {
	if doc := f.docs[string(id)]; doc != nil {
		return doc, "1", nil
	}
	return nil, "", pair.ErrNotFound
}

func (f *quietFleet) BeginWrite(context.Context, pair.ResourceID, []byte, string, func(context.Context) error) (pair.Operation, error) {
	return pair.Operation{}, pair.ErrInvalid
}

// Do is Resource Manager.
func (f *quietFleet) Do(req *http.Request) (*http.Response, error) {
	f.requests.Add(1)
	path, status := strings.ToLower(req.URL.Path), http.StatusOK
	body := f.docs[path]
	switch {
	case strings.HasSuffix(path, "/health"):
		name, _, _ := strings.Cut(path[strings.Index(path, "/lb-pair-")+len("/lb-pair-"):], "/")
		n := strings.TrimLeft(name, "0")
		if n == "" {
			n = "0"
		}
		body = fmt.Appendf(nil, `{"loadBalancerBackendAddresses":[{"ipAddress":"10.1.%s.4","state":"Up","reason":"Up_Probe_Success"},`+
			`{"ipAddress":"10.1.%s.5","state":"Down","reason":"Down_Probe_HttpStatusCodeError"}]}`, n, n)
	case body == nil:
		status = http.StatusNotFound
	}
	return &http.Response{StatusCode: status, Header: http.Header{"Etag": {"1"}}, Body: io.NopCloser(bytes.NewReader(body)), Request: req}, nil
}

func (f *quietFleet) Report(_ context.Context, u pair.Unit) (pair.Report, error) {
	r := pair.Report{State: pair.Active, Preferred: pair.PreferFirst, CheckPort: 8444}
	if u.Address.As4()[3] == 5 {
		r.State = pair.Standby
	}
	return r, nil
}

func (f *quietFleet) Prefer(context.Context, pair.Unit, pair.Preference) (pair.Report, error) {
	return pair.Report{}, errors.New("nothing is to be preferred")
}

func (f *quietFleet) CheckPort(_ context.Context, a netip.AddrPort) pair.CheckSeen {
	if a.Addr().As4()[3] == 4 {
		return pair.CheckSeen{Answer: pair.CheckServing, Status: http.StatusOK}
	}
	return pair.CheckSeen{Answer: pair.CheckIdle, Status: http.StatusServiceUnavailable}
}

func (f *quietFleet) Service(context.Context, netip.Addr, pair.Check) pair.ServiceSeen {
	return pair.ServiceSeen{}
}

// sweep makes a pass over each pair every 15 seconds.
func (f *quietFleet) sweep(t *testing.T, c *control.Controller, lasts time.Duration) {
	t.Helper()
	for range lasts / (15 * time.Second) {
		for _, name := range f.names {
			if err := c.Pass(t.Context(), name, pair.Cause{Kind: pair.CauseSweep}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait() // what is told in the background
		time.Sleep(15 * time.Second)
	}
}

// purse is the store as the adapter sees it. It marks what it asks of it.
type purse struct{ *store.Store }

type purseKey struct{}

func marked(ctx context.Context) context.Context { return context.WithValue(ctx, purseKey{}, true) }

func (p purse) Reserve(ctx context.Context, subscription string, reads, writes int, now time.Time) error {
	return p.Store.Reserve(marked(ctx), subscription, reads, writes, now)
}

func (p purse) Spend(ctx context.Context, subscription string, reads, writes int, now time.Time) error {
	return p.Store.Spend(marked(ctx), subscription, reads, writes, now)
}

func (p purse) HoldBack(ctx context.Context, subscription string, after time.Duration, now time.Time) error {
	return p.Store.HoldBack(marked(ctx), subscription, after, now)
}

// TestAQuietFleetSeldomAsksTheStoreForItsRequests counts what it costs that every
// request to Resource Manager is accounted to the budget that all processes share.
// To ask it is to read one row and to write it.
func TestAQuietFleetSeldomAsksTheStoreForItsRequests(t *testing.T) {
	for _, pairs := range []int{5, 30} {
		synctest.Test(t, func(t *testing.T) {
			account := store.NewEmbedded(store.EmbeddedOptions{})
			f := newQuietFleet(t, account.Store(store.HandleOptions{}), pairs)
			s := account.Store(store.HandleOptions{Gate: func(ctx context.Context, _ bool) error {
				if ctx.Value(purseKey{}) != nil {
					f.kept.Add(1)
				}
				return nil
			}})
			c := f.controller(t, s)
			f.sweep(t, c, 30*time.Minute) // everything is looked at for the first time
			requests, kept := f.requests.Load(), f.kept.Load()
			f.sweep(t, c, time.Hour)
			requests, kept = f.requests.Load()-requests, f.kept.Load()-kept
			for _, name := range f.names {
				snap, err := s.Load(t.Context(), name)
				if err != nil || snap.Record.Situation != pair.Healthy || snap.Record.Drift != nil || snap.Record.Alarm != nil {
					t.Fatalf("%s is not quiet: %+v, %v", name, snap.Record, err)
				}
			}
			passes := pairs * int(time.Hour/(15*time.Second))
			t.Logf("%d pairs, %d passes in an hour: the budget was asked %d times for %d requests to Resource Manager, %.3f requests to the store for a pass",
				pairs, passes, kept/2, requests, float64(kept)/float64(passes))
			if least := int64(pairs) * 25; requests < least { // 12 readings, 4 of them with rule health, and two comparisons of 8
				t.Errorf("%d pairs: %d requests to Resource Manager, want %d at least: the fleet is held back", pairs, requests, least)
			}
			if most := requests / 14; kept/2 > most {
				t.Errorf("%d pairs: the budget was asked %d times for %d requests, want %d at most", pairs, kept/2, requests, most)
			}
		})
	}
}

// controller is one process over the fleet.
func (f *quietFleet) controller(t *testing.T, s *store.Store) *control.Controller {
	t.Helper()
	platform, err := arm.New(arm.Options{
		Cloud: cloud.Configuration{Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
			cloud.ResourceManager: {Endpoint: "https://management.test", Audience: "https://management.test"},
		}},
		Credential: &azfake.TokenCredential{}, Transport: f, Rank: control.RankOf, Budget: purse{s},
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := control.New(control.Options{
		Store: s, Outbox: s, Units: f, Checks: f, Platform: platform, Resources: platform, Brakes: s, Metrics: platform,
		Worker: "w", Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
