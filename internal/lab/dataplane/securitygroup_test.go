package dataplane_test

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/lab/dataplane"
	"tandem/internal/lab/network"
)

var internet = netip.MustParseAddr("192.0.2.9")

func rule(d dataplane.Direction, priority int, a dataplane.Access, from, to, port string) dataplane.SecurityRule {
	return dataplane.SecurityRule{
		Direction: d, Priority: priority, Access: a, Protocol: "Tcp", Sources: []string{from}, Destinations: []string{to},
		SourcePorts: []string{"*"}, DestinationPorts: []string{port},
	}
}

func in(priority int, a dataplane.Access, from, port string) dataplane.SecurityRule {
	return rule(dataplane.Inbound, priority, a, from, "*", port)
}

// standardRules are what every group ends with.
func standardRules() dataplane.SecurityGroup {
	all := []dataplane.SecurityRule{
		rule(dataplane.Inbound, 65000, dataplane.Allow, "VirtualNetwork", "VirtualNetwork", "*"),
		rule(dataplane.Inbound, 65001, dataplane.Allow, "AzureLoadBalancer", "*", "*"),
		rule(dataplane.Inbound, 65500, dataplane.Deny, "*", "*", "*"),
		rule(dataplane.Outbound, 65000, dataplane.Allow, "VirtualNetwork", "VirtualNetwork", "*"),
		rule(dataplane.Outbound, 65001, dataplane.Allow, "*", "Internet", "*"),
		rule(dataplane.Outbound, 65500, dataplane.Deny, "*", "*", "*"),
	}
	for i := range all {
		all[i].Protocol = "*"
	}
	return all
}

// with is a group of some rules and the standard ones.
func with(rules ...dataplane.SecurityRule) dataplane.SecurityGroup {
	return append(slices.Clone(rules), standardRules()...)
}

func TestSecurityGroupsDecideWhoGetsIn(t *testing.T) {
	const allow, deny = dataplane.Allow, dataplane.Deny
	udp := in(100, deny, "*", "*")
	udp.Protocol = "Udp"
	sourcePort := in(100, deny, "*", "*")
	sourcePort.SourcePorts = []string{"1-1023"}
	several := in(100, deny, "", "")
	several.Sources, several.DestinationPorts = []string{"10.0.7.0/24", "192.0.2.0/24"}, []string{"22", "440-450"}
	type groups = []dataplane.SecurityGroup
	tests := []struct {
		name   string
		groups groups
		from   netip.Addr
		port   uint16
		want   bool
	}{
		{"without a group the network gets in", nil, pc, 443, true},
		{"without a group the probe gets in", nil, dataplane.ProbeSource, 8444, true},
		{"without a group the internet does not get in", nil, internet, 443, false},
		{"the default rules let the network in", groups{with()}, pc, 443, true},
		{"the default rules let the probe in", groups{with()}, dataplane.ProbeSource, 8444, true},
		{"the default rules keep the internet out", groups{with()}, internet, 443, false},
		{"a rule lets the internet in", groups{with(in(4096, allow, "Internet", "443"))}, internet, 443, true},
		{"to its port only", groups{with(in(4096, allow, "Internet", "443"))}, internet, 444, false},
		{"the tag is read in any case", groups{with(in(4096, allow, "internet", "443"))}, internet, 443, true},
		{"the network is not the internet", groups{with(in(100, deny, "Internet", "*"))}, pc, 443, true},
		{"the probe is not the internet", groups{with(in(100, deny, "Internet", "*"))}, dataplane.ProbeSource, 8444, true},
		{"the probe is not the network", groups{with(in(100, deny, "VirtualNetwork", "*"))}, dataplane.ProbeSource, 8444, true},
		{"the lowest number decides first", groups{with(in(300, allow, "*", "443"), in(200, deny, "*", "443"))}, pc, 443, false},
		{"whatever comes first in the list", groups{with(in(200, deny, "*", "443"), in(100, allow, "*", "443"))}, pc, 443, true},
		{"a deny of everything kills the probe", groups{with(in(4096, deny, "*", "*"))}, dataplane.ProbeSource, 8444, false},
		{"unless a rule before it lets it in", groups{with(in(4096, deny, "*", "*"), in(200, allow, "AzureLoadBalancer", "8444"))}, dataplane.ProbeSource, 8444, true},
		{"an address is let in alone", groups{with(in(100, allow, "10.0.0.50", "*"), in(200, deny, "*", "*"))}, pc, 443, true},
		{"and nobody beside it", groups{with(in(100, allow, "10.0.0.51", "*"), in(200, deny, "*", "*"))}, pc, 443, false},
		{"a prefix is about all in it", groups{with(in(100, deny, "10.0.0.0/26", "*"))}, pc, 443, false},
		{"a rule for UDP is not about TCP", groups{with(udp)}, pc, 443, true},
		{"a rule for other source ports is not about us", groups{with(sourcePort)}, pc, 443, true},
		{"several sources and ports count each", groups{with(in(200, allow, "*", "*"), several)}, internet, 443, false},
		{"and no others", groups{with(in(200, allow, "*", "*"), several)}, internet, 80, true},
		{"an unknown tag is about nobody", groups{with(in(100, deny, "AzureCloud", "*"))}, pc, 443, true},
		{"an application group is about its members", groups{with(in(100, deny, "/applicationSecurityGroups/UNITS", "*"))}, lm1, 443, false},
		{"and about nobody else", groups{with(in(100, deny, "/applicationSecurityGroups/units", "*"))}, pc, 443, true},
		{"a rule without a source is about nobody", groups{with(dataplane.SecurityRule{
			Direction: dataplane.Inbound, Priority: 100, Access: deny, Protocol: "*", Destinations: []string{"*"}, SourcePorts: []string{"*"}, DestinationPorts: []string{"*"},
		})}, pc, 443, true},
		{"a rule for what goes out is not about what comes in", groups{with(rule(dataplane.Outbound, 100, deny, "*", "*", "*"))}, pc, 443, true},
		{"the subnet's group and the interface's must both let in", groups{with(), with(in(100, deny, "*", "443"))}, pc, 443, false},
		{"in either order", groups{with(in(100, deny, "*", "443")), with()}, pc, 443, false},
		{"a group without the default rules lets nobody in", groups{{}}, pc, 443, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := network.New(network.Options{})
			defer n.Close()
			path := dataplane.New(n, dataplane.Options{}, nil)
			defer path.Close()
			path.Guard([]dataplane.Interface{{
				Addresses: []netip.Addr{lm1}, Network: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")}, Groups: tt.groups,
				Applications: []string{"/applicationSecurityGroups/units"},
			}})
			if got := n.Passes(tt.from, netip.AddrPortFrom(lm1, tt.port)); got != tt.want {
				t.Errorf("%s to port %d passes: %t, want %t", tt.from, tt.port, got, tt.want)
			}
			if !n.Passes(tt.from, netip.AddrPortFrom(lm2, tt.port)) {
				t.Error("an address without an interface is guarded")
			}
		})
	}
}

