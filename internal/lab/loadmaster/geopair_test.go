package loadmaster_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/lab/loadmaster"
)

// clustersOf is the addresses of the clusters that a unit has: name=address.
func (l *lab) clustersOf(u *loadmaster.Unit) string {
	var all []string
	for i, name := range u.GEO().Clusters {
		all = append(all, name+"="+u.GEO().ClusterAddresses[i].String())
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func TestTheUnitsOfAPairBringEachOtherWhatIsGEOs(t *testing.T) {
	inGEO(t, loadmaster.Options{}, func(l *lab, alone *loadmaster.Unit) {
		if got := l.list(secondAddr); !strings.Contains(got, "www.example.com.") {
			t.Errorf("second has %s", got)
		}
		if got, want := l.clustersOf(l.second), "pair1=10.0.0.5 sa1=10.0.0.9"; got != want {
			t.Errorf("second has the clusters %s, want %s: the sender's own address is the receiver's there", got, want)
		}
		if got, want := l.clustersOf(alone), "pair1=10.0.0.4 sa1=10.0.0.9"; got != want {
			t.Errorf("sa1 has the clusters %s, want %s", got, want)
		}
		l.ok(firstAddr, "set?param=geoclients&value=10.0.0.4")
		l.pass(10 * time.Second)
		if got := l.second.GEO().Access; len(got) != 1 || got[0] != firstAddr {
			t.Errorf("second lets in %v", got)
		}
		l.ok(secondAddr, "addfqdn?fqdn=new.example.com") // who changes something last has it, also a standby
		l.pass(10 * time.Second)
		if got := l.list(firstAddr); !strings.Contains(got, "new.example.com.") {
			t.Errorf("first has %s", got)
		}
	})
}

func TestWithoutTheSyncPortAUnitKeepsWhatItHas(t *testing.T) {
	inGEO(t, loadmaster.Options{}, func(l *lab, _ *loadmaster.Unit) {
		l.net.Block(firstAddr, secondAddr, 6973)
		l.ok(firstAddr, "addfqdn?fqdn=new.example.com")
		l.pass(15 * time.Second)
		if got := l.list(secondAddr); strings.Contains(got, "new.example.com.") {
			t.Errorf("second has %s", got)
		}
	})
}

func TestAPairsClusterFollowsItsActiveUnitOnceThePartnersAreSubmitted(t *testing.T) {
	for _, tt := range []struct {
		name         string
		option       loadmaster.PairCluster
		second, sa1s string // address of the pair's cluster, as second and sa1 have it in the end
		sites        string // what sa1 answers
	}{
		{"by itself", loadmaster.PairClusterFollows, "10.0.0.5", "10.0.0.5", "192.0.2.1 192.0.2.2"},
		{"or not", loadmaster.PairClusterStays, "10.0.0.5", "10.0.0.4", "192.0.2.2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inGEO(t, loadmaster.Options{PairCluster: tt.option}, func(l *lab, alone *loadmaster.Unit) {
				l.first.PowerOff()
				l.pass(30 * time.Second)
				if got := l.sites(aloneAddr, www); got != "192.0.2.2" {
					t.Errorf("before the partners are submitted sa1 answers %q", got)
				}
				l.ok(secondAddr, "set?param=geopartners&value=10.0.0.9")
				l.pass(15 * time.Second)
				if got := l.sites(aloneAddr, www); got != tt.sites {
					t.Errorf("sa1 answers %q, want %q", got, tt.sites)
				}
				if got := l.clustersOf(l.second); got != "pair1="+tt.second+" sa1=10.0.0.9" {
					t.Errorf("second has %s", got)
				}
				if got := l.clustersOf(alone); got != "pair1="+tt.sa1s+" sa1=10.0.0.9" {
					t.Errorf("sa1 has %s", got)
				}
				if got := l.sites(secondAddr, www); got != "192.0.2.1 192.0.2.2" {
					t.Errorf("second, which may ask itself by the pair's own entry, answers %q", got)
				}
			})
		})
	}
}
