package arm

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tandem/internal/pair"
)

const (
	vmsPath   = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-lm/providers/Microsoft.Compute/virtualMachines/"
	sixPool   = lbPath + "/backendAddressPools/six"
	sixHealth = lbPath + "/loadBalancingRules/check6/health"
)

// twoFamilies is a platform whose units have an IPv4 and an IPv6 address on one
// interface, and whose load balancer has a pool of each family. A third machine is
// in the second pool as well, and is none of the pair's.
func twoFamilies(t *testing.T, byAddress bool) *platform {
	t.Helper()
	p := &platform{t: t, routes: map[string][]reply{}}
	for n, four := range []string{"10.0.2.4", "10.0.2.5", "10.0.2.6"} {
		nic := fmt.Sprintf("%slm-%d-nic", nicsPath, n+1)
		p.on("GET", nic, reply{body: fmt.Sprintf(`{"id":%q,"properties":{"ipConfigurations":[
			{"name":"ipconfig1","properties":{"privateIPAddress":%q}},
			{"name":"ipconfig6","properties":{"privateIPAddress":"fd00::%d","privateIPAddressVersion":"IPv6"}}]}}`, nic, four, n+4)})
		p.on("GET", fmt.Sprintf("%slm%d", vmsPath, n+1), reply{body: fmt.Sprintf(`{"properties":{"networkProfile":{"networkInterfaces":[
			{"id":"%sgone-nic"},{"id":%q}]}}}`, nicsPath, nic)})
	}
	p.on("GET", nicsPath+"gone-nic", reply{status: 404, body: file(t, "arm-error-404-notfound.json")})
	p.on("GET", lbPath, reply{body: `{"properties":{
		"probes":[{"id":"` + lbPath + `/probes/p","name":"p","properties":{"port":8444}}],
		"loadBalancingRules":[{"name":"check6","properties":{"backendPort":8444,"probe":{"id":"` + lbPath + `/probes/p"},"backendAddressPool":{"id":"` + sixPool + `"}}}],
		"backendAddressPools":[` + poolOf(4, byAddress) + `,` + poolOf(6, byAddress) + `]}}`})
	p.on("GET", sixPool, reply{body: poolOf(6, byAddress)})
	p.on("PUT", sixPool, taken(home))
	return p
}

// poolOf is the pool of a family, with its members by interface or by address.
func poolOf(family int, byAddress bool) string {
	name, config := "loadmasters", "ipconfig1"
	if family == 6 {
		name, config = "six", "ipconfig6"
	}
	var members []string
	for n := range 3 {
		at := fmt.Sprintf("10.0.2.%d", n+4)
		if family == 6 {
			at = fmt.Sprintf("fd00::%d", n+4)
		}
		place := `"networkInterfaceIPConfiguration":{"id":"` + fmt.Sprintf("%slm-%d-nic", nicsPath, n+1) + `/ipConfigurations/` + config + `"}`
		if byAddress {
			place = `"ipAddress":"` + at + `"`
		}
		members = append(members, fmt.Sprintf(`{"name":"m%d","properties":{"adminState":"None",%s}}`, n+1, place))
	}
	return `{"name":"` + name + `","etag":` + fmt.Sprintf("%q", poolETag) + `,"properties":{"loadBalancerBackendAddresses":[` + strings.Join(members, ",") + `]}}`
}

// twice is the pair with a pool of each family.
func twice() pair.Definition {
	d := definition()
	d.LoadBalancers[0].Pools = []string{"loadmasters", "six"}
	return d
}

// TestAUnitIsInThePoolsOfBothFamilies: the pair file calls a unit by one address, and
// a pool of the other family holds another one of the same interface (azure.md 1.3).
func TestAUnitIsInThePoolsOfBothFamilies(t *testing.T) {
	for name, byAddress := range map[string]bool{"by interface": false, "by address": true} {
		t.Run(name, func(t *testing.T) {
			p := twoFamilies(t, byAddress)
			c := p.client(Options{})
			members := []pair.MemberSeen{{Name: "m1", Address: first, Admin: pair.AdminNone}, {Name: "m2", Address: second, Admin: pair.AdminNone}}
			want := []pair.PoolSeen{{Name: "loadmasters", ETag: poolETag, Members: members}, {Name: "six", ETag: poolETag, Members: members}}
			for _, again := range []bool{false, true} {
				sent := len(p.seen(""))
				seen, err := c.LoadBalancer(t.Context(), twice(), twice().LoadBalancers[0], false)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, seen.Pools, equal); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
				if n := len(p.seen("")) - sent; again && n != 1 {
					t.Errorf("%d requests, want one: whose the addresses are is remembered", n)
				}
			}
		})
	}
}