func TestSecurityGroupsDecideWhatGetsOut(t *testing.T) {
	n := network.New(network.Options{})
	defer n.Close()
	path := dataplane.New(n, dataplane.Options{}, nil)
	defer path.Close()
	space := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")}
	path.Guard([]dataplane.Interface{
		{Addresses: []netip.Addr{lm1}, Network: space, Groups: []dataplane.SecurityGroup{with(rule(dataplane.Outbound, 100, dataplane.Deny, "*", "10.0.0.5", "6973"))}},
		{Addresses: []netip.Addr{lm2}, Network: space, Groups: []dataplane.SecurityGroup{with()}},
	})
	for _, tt := range []struct {
		from, to netip.Addr
		port     uint16
		want     bool
	}{
		{lm1, lm2, 6973, false}, {lm2, lm1, 6973, true}, {lm1, lm2, 8444, true}, {lm1, internet, 443, true}, {lm1, pc, 6973, true},
	} {
		if got := n.Passes(tt.from, netip.AddrPortFrom(tt.to, tt.port)); got != tt.want {
			t.Errorf("%s to %s port %d passes: %t, want %t", tt.from, tt.to, tt.port, got, tt.want)
		}
	}
}

func TestTheTagOfTheNetworkMayHoldTheProbe(t *testing.T) {
	for _, both := range []bool{false, true} {
		n := network.New(network.Options{})
		path := dataplane.New(n, dataplane.Options{ProbeInVirtualNetwork: both}, nil)
		path.Guard([]dataplane.Interface{{
			Addresses: []netip.Addr{lm1}, Network: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")},
			Groups: []dataplane.SecurityGroup{with(in(100, dataplane.Deny, "VirtualNetwork", "8444"))},
		}})
		if got := n.Passes(dataplane.ProbeSource, netip.AddrPortFrom(lm1, 8444)); got == both {
			t.Errorf("with the option %t the probe passes: %t", both, got)
		}
		path.Close()
		n.Close()
	}
}

