package control_test

import (
	"context"
	"errors"
	"net/netip"
	"regexp"
	"slices"
	"testing"
	"time"

	"tandem/internal/control"
	"tandem/internal/pair"
)

// geoUnits are the units of one pair as far as GEO sees them.
type geoUnits struct {
	wrote []string
	err   error
	moved []string // pairs of which topologies were told
	// others are the units of the other members.
	others []netip.Addr
}

func (g *geoUnits) GEO(context.Context, pair.Unit) (pair.GEOSeen, error) {
	return pair.GEOSeen{}, g.err
}

func (g *geoUnits) SetGEO(_ context.Context, u pair.Unit, _ pair.GEOWrite) (pair.GEOSeen, error) {
	g.wrote = append(g.wrote, u.VM)
	return pair.GEOSeen{}, g.err
}

func (g *geoUnits) PairMoved(_ context.Context, name string) { g.moved = append(g.moved, name) }

func (g *geoUnits) Others(context.Context, string) ([]netip.Addr, error) { return g.others, g.err }

// TestTheSecurityGroupLetsTheOtherMembersIn: what a pair must let in depends on its
// topology, and a topology that cannot be read is not one without members.
func TestTheSecurityGroupLetsTheOtherMembersIn(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		m := newMender(t, func(d *pair.Definition) { d.SecurityGroup.Name = "nsg-edge" })
		g := &geoUnits{others: []netip.Addr{netip.MustParseAddr("172.24.1.7")}}
		m.Topologies = g
		plan, refusals, err := m.Plan(t.Context(), m.w.load().Definition)
		if err != nil || len(refusals) > 0 {
			t.Fatal(refusals, err)
		}
		var writes string
		for _, s := range plan.Steps {
			for _, c := range s.Changes {
				writes += c.Path + " " + string(c.To) + "\n"
			}
		}
		for rule, port := range map[string]string{"geo-tunnel": "22", "geo-dns-tcp": "53", "geo-dns-udp": "53"} {
			if !regexp.MustCompile(`(?m)--` + rule + `\].*"sourceAddressPrefix":"172\.24\.1\.7".*"destinationPortRange":"` + port + `"`).MatchString(writes) {
				t.Errorf("no rule %s for port %s in\n%s", rule, port, writes)
			}
		}
		g.err = pair.ErrUnreachable
		if _, _, err := m.Plan(t.Context(), m.w.load().Definition); !errors.Is(err, pair.ErrUnreachable) {
			t.Errorf("without the topology: %v", err)
		}
	})
}

// TestGEOIsWrittenOnTheUnitThatServesAlone: the job wants it in every row; whether it is
// done is the guard's word, and that it was submitted is remembered with it.
func TestGEOIsWrittenOnTheUnitThatServesAlone(t *testing.T) {
	tests := []struct {
		name   string
		unit   pair.Role
		before func(*world)
		err    error
		wrote  []string
		kept   pair.Role
	}{
		{"first serves", pair.First, func(*world) {}, nil, []string{"lm1"}, pair.First},
		{"another unit than the one that serves is not told anything", pair.Second, func(*world) {}, nil, nil, pair.RoleUnknown},
		{"while both serve, neither is", pair.First, (*world).split, nil, nil, pair.RoleUnknown},
		{"what nobody knows the end of is not submitted", pair.First, func(*world) {}, pair.ErrUnknownOutcome, []string{"lm1"}, pair.RoleUnknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t, believing)
				w.passes(1)
				atWork(w)
				w.amend(func(rec *pair.Record) {
					rec.Job = rec.Job.Clone()
					rec.Job.Kind, rec.Job.GEO = "geo", &pair.GEOWish{Topology: "global"}
				})
				g := &geoUnits{err: tt.err}
				wants := pair.Intent{Kind: pair.IntentGEO, Unit: tt.unit, GEO: &pair.GEOWrite{Lists: true, Submit: true, Access: []netip.Addr{firstAddr}}}
				late := &lateScript{script{wants: []pair.Intent{wants}}, func() { tt.before(w) }}
				c := w.controller(&effects{}, func(o *control.Options) { o.Jobs, o.GEO = late, g })
				_ = c.Pass(t.Context(), edge, pair.Cause{Kind: pair.CauseSweep}) // one that lost the pair says so
				if !slices.Equal(g.wrote, tt.wrote) {
					t.Errorf("wrote on %v, want %v", g.wrote, tt.wrote)
				}
				if got := w.load().Record.Job.GEO.Submitted; got.Unit != tt.kept {
					t.Errorf("submitted on %s, want %s", got.Unit, tt.kept)
				}
			})
		})
	}
}

// lateScript is a job beside which something happens after it said what it wants.
type lateScript struct {
	script
	then func()
}

func (s *lateScript) Propose(in *pair.Input) *pair.Proposal {
	p := s.script.Propose(in)
	if s.then != nil {
		s.then()
		s.then = nil
	}
	return p
}

// TestTopologiesHearThatAnotherUnitServes, once for each time, and not when the pair is
// seen for the first time.
func TestTopologiesHearThatAnotherUnitServes(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, believing)
		g := &geoUnits{}
		c := w.controller(&effects{}, func(o *control.Options) { o.Topologies = g })
		pass := func() {
			t.Helper()
			if err := c.Pass(t.Context(), edge, pair.Cause{Kind: pair.CauseSweep}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Second)
		}
		pass()
		pass()
		if len(g.moved) > 0 {
			t.Errorf("told of %v, and nothing moved", g.moved)
		}
		w.units.set(pair.First, pair.Standby)
		w.units.set(pair.Second, pair.Active)
		pass()
		pass()
		if want := []string{edge}; !slices.Equal(g.moved, want) {
			t.Errorf("told of %v, want %v", g.moved, want)
		}
	})
}
