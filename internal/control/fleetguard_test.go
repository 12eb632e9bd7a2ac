package control_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tandem/internal/control"
	"tandem/internal/pair"
	"tandem/internal/store"
)

// guarded is a fleet with all documents of its pairs. Reading and writing them
// counts as everything that asks Resource Manager does.
type guarded struct {
	*fleet
	of      map[pair.ResourceID]json.RawMessage
	version map[pair.ResourceID]int
	budget  *store.Store // of requests that can wait; nil lets all pass
	read    []time.Time  // when each document was read
	// compared is when each pair's security group was read, once in a comparison.
	compared map[string][]time.Time
}

// newGuarded makes a fleet of pairs that each have a load balancer, a security
// group and two interfaces of their own, as the program would have made them.
func newGuarded(t testing.TB, pairs int, change func(n int, d *pair.Definition)) *guarded {
	t.Helper()
	g := &guarded{of: map[pair.ResourceID]json.RawMessage{}, version: map[pair.ResourceID]int{}, compared: map[string][]time.Time{}}
	g.fleet = newFleet(t, pairs, func(n int, d *pair.Definition) {
		a := d.Units.First.Address.As4()
		a[3] = 100
		d.LoadBalancers[0].Frontends = []pair.Frontend{{Name: "vip", Address: netip.AddrFrom4(a)}}
		d.LoadBalancers[0].Rules = []pair.Rule{{Name: "check", Frontend: "vip", Port: 8444}, {Name: "https", Frontend: "vip", Port: 443}}
		d.SecurityGroup = pair.SecurityGroup{Name: "nsg-" + d.Name}
		if change != nil {
			change(n, d)
		}
	})
	one := g.defs[g.names[0]]
	docs := deployedAlone(t, one)
	for n, name := range g.names {
		d := g.defs[name]
		// Every pair is the first one under its own names and addresses.
		as := strings.NewReplacer(one.Name, name, "10.1.0.", fmt.Sprintf("10.%d.%d.", 1+byte(n>>8), byte(n)))
		for id, doc := range docs {
			g.of[pair.NewResourceID(as.Replace(string(id)))] = json.RawMessage(as.Replace(string(doc)))
		}
		if g.of[d.LoadBalancerID("lb-"+name)] == nil || g.of[d.VMID(pair.Second)] == nil {
			t.Fatalf("%s was not made", name)
		}
	}
	return g
}

// deployedAlone are the documents of one pair: what a person makes, the machines
// in their network, and then what the program makes of that.
func deployedAlone(t testing.TB, d pair.Definition) map[pair.ResourceID]json.RawMessage {
	t.Helper()
	const scope = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/"
	subnet := scope + "virtualNetworks/net-" + d.Name + "/subnets/default"
	g := &guarded{
		fleet: &fleet{}, version: map[pair.ResourceID]int{}, compared: map[string][]time.Time{},
		of: map[pair.ResourceID]json.RawMessage{
			pair.NewResourceID(subnet): fmt.Appendf(nil, `{"id":%q,"properties":{"addressPrefix":"10.1.0.0/24"}}`, subnet),
		},
	}
	for i, r := range pair.Roles {
		u := d.Units.Of(r)
		nic := scope + "networkInterfaces/" + u.VM + "-nic"
		g.of[d.VMID(r)] = fmt.Appendf(nil, `{"id":%q,"location":"westeurope","zones":["%d"],"properties":{"networkProfile":{"networkInterfaces":[{"id":%q}]}}}`, d.VMID(r), i+1, nic)
		g.of[pair.NewResourceID(nic)] = fmt.Appendf(nil, `{"id":%q,"location":"westeurope","properties":{"ipConfigurations":[{"name":"ip","id":"%s/ipConfigurations/ip",`+
			`"properties":{"privateIPAddress":%q,"primary":true,"subnet":{"id":%q}}}]}}`, nic, nic, u.Address, subnet)
	}
	c := &control.Controller{Options: control.Options{Resources: g}}
	for range 2 { // the second time nothing is left to write
		plan, refusals, err := c.Plan(t.Context(), d)
		if err != nil || len(refusals) > 0 {
			t.Fatalf("plan %s: %v %v", d.Name, err, refusals)
		}
		for _, s := range plan.Steps {
			if g.of[s.Resource], err = s.Edit(g.of[s.Resource]); err != nil {
				t.Fatal(err)
			}
		}
	}
	return g.of
}

// waker makes the passes of the fleet with the guard, and with brakes and a budget
// of requests that a store of its own keeps.
func (g *guarded) waker(t testing.TB, change ...func(*control.Options)) *control.Waker {
	t.Helper()
	g.budget = store.NewEmbedded(store.EmbeddedOptions{}).Store(store.HandleOptions{Now: g.clock})
	guard := func(o *control.Options) { o.Resources, o.Brakes = g, g.budget }
	return g.fleet.waker(t, append([]func(*control.Options){guard}, change...)...)
}