// The group sees the client's own address and the port of the unit, not those
// of the load balancer, and only new connections are its business (azure.md 2).
func TestSecurityGroupsBehindALoadBalancer(t *testing.T) {
	hosts := map[netip.Addr]*network.Host{}
	inWorld(t, dataplane.Options{ClientHost: func(a netip.Addr) *network.Host { return hosts[a] }}, func(w *world) {
		hosts[pc] = w.client
		guard := func(rules ...dataplane.SecurityRule) {
			w.path.Guard([]dataplane.Interface{{
				Addresses: []netip.Addr{lm1, lm2}, Network: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")},
				Groups: []dataplane.SecurityGroup{with(rules...)},
			}})
		}
		lb := pair()
		lb.Rules = append(lb.Rules, dataplane.Rule{Name: "alt", Frontend: "vip1", FrontendPort: 8080, BackendPort: 443, Pool: "loadmasters", Probe: "check"})
		guard()
		w.settled(lb)
		w.wantGet("by the default rules", 8080, "lm1")
		conn := w.dial(7)
		guard(in(100, dataplane.Deny, pc.String(), "443"))
		w.wantGet("from whom the group keeps out", 8080, "timeout")
		w.wantGet("by a NAT rule to the same port", 8442, "timeout")
		guard(in(100, dataplane.Deny, "*", "8080"), in(101, dataplane.Deny, "*", "8442"))
		w.wantGet("which the port of the frontend does not concern", 8080, "lm1")
		w.wantGet("by a NAT rule, likewise", 8442, "lm2")
		guard(in(100, dataplane.Deny, "*", "7"))
		if err := echo(conn); err != nil {
			t.Errorf("an established connection ended: %v", err)
		}
		_ = conn.Close()
		guard(in(100, dataplane.Deny, "AzureLoadBalancer", "*"))
		w.until("lm1 probed down (no connection twice)", time.Minute)
		guard()
		w.until("lm1 probed up", time.Minute)
	})
}

func TestAConnectionThatWaitsGetsThroughOnceItIsLetIn(t *testing.T) {
	inWorld(t, dataplane.Options{}, func(w *world) {
		guard := func(a dataplane.Access) {
			w.path.Guard([]dataplane.Interface{{
				Addresses: []netip.Addr{lm1}, Network: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")},
				Groups: []dataplane.SecurityGroup{{in(100, a, "*", "*")}},
			}})
		}
		guard(dataplane.Deny)
		began := time.Now()
		go func() {
			time.Sleep(2 * time.Second)
			guard(dataplane.Allow)
		}()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		conn, err := w.client.DialContext(ctx, "tcp", "10.0.0.4:7")
		if err != nil || time.Since(began) != 2*time.Second {
			t.Fatalf("dialled after %v: %v", time.Since(began), err)
		}
		_ = conn.Close()
		synctest.Wait()
	})
}

func TestFloatingIPLeadsToNobody(t *testing.T) {
	inWorld(t, dataplane.Options{}, func(w *world) {
		lb := pair()
		lb.Rules[0].FloatingIP = true
		w.settled(lb)
		w.wantGet("by a rule with floating IP", 443, "timeout")
		if got := w.health(); got != "Up/Up_Probe_Success Down/Down_Probe_HttpStatusCodeError" {
			t.Errorf("health %s", got)
		}
	})
}

func TestAFrontendOnSomebodysAddressIsTold(t *testing.T) {
	inWorld(t, dataplane.Options{}, func(w *world) {
		lb := pair()
		lb.Frontends[0].Address = pc
		w.path.Apply(lb)
		got := w.take()
		if len(got) != 3 || got[0] != "ilb-edge cannot take connections on 10.0.0.50:443: attach host frontend-10.0.0.50: address 10.0.0.50 is taken by client" {
			t.Errorf("events %q", got)
		}
	})
}

func TestAvailabilityIsWhatTheProbesOfAMinuteSaid(t *testing.T) {
	inWorld(t, dataplane.Options{}, func(w *world) {
		start := time.Now().Truncate(time.Minute)
		w.path.Apply(pair())
		time.Sleep(time.Until(start.Add(2 * time.Minute)))
		lb := pair()
		lb.Pools[0].Backends[0].AdminState, lb.Pools[0].Backends[1].AdminState = dataplane.AdminDown, dataplane.AdminUp
		w.path.Apply(lb)
		time.Sleep(time.Minute)
		w.path.Apply(pair())
		w.path.VMStopped(lm2, true)
		time.Sleep(30 * time.Second)
		w.units[0].status.Store(503)
		time.Sleep(30 * time.Second)
		var got []string
		for _, a := range w.path.Availability(lbID, start, start.Add(4*time.Minute)) {
			word := "some"
			switch a.Percent {
			case 0:
				word = "0"
			case 100:
				word = "100"
			}
			got = append(got, a.Address.String()+" "+a.Minute.Sub(start).String()+" "+word)
		}
		want := []string{
			"10.0.0.4 0s 100", "10.0.0.4 1m0s 100", "10.0.0.4 2m0s 0", "10.0.0.4 3m0s some",
			"10.0.0.5 0s 0", "10.0.0.5 1m0s 0", "10.0.0.5 2m0s 100",
		}
		if !slices.Equal(got, want) {
			t.Errorf("got\n%q, want\n%q", got, want)
		}
		if n := len(w.path.Availability(lbID, start.Add(time.Minute), start.Add(2*time.Minute))); n != 2 {
			t.Errorf("one minute has %d values", n)
		}
		if got := w.path.Availability("nobody's", start, start.Add(time.Hour)); got != nil {
			t.Errorf("an unknown load balancer has %v", got)
		}
		time.Sleep(2 * time.Hour)
		if n := len(w.path.Availability(lbID, start, start.Add(3*time.Hour))); n > 61 {
			t.Errorf("after hours %d minutes of one backend are kept", n)
		}
	})
}
