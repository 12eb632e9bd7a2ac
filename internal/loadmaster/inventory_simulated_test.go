package loadmaster_test

import (
	"errors"
	"testing"
	"time"

	lab "tandem/internal/lab/loadmaster"
	"tandem/internal/pair"
)

// TestSimulatedInventoryTellsABlankUnit follows a unit from the day on which it is
// built anew, in both dialects: what it has tells how far a person has come.
func TestSimulatedInventoryTellsABlankUnit(t *testing.T) {
	for name, opts := range map[string]lab.Options{"v2": {}, "text in JSON": {V2Values: lab.V2Strings}} {
		t.Run(name, func(t *testing.T) {
			withSimulated(t, opts, func(t *testing.T, s *simulated) {
				s.secrets.set(withKey)
				tells := func(when string, want pair.InventorySeen) {
					t.Helper()
					got, err := s.client.Inventory(t.Context(), s.defs[1])
					if err != nil || got != want {
						t.Errorf("%s: got %+v, %v; want %+v", when, got, err, want)
					}
				}
				tells("as it was", pair.InventorySeen{Licensed: true})
				s.second.Replace()
				s.defs[1].API.TLS.SHA256 = s.second.CertificateSHA256()
				s.second.PowerOn()
				time.Sleep(time.Minute)
				tells("blank", pair.InventorySeen{})
				s.second.License(secretKey, "")
				tells("licensed", pair.InventorySeen{Licensed: true})
				s.second.PowerOff()
				if _, err := s.client.Inventory(t.Context(), s.defs[1]); !errors.Is(err, pair.ErrUnreachable) {
					t.Errorf("without power: %v", err)
				}
			})
		})
	}
}