func TestAnAdminStateIsWrittenInAPoolOfTheOtherFamily(t *testing.T) {
	for name, byAddress := range map[string]bool{"by interface": false, "by address": true} {
		t.Run(name, func(t *testing.T) {
			p := twoFamilies(t, byAddress)
			ch := fence()
			ch.Pool, ch.VM, ch.Address = "six", definition().VMID(pair.Second), second
			op, err := p.client(Options{}).BeginAdminState(t.Context(), ch, allowed)
			if err != nil || op.Token == "" {
				t.Fatalf("got %+v, %v", op, err)
			}
			was := poolOf(6, byAddress)
			at := strings.Index(was, `"m2"`)
			want := was[:at] + strings.Replace(was[at:], `"None"`, `"Down"`, 1)
			if puts := p.seen("PUT"); len(puts) != 1 || puts[0].body != want {
				t.Errorf("wrote %+v, want %s", puts, want)
			}
		})
	}
}

func TestRuleHealthOfTheOtherFamilyIsTheUnits(t *testing.T) {
	p := twoFamilies(t, false)
	p.on("POST", sixHealth, reply{body: `{"loadBalancerBackendAddresses":[
		{"ipAddress":"fd00::4","networkInterfaceIPConfigurationId":"` + nicsPath + `lm-1-nic/ipConfigurations/ipconfig6","state":"Up","reason":"Up_Probe_Success"},
		{"ipAddress":"fd00::6","networkInterfaceIPConfigurationId":"` + nicsPath + `lm-3-nic/ipConfigurations/ipconfig6","state":"Up","reason":"Up_Probe_Success"}]}`})
	seen, err := p.client(Options{}).LoadBalancer(t.Context(), twice(), pair.LoadBalancer{Name: "lb-lm", Pools: []string{"six"}}, true)
	if err != nil {
		t.Fatal(err)
	}
	want := []pair.HealthSeen{{Rule: "check6", Address: first, Up: true, Reason: "Up_Probe_Success"}}
	if diff := cmp.Diff(want, seen.Health, equal); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestAnAddressOfTheOtherFamilyIsAUnitsOnlyByItsInterface looks at members that only
// seem to be a unit's.
func TestAnAddressOfTheOtherFamilyIsAUnitsOnlyByItsInterface(t *testing.T) {
	tests := []struct {
		name  string
		on    func(p *platform)
		units [2]string // as the pair file calls them
		want  int       // members in the pool
	}{
		{"a pair that is called by IPv6 is in its pool of IPv4 as well", func(*platform) {}, [2]string{"fd00::4", "fd00::5"}, 2},
		{"an interface without the unit's address is not the unit's", func(*platform) {}, [2]string{"10.0.2.44", "10.0.2.5"}, 1},
		{"nor is one that is gone", func(p *platform) {
			p.on("GET", nicsPath+"lm-1-nic", reply{status: 404, body: file(p.t, "arm-error-404-notfound.json")})
		}, [2]string{"10.0.2.4", "10.0.2.5"}, 1},
	}
	for _, tt := range tests {
		for name, byAddress := range map[string]bool{"by interface": false, "by address": true} {
			t.Run(tt.name+", "+name, func(t *testing.T) {
				p := twoFamilies(t, byAddress)
				tt.on(p)
				d := twice()
				d.Units.First.Address, d.Units.Second.Address = netip.MustParseAddr(tt.units[0]), netip.MustParseAddr(tt.units[1])
				seen, err := p.client(Options{}).LoadBalancer(t.Context(), d, d.LoadBalancers[0], false)
				if err != nil {
					t.Fatal(err)
				}
				other := 1 // the pool of the other family than the pair file's
				if d.Units.First.Address.Is6() {
					other = 0
				}
				if got := seen.Pools[other].Members; len(got) != tt.want {
					t.Errorf("the pool %s has the units %+v, want %d", seen.Pools[other].Name, got, tt.want)
				}
			})
		}
	}
}

// TestWhoseAnAddressIsMustBeKnown: where it cannot be read whether a member is a
// unit, the load balancer counts as not read, so that nothing is set in one pool and
// not in the other.
func TestWhoseAnAddressIsMustBeKnown(t *testing.T) {
	for _, path := range []string{vmsPath + "lm1", nicsPath + "lm-1-nic"} {
		for status, want := range map[int]error{403: pair.ErrRefused, 429: pair.ErrThrottled} {
			p := twoFamilies(t, true)
			p.on("GET", path, reply{status: status})
			_, err := p.client(Options{}).LoadBalancer(t.Context(), twice(), twice().LoadBalancers[0], false)
			checkKind(t, err, want)
			ch := fence()
			ch.Pool, ch.VM = "six", definition().VMID(pair.First)
			_, err = p.client(Options{}).BeginAdminState(t.Context(), ch, allowed)
			checkKind(t, err, want)
			if n := len(p.seen("PUT")); n != 0 {
				t.Errorf("%s answers %d: %d writes", path, status, n)
			}
		}
	}
}

// TestAPoolOfOneFamilyCostsNothingMore: who has no other family reads no VM.
func TestAPoolOfOneFamilyCostsNothingMore(t *testing.T) {
	p := newPlatform(t)
	p.on("GET", lbPath, reply{body: file(t, "loadbalancer.json")})
	if _, err := p.client(Options{}).LoadBalancer(t.Context(), definition(), balancer(), false); err != nil {
		t.Fatal(err)
	}
	for _, r := range p.seen("") {
		if strings.Contains(r.path, "virtualMachines") {
			t.Errorf("read %s", r.path)
		}
	}
}
