package control_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tandem/internal/control"
	"tandem/internal/pair"
)

// TestNoPreferenceIsWrittenWithCredentialsThatRest: the rest is for every login,
// not only for those of a look.
func TestNoPreferenceIsWrittenWithCredentialsThatRest(t *testing.T) {
	tests := []struct {
		name  string
		rests pair.Role
		want  pair.Preference
	}{
		{"those of the unit rest", pair.Second, pair.PreferNone},
		{"those of its partner rest", pair.First, pair.PreferFirst},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t, believing)
				w.passes(1)
				w.prefers(pair.Second, pair.PreferNone)
				snap := w.load()
				rec := snap.Record
				rec.Epoch++
				rec.Units[tt.rests.Index()].Refusal = &pair.Refusal{Until: time.Now().Add(time.Hour), Rest: pair.Duration(time.Hour)}
				i := pair.Intent{
					ID: pair.ID(edge, rec.Epoch, 2), Epoch: rec.Epoch, Kind: pair.IntentPrefer, State: pair.IntentOpen,
					Unit: pair.Second, Prefer: pair.PreferFirst, By: pair.OwnerTandem,
				}
				if _, err := w.store.Commit(t.Context(), snap, pair.Change{Record: rec, PutIntents: []pair.Intent{i}}); err != nil {
					t.Fatal(err)
				}
				w.passes(1)
				if got := w.units.of[secondAddr].preferred; got != tt.want {
					t.Errorf("second prefers %v, want %v", got, tt.want)
				}
				if why := w.ended(i.ID).LastErr; strings.Contains(why, "credentials, which rest") != (tt.want == pair.PreferNone) {
					t.Errorf("the intent ended because %q", why)
				}
			})
		})
	}
}

// TestCredentialsThatWereRefusedAreTriedWithOneLogin: whoever tries them may be
// another process than the one that was refused, and know nothing of the unit.
func TestCredentialsThatWereRefusedAreTriedWithOneLogin(t *testing.T) {
	rests := func(left time.Duration) func() *pair.Refusal {
		return func() *pair.Refusal {
			return &pair.Refusal{Until: time.Now().Add(left), Rest: pair.Duration(time.Hour)}
		}
	}
	tests := []struct {
		name        string
		refused     func() *pair.Refusal
		asked, once bool
	}{
		{"without a refusal they are tried in either API", func() *pair.Refusal { return nil }, true, false},
		{"while they rest nothing is tried", rests(time.Hour), false, false},
		{"afterwards they are tried with one login", rests(-time.Second), true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t, believing)
				w.amend(func(rec *pair.Record) { rec.Units[0].Refusal, rec.Units[1].Refusal = tt.refused(), tt.refused() })
				var asked atomic.Int32
				w.units.onReport = func(ctx context.Context) {
					asked.Add(1)
					if once := control.OneLogin(ctx); once != tt.once {
						t.Errorf("asked with one login: %v, want %v", once, tt.once)
					}
				}
				w.passes(1)
				if n := asked.Load(); (n > 0) != tt.asked {
					t.Errorf("asked %d times, want any: %v", n, tt.asked)
				}
			})
		})
	}
}

// rejecting are units that refuse our credentials; meanwhile is called while second
// does so.
type rejecting struct {
	*units
	logins    *atomic.Int32
	meanwhile func()
}

func (r rejecting) Report(_ context.Context, u pair.Unit) (pair.Report, error) {
	if u.Address == secondAddr {
		r.logins.Add(1)
		r.meanwhile()
		return pair.Report{}, &pair.Waiting{Err: pair.ErrRefused, After: 2 * time.Minute}
	}
	return r.units.Report(context.Background(), u)
}

// TestTwoWorkersThatAreRefusedInOneMomentAreTwoFailedLogins: the second one finds the
// rest stored by the first one. Without its own login counted, the try after two
// minutes would be the third, which locks the account.
func TestTwoWorkersThatAreRefusedInOneMomentAreTwoFailedLogins(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, believing)
		w.passes(1)
		var logins atomic.Int32
		worker := func(name string, meanwhile func()) *control.Controller {
			return w.controller(&effects{}, func(o *control.Options) {
				o.Units, o.Worker = rejecting{w.units, &logins, meanwhile}, name
			})
		}
		look := func(c *control.Controller) {
			if err := c.Pass(t.Context(), edge, pair.Cause{Kind: pair.CauseSweep}); err != nil {
				t.Fatal(err)
			}
		}
		first := worker("first", func() {})
		second := worker("second", func() {
			if logins.Load() == 1 {
				look(first) // it is faster, and the second one finds the pair changed
			}
		})
		look(second)
		for range 10 {
			look(second)
			look(first)
			time.Sleep(5 * time.Minute)
		}
		if r := w.load().Record.Units[1].Refusal; r == nil || time.Duration(r.Rest) != time.Hour || logins.Load() != 2 {
			t.Errorf("after %d logins the credentials rest as %+v, want an hour after two", logins.Load(), r)
		}
	})
}

// ended is the intent as the journal has its end.
func (w *world) ended(id string) pair.Intent {
	w.t.Helper()
	for _, e := range w.journal() {
		var i pair.Intent
		if e.Kind == pair.EntryClosed && json.Unmarshal(e.Body, &i) == nil && i.ID == id {
			return i
		}
	}
	w.t.Fatalf("intent %s has not ended", id)
	return pair.Intent{}
}
