package control_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"tandem/internal/control"
	"tandem/internal/pair"
)

// ranking notes how urgent each request is to whoever sends it.
type ranking struct {
	control.Platform
	control.Resources
	heard map[string]bool
}

func (r *ranking) note(ctx context.Context, what string) {
	r.heard[what+" as "+control.RankOf(ctx).String()] = true
}

func (r *ranking) LoadBalancer(ctx context.Context, d pair.Definition, lb pair.LoadBalancer, health bool) (pair.BalancerSeen, error) {
	r.note(ctx, "load balancer")
	return r.Platform.LoadBalancer(ctx, d, lb, health)
}

func (r *ranking) BeginAdminState(ctx context.Context, ch pair.AdminChange, last func(context.Context) error) (pair.Operation, error) {
	r.note(ctx, "admin state")
	return r.Platform.BeginAdminState(ctx, ch, func(ctx context.Context) error {
		r.note(ctx, "last look")
		return last(ctx)
	})
}

func (r *ranking) SetTag(ctx context.Context, lb pair.ResourceID, name, value string, last func(context.Context) error) (pair.Operation, error) {
	r.note(ctx, "tag")
	return r.Platform.SetTag(ctx, lb, name, value, last)
}

func (r *ranking) Power(ctx context.Context, vm pair.ResourceID) (pair.PowerSeen, error) {
	r.note(ctx, "power")
	return r.Platform.Power(ctx, vm)
}

func (r *ranking) Read(ctx context.Context, id pair.ResourceID) (json.RawMessage, string, error) {
	r.note(ctx, "document")
	return r.Resources.Read(ctx, id)
}

func (r *ranking) BeginWrite(ctx context.Context, id pair.ResourceID, doc []byte, etag string, last func(context.Context) error) (pair.Operation, error) {
	r.note(ctx, "write")
	return r.Resources.BeginWrite(ctx, id, doc, etag, last)
}

// TestHowUrgentARequestIs: only what can wait says so, and a fence, its release and
// what is read for them never do.
func TestHowUrgentARequestIs(t *testing.T) {
	tests := []struct {
		name string
		do   func(m *mender)
		want []string
	}{
		{"a look at a pair that is well", func(m *mender) { m.sweeps(5 * time.Minute) }, []string{"load balancer as look"}},
		{"a comparison and a repair", func(m *mender) { m.docs.drifted(); m.decided() }, []string{
			"document as repair", "load balancer as unknown", "write as repair",
		}},
		{"a plan that a person asks for", func(m *mender) {
			if _, _, err := m.Plan(m.w.t.Context(), m.w.load().Definition); err != nil {
				m.w.t.Fatal(err)
			}
		}, []string{"document as repair"}},
		{"a fence and its release", func(m *mender) {
			m.w.split()
			m.look(pair.CauseSweep)
			m.w.heal()
			m.sweeps(time.Minute)
		}, []string{"admin state as unknown", "last look as unknown", "load balancer as unknown", "tag as unknown"}},
		{"a unit that is silent", func(m *mender) {
			u := m.w.units.of[secondAddr] // nobody asks it just now
			u.check, u.state = pair.CheckSilent, pair.StateUnknown
			m.look(pair.CauseVM)
		}, []string{"power as unknown"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				m := newMender(t)
				r := &ranking{heard: map[string]bool{}}
				m.Controller = m.w.controller(&effects{}, func(o *control.Options) {
					r.Platform, r.Resources = &documentOperations{o.Platform, m.docs}, m.docs
					o.Platform, o.Resources, o.Brakes = r, r, m.brakes
				})
				m.look(pair.CauseSweep)
				clear(r.heard)
				tt.do(m)
				if got := slices.Sorted(maps.Keys(r.heard)); !slices.Equal(got, tt.want) {
					t.Errorf("heard %q, want %q", got, tt.want)
				}
			})
		})
	}
}

// TestWhatCanWaitKeepsNothingBackThatCannot: that there is no room for a comparison
// or for a look at a pair that is well says nothing against reading what a fence
// needs.
func TestWhatCanWaitKeepsNothingBackThatCannot(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		m := newMender(t)
		m.docs.onRead = func(pair.ResourceID) error { return &pair.Waiting{Err: pair.ErrThrottled, After: time.Hour} }
		m.look(pair.CauseResource)
		m.w.split()
		m.look(pair.CauseSweep)
		if got := m.w.platform.states(); len(got) != 1 {
			t.Errorf("admin states %v, want the fence; rows %v", got, m.w.rows())
		}
	})
}

// TestAComparisonThatFoundNoRoomIsMadeLater: one that an event asked for does not
// wait for its turn among the quiet pairs, and says whom the event named.
func TestAComparisonThatFoundNoRoomIsMadeLater(t *testing.T) {
	refusal := &pair.Waiting{Err: fmt.Errorf("spent: %w", pair.ErrThrottled), After: 40 * time.Second}
	inBubble(t, func(t *testing.T) {
		m := newMender(t)
		tries := 0
		m.docs.onRead = func(pair.ResourceID) error { tries++; return refusal }
		m.docs.drifted()
		m.look(pair.CauseResource)
		m.look(pair.CauseResource) // while it rests, another event asks for nothing
		m.sweeps(30 * time.Second)
		if tries != 1 || m.w.load().Record.Drift != nil {
			t.Errorf("%d tries within the rest, drift %+v", tries, m.w.load().Record.Drift)
		}
		m.docs.onRead = nil
		time.Sleep(15 * time.Second)
		if err := m.Pass(t.Context(), edge, pair.Cause{Kind: pair.CauseSweep}); err != nil {
			t.Fatal(err)
		}
		if d := m.w.load().Record.Drift; d == nil || d.By != "bob" {
			t.Errorf("drift %+v after the rest, want the one that bob made", d)
		}
		m.docs.reads = 0
		m.sweeps(30 * time.Second)
		if m.docs.reads != 0 {
			t.Errorf("compared %d times more within half a minute, and nothing asked for it", m.docs.reads)
		}
	})
}