// afford asks the budget for what can wait, and tells it of the rest, as the
// adapter does.
func (g *guarded) afford(ctx context.Context, reads, writes int) error {
	switch {
	case g.budget == nil:
		return nil
	case control.RankOf(ctx) == pair.RankRepair:
		return g.budget.Reserve(ctx, "s", reads, writes, g.clock())
	default:
		_ = g.budget.Spend(ctx, "s", reads, writes, g.clock()) // it is told later
		return nil
	}
}

func (g *guarded) Read(ctx context.Context, id pair.ResourceID) (jsonText, string, error) {
	if err := g.afford(ctx, 1, 0); err != nil {
		return nil, "", err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.throttled(); err != nil {
		return nil, "", err
	}
	g.read = append(g.read, g.now)
	if name, isGroup := strings.CutPrefix(id.Name(), "nsg-"); isGroup {
		g.compared[name] = append(g.compared[name], g.now)
	}
	doc := g.of[id]
	if doc == nil {
		return nil, "", fmt.Errorf("read %s: %w", id, pair.ErrNotFound)
	}
	return doc, fmt.Sprint(g.version[id]), nil
}

func (g *guarded) BeginWrite(ctx context.Context, id pair.ResourceID, doc []byte, etag string, last func(context.Context) error) (pair.Operation, error) {
	g.mu.Lock()
	stale := etag != fmt.Sprint(g.version[id])
	g.mu.Unlock()
	if stale {
		return pair.Operation{}, fmt.Errorf("write %s: %w", id, pair.ErrConflict)
	}
	if err := g.afford(ctx, 0, 1); err != nil {
		return pair.Operation{}, err
	}
	op, err := g.write(ctx, "repair "+id.Name(), last)
	if err != nil {
		return op, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.of[id] = doc
	g.version[id]++
	return op, nil
}

// deploys lets infrastructure code give a pair's probe another path, and an event
// tell of it.
func (g *guarded) deploys(t testing.TB, w *control.Waker, name string) {
	t.Helper()
	id := g.lb(name)
	g.mu.Lock()
	was := g.of[id]
	g.of[id] = bytes.Replace(was, []byte(`"requestPath":"/"`), []byte(`"requestPath":"/x"`), 1)
	g.version[id]++
	changed := !bytes.Equal(was, g.of[id])
	g.mu.Unlock()
	if !changed {
		t.Fatalf("nothing to change in %s", was)
	}
	message := pair.Message{V: 1, Kind: "wake", Pairs: []string{name}, Cause: pair.Cause{Kind: pair.CauseResource, Resource: id, By: "pipeline"}}
	if err := w.Reconcile(t.Context(), message); err != nil {
		t.Fatal(err)
	}
}

func (g *guarded) lb(name string) pair.ResourceID {
	d := g.defs[name]
	return d.LoadBalancerID("lb-" + name)
}

func (g *guarded) differs(name string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return bytes.Contains(g.of[g.lb(name)], []byte(`"/x"`))
}

// watchedBrakes count who is changed at once.
type watchedBrakes struct {
	*store.Store

	mu      sync.Mutex
	holders map[string]bool
	most    int
	refused int // by the budget or for want of a slot
}

func (k *watchedBrakes) TakeSlot(ctx context.Context, name string, limit int, now time.Time, ttl time.Duration) error {
	err := k.Store.TakeSlot(ctx, name, limit, now, ttl)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil {
		k.refused++
		return err
	}
	k.holders[name] = true
	k.most = max(k.most, len(k.holders))
	return nil
}

func (k *watchedBrakes) GiveSlot(ctx context.Context, name string) error {
	k.mu.Lock()
	delete(k.holders, name)
	k.mu.Unlock()
	return k.Store.GiveSlot(ctx, name)
}

// TestRepairsWaitInAThrottledZoneOutage: of 500 pairs most lose a VM with their
// zone, fifty have two active units, and fifty others wait for a repair, while
// Resource Manager answers 429 for ten minutes. Afterwards no fence waits for
// anything. The repairs do: never are more pairs changed at once than may be, and
// the budget is kept. In the end everything is done, each once.
func TestRepairsWaitInAThrottledZoneOutage(t *testing.T) {
	inBubble(t, func(t *testing.T) { // the moments between the passes of one message take no time there
		const throttled = 10 * time.Minute
		g := newGuarded(t, 500, func(_ int, d *pair.Definition) { d.Failover.Start = pair.Allowed })
		brakes := &watchedBrakes{holders: map[string]bool{}}
		w := g.waker(t, func(o *control.Options) { brakes.Store, o.Brakes = g.budget, brakes })
		g.sweep(t, w)
		var drifted []string
		for n, name := range g.names {
			if n%10 == 5 {
				drifted = append(drifted, name)
				g.deploys(t, w, name) // seen before the zone fails, and not settled
			}
		}
		g.pass(15 * time.Second)
		begin := g.clock().Add(throttled)
		g.zoneFails(t, w, begin)
		for g.clock().Before(begin) {
			g.sweep(t, w)
			g.pass(15 * time.Second)
		}
		left := func() bool { return slices.ContainsFunc(drifted, g.differs) }
		for most := begin.Add(time.Hour); left() && g.clock().Before(most); g.pass(5 * time.Second) {
			if g.clock().Sub(begin)%(15*time.Second) == 0 {
				g.sweep(t, w)
			}
			g.drain(t, w)
		}
		if left() {
			t.Error("after an hour something differs still")
		}

		soon := begin.Add(time.Minute / 2).Format("15:04:05")
		fences, late, repairs, perMinute := 0, 0, 0, map[string]int{}
		for _, line := range g.wrote {
			at, what, _ := strings.Cut(line, " ")
			perMinute[at[:5]]++
			switch kind, _, _ := strings.Cut(what, " "); {
			case kind == "fence" && at > soon:
				late++
				fallthrough
			case kind == "fence":
				fences++
			case kind == "repair":
				repairs++
			}
		}
		if fences != 50 || late != 0 || repairs != len(drifted) {
			t.Errorf("%d fences, %d of them later than half a minute after the last 429, and %d repairs; want 50, none, and %d", fences, late, repairs, len(drifted))
		}
		if brakes.most == 0 || brakes.most > changedAtOnce {
			t.Errorf("%d pairs were changed at once, want %d at most", brakes.most, changedAtOnce)
		}
		for minute, n := range perMinute {
			if most := 100 + 60*7 + 2*fences; n > most { // what can wait: a burst and 7 a second; and each fence with its tag
				t.Errorf("%d writes in minute %s, want %d at most", n, minute, most)
			}
		}
		if got, most := mostWithin(g.read, time.Minute), 125+60*1000/80; got > most {
			t.Errorf("%d documents were read within a minute, want %d at most, as the budget allows", got, most)
		}
		if most := 4 * int(throttled/time.Minute); g.refused > most {
			t.Errorf("%d requests met a 429, want %d at most", g.refused, most)
		}
		t.Logf("%d fences, %d repairs, the last write at %s; %d at once, %d had to wait; %d requests met a 429",
			fences, repairs, g.wrote[len(g.wrote)-1][:8], brakes.most, brakes.refused, g.refused)
	})
}

// changedAtOnce is the limit that control has.
const changedAtOnce = 10

// mostWithin is how many of the times are at most within one such window.
func mostWithin(times []time.Time, window time.Duration) int {
	most, from := 0, 0
	for to, t := range times {
		for t.Sub(times[from]) >= window {
			from++
		}
		most = max(most, to-from+1)
	}
	return most
}

// BenchmarkGuardedFleet sweeps 1,000 quiet pairs for two hours of their time, with
// the guard at work, and counts what that asks of Resource Manager: fewer than
// 1,000 reads in any five minutes, documents, load balancers and rule health
// together. The other metrics are the longest time that a pair went without being
// compared with its file, and how many were not compared at all.
func BenchmarkGuardedFleet(b *testing.B) {
	const pairs, lasts, window = 1000, 2 * time.Hour, 5 * time.Minute
	g := newGuarded(b, pairs, nil)
	c := g.waker(b).Controller
	for b.Loop() {
		begin := g.clock()
		clear(g.compared)
		g.read = nil
		var others []time.Time // calls that are no documents
		for g.clock().Sub(begin) < lasts {
			for _, name := range g.names { // without the moments that passes of one message wait for each other
				before := g.calls
				if err := c.Pass(b.Context(), name, pair.Cause{Kind: pair.CauseSweep}); err != nil {
					b.Fatal(err)
				}
				for range g.calls - before {
					others = append(others, g.clock())
				}
			}
			g.pass(15 * time.Second)
		}
		all := append(slices.Clone(g.read), others...)
		slices.SortFunc(all, time.Time.Compare)
		longest, never := time.Duration(0), 0
		for _, name := range g.names {
			if len(g.compared[name]) == 0 {
				never++
			}
			last := begin
			for _, at := range append(g.compared[name], g.clock()) {
				longest, last = max(longest, at.Sub(last)), at
			}
		}
		b.ReportMetric(float64(mostWithin(all, window)), "reads/5min-most")
		b.ReportMetric(float64(len(all))/float64(lasts/window), "reads/5min")
		b.ReportMetric(1000, "reads/5min-target")
		b.ReportMetric(longest.Minutes(), "min-between-compares")
		b.ReportMetric(float64(never), "pairs-never-compared")
	}
	if len(g.wrote) != 0 {
		b.Errorf("wrote %v", g.wrote)
	}
}
