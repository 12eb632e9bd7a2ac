package balancer_test

import (
	"net/netip"
	"testing"

	"tandem/internal/balancer"
)

// A function app that lost its setting must not shut itself out, and one that has
// moved must not leave a door open where it was.
func TestTheRulesForTandemStayWhileNobodySaysWhereItIs(t *testing.T) {
	d := define(t)
	w := newScene().world(t)
	carryOut(t, planned(t, d, w, tandem), w)

	if got := changes(planned(t, d, w, balancer.Surroundings{})); len(got) != 0 {
		t.Errorf("without TANDEM_SUBNETS these are changed: %q", got)
	}
	moved := balancer.Surroundings{From: []netip.Prefix{prefix("10.0.77.0/26")}}
	if got := changes(planned(t, d, w, moved)); len(got) != 2 {
		t.Errorf("after a move these are changed: %q, expected the rules for check port and API", got)
	}
}
