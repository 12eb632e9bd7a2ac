package loadmaster

import (
	"slices"
	"testing"

	"tandem/internal/pair"
)

// FuzzGEOAnswers reads whatever a unit says of GEO: it ends, within its bounds, and with
// addresses only.
func FuzzGEOAnswers(f *testing.F) {
	for _, name := range []string{"v1-listclusters.xml", "v1-getgeopartnerstatus.xml", "v1-getgeopartnerstatus-empty.xml", "v1-error-no-geo-data.xml"} {
		f.Add(fixture(f, name))
	}
	f.Add([]byte(`{"code":200,"cluster":[{"IPAddress":"::ffff:10.0.0.4","Name":"a","Type":0},{"IPAddress":"10.0.0.5%eth0"}],"geoclients":"10.0.0.4, 10.0.0.5"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		a, err := decode(200, body)
		if err != nil {
			return
		}
		keep := func(text string) string { return text }
		clusters, err := clustersIn(a.data, keep)
		if len(clusters) > mostGEO || err != nil && clusters != nil {
			t.Errorf("%d clusters, %v", len(clusters), err)
		}
		if slices.ContainsFunc(clusters, func(c pair.GEOCluster) bool { return !c.Address.IsValid() }) {
			t.Errorf("a cluster without an address in %v", clusters)
		}
		partners := partnersIn(a.data, keep)
		if len(partners) > mostGEO || slices.ContainsFunc(partners, func(p pair.GEOPartner) bool { return !p.Address.IsValid() }) {
			t.Errorf("partners %v", partners)
		}
		text, _ := a.data.value(geoAccess)
		if list, err := addressesIn(text); err == nil {
			if again, err := addressesIn(setAddresses(geoAccess, list).args[1].value); err != nil || !slices.Equal(again, list) {
				t.Errorf("%v is written and read as %v, %v", list, again, err)
			}
		}
	})
}

// TestTheVendorsExamplesOfGEO are read as they stand.
func TestTheVendorsExamplesOfGEO(t *testing.T) {
	data := func(name string) element {
		a, err := decode(200, fixture(t, name))
		if err != nil {
			t.Fatal(err)
		}
		return a.data
	}
	keep := func(text string) string { return text }
	clusters, err := clustersIn(data("v1-listclusters.xml"), keep)
	if err != nil || len(clusters) != 1 || clusters[0].Name != "RemoteLM" || clusters[0].Address.String() != "172.24.1.5" || clusters[0].Half {
		t.Errorf("clusters %+v, %v", clusters, err)
	}
	if got := partnersIn(data("v1-getgeopartnerstatus.xml"), keep); len(got) != 1 || got[0].Address.String() != "172.24.1.7" || got[0].Status != "Unknown" {
		t.Errorf("partners %+v", got)
	}
	if got := partnersIn(data("v1-getgeopartnerstatus-empty.xml"), keep); len(got) > 0 {
		t.Errorf("without partners: %+v", got)
	}
}
