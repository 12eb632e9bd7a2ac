package loadmaster_test

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	lab "tandem/internal/lab/loadmaster"
	"tandem/internal/pair"
)

func addrs(all ...string) []netip.Addr {
	out := make([]netip.Addr, len(all))
	for i, a := range all {
		out[i] = netip.MustParseAddr(a)
	}
	return out
}

// TestSimulatedGEOIsWrittenAndReadBack brings lists and clusters about on one unit, in
// both dialects and whatever a unit without clusters says.
func TestSimulatedGEOIsWrittenAndReadBack(t *testing.T) {
	for name, opts := range map[string]lab.Options{
		"v2": {}, "text in JSON": {V2Values: lab.V2Strings}, "v1": {V2NeedsSessionManagement: true}, "none is an error": {EmptyGEO: lab.EmptyGEOIsAnError},
	} {
		t.Run(name, func(t *testing.T) {
			withSimulated(t, opts, func(t *testing.T, s *simulated) {
				if opts.V2NeedsSessionManagement {
					s.secrets.set(withPassword)
				}
				u := s.defs[0]
				seen, err := s.client.GEO(t.Context(), u)
				if err != nil || len(seen.Access)+len(seen.Partners)+len(seen.Clusters)+len(seen.Status) > 0 || seen.BootedAt.IsZero() {
					t.Fatalf("a unit without GEO: got %+v, %v", seen, err)
				}
				access, partners := addrs("10.0.0.4", "10.0.0.9"), addrs("10.0.0.9")
				here, there := pair.GEOCluster{Name: "pair1", Address: u.Address}, pair.GEOCluster{Name: "sa1", Address: partners[0]}
				write := pair.GEOWrite{Lists: true, Access: access, Partners: partners, Submit: true, Create: []pair.GEOCluster{here, there}}
				for range 2 { // once more changes nothing
					seen, err = s.client.SetGEO(t.Context(), u, write)
					if err != nil || !seen.Holds(access, partners) || !slices.Equal(seen.Clusters, write.Create) {
						t.Fatalf("got %+v, %v", seen, err)
					}
					time.Sleep(5 * time.Second)
				}
				if len(seen.Status) != 1 || seen.Status[0].Address != partners[0] || seen.Status[0].Status == "" {
					t.Errorf("partners are %+v", seen.Status)
				}
				seen, err = s.client.SetGEO(t.Context(), u, pair.GEOWrite{Lists: true, Delete: addrs("10.0.0.9", "10.9.9.9")})
				if err != nil || len(seen.Access)+len(seen.Partners) > 0 || !slices.Equal(seen.Clusters, []pair.GEOCluster{here}) {
					t.Errorf("emptied: got %+v, %v", seen, err)
				}
			})
		})
	}
}

// TestAHalfMadeClusterIsCompleted: a worker may die between the two writes of one.
func TestAHalfMadeClusterIsCompleted(t *testing.T) {
	answers := map[string]string{
		"get boottime": `{"boottime":"1637849309"}`, "get geoclients": `{"geoclients":"10.0.0.4 10.0.0.9"}`, "get geopartners": `{"geopartners":"10.0.0.9"}`,
		"getgeopartnerstatus": `{"GeoPartners":{"Partner":{"Ip":"10.0.0.9","PartnerStatus":"Up"}}}`,
		"modcluster":          `{}`,
	}
	half := true
	w := newWorld(t, func(c call) reply {
		if c.cmd == "modcluster" {
			half = false
		}
		if c.cmd == "listclusters" {
			kind := map[bool]string{true: "default", false: "remoteLM"}[half]
			return ok(`{"code":200,"status":"ok","cluster":{"Name":"sa1","IPAddress":"10.0.0.9","Type":"` + kind + `"}}`)
		}
		return ok(answers[c.cmd])
	})
	got, err := w.client.SetGEO(t.Context(), w.pair, pair.GEOWrite{Create: []pair.GEOCluster{{Name: "sa1", Address: addrs("10.0.0.9")[0]}}})
	if err != nil || got.Clusters[0].Half || got.Status[0] != (pair.GEOPartner{Address: addrs("10.0.0.9")[0], Status: "Up"}) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// TestWhatIsNoAddressIsNotLost: a list that is not understood is not written over.
func TestWhatIsNoAddressIsNotLost(t *testing.T) {
	w := newWorld(t, func(c call) reply {
		return ok(map[string]string{"get boottime": `{"boottime":"1637849309"}`, "get geoclients": `{"geoclients":"10.0.0.4,geo.example.com"}`}[c.cmd])
	})
	if _, err := w.client.SetGEO(t.Context(), w.pair, pair.GEOWrite{Lists: true}); !errors.Is(err, pair.ErrUnreadable) {
		t.Errorf("got %v", err)
	}
}
