package loadmaster_test

import (
	"strings"
	"testing"
	"time"
)

// TestWhatWasKeptOfAReplacedUnitIsRestored: its services, and with base its place in
// the pair too, as the real restore does. Nobody restores an unlicensed unit.
func TestWhatWasKeptOfAReplacedUnitIsRestored(t *testing.T) {
	for _, base := range []bool{false, true} {
		inLab(t, nil, func(t *testing.T, l *lab) {
			l.running()
			l.first.Replace()
			l.first.PowerOn()
			l.pass(time.Minute)
			if err := l.first.RestoreKept(base); err == nil || !strings.Contains(err.Error(), "unlicensed") {
				t.Errorf("before it is licensed: %v", err)
			}
			l.first.License("", "the-password")
			if l.serves(firstAddr) {
				t.Error("it has services before they are restored")
			}
			if err := l.first.RestoreKept(base); err != nil {
				t.Fatal(err)
			}
			if !l.serves(firstAddr) {
				t.Error("it has no services")
			}
			_, ha := l.v1Of(firstAddr, "getazurehaparams")
			if single := strings.Contains(ha, "single"); single == base {
				t.Errorf("base %t: its HA settings are %s", base, ha)
			}
		})
	}
}
