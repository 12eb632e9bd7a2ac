package loadmaster_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	lab "tandem/internal/lab/loadmaster"
	"tandem/internal/pair"
)

// preferring is a healthy unit whose HA parameters a test changes; what is
// empty is not told.
func preferring(edit map[string]string) *healthy {
	h := newHealthy()
	maps.Copy(h.params, edit)
	maps.DeleteFunc(h.params, func(_, v string) bool { return v == "" })
	return h
}

func writes(w *world) []call {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []call
	for _, c := range w.calls {
		if c.cmd == "azurehaparam" {
			list = append(list, c)
		}
	}
	return list
}

func TestPreferKeepsEverythingElse(t *testing.T) {
	tests := []struct {
		name string
		has  map[string]string
		want pair.Preference
		sent map[string]string
	}{
		{"no preference", nil, pair.PreferNone, map[string]string{"partner": "10.0.0.5", "hcp": "8444", "haprefered": "0", "hcai": "0"}},
		{"first again", map[string]string{"HaPrefered": "0"}, pair.PreferFirst, map[string]string{"partner": "10.0.0.5", "hcp": "8444", "haprefered": "1", "hcai": "0"}},
		{"another check port on all interfaces", map[string]string{"Port": "9000", "HealthCheckAllInterfaces": "1"}, pair.PreferNone, map[string]string{"partner": "10.0.0.5", "hcp": "9000", "haprefered": "0", "hcai": "1"}},
		{"a partner by name", map[string]string{"Partner": "lm2.example.test"}, pair.PreferNone, map[string]string{"partner": "lm2.example.test", "hcp": "8444", "haprefered": "0", "hcai": "0"}},
		{"interfaces that are not told are one", map[string]string{"HealthCheckAllInterfaces": ""}, pair.PreferNone, map[string]string{"partner": "10.0.0.5", "hcp": "8444", "haprefered": "0", "hcai": "0"}},
		{"a preference that is not told is set", map[string]string{"HaPrefered": ""}, pair.PreferFirst, map[string]string{"partner": "10.0.0.5", "hcp": "8444", "haprefered": "1", "hcai": "0"}},
		{"the old words of the roles", map[string]string{"HaMode": "master"}, pair.PreferNone, map[string]string{"partner": "10.0.0.5", "hcp": "8444", "haprefered": "0", "hcai": "0"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, preferring(tt.has).answer, func(t *testing.T, w *world) {
				before, err := w.client.HAParameters(t.Context(), w.pair)
				if err != nil {
					t.Fatal(err)
				}
				got, err := w.client.Prefer(t.Context(), w.pair, tt.want)
				if err != nil || got.State != pair.Active || got.Firmware == "" {
					t.Fatalf("got %+v, %v; want a whole report", got, err)
				}
				if sent := writes(w); len(sent) != 1 || fmt.Sprint(sent[0].args) != fmt.Sprint(tt.sent) {
					t.Errorf("sent %v, want one write of %v", sent, tt.sent)
				}
				if got.Preferred != tt.want || got.Role != before.Role || got.Partner != before.Partner || got.CheckPort != before.CheckPort || got.AllInterfaces != before.AllInterfaces {
					t.Errorf("got %+v, want all but the preference as in %+v", got, before)
				}
			})
		})
	}
}

func TestPreferWritesNothingWhereItIsSo(t *testing.T) {
	unit := newHealthy()
	inBubble(t, unit.answer, func(t *testing.T, w *world) {
		got, err := w.client.Prefer(t.Context(), w.pair, pair.PreferFirst)
		if err != nil || got != fullReport || len(writes(w)) != 0 {
			t.Errorf("got %+v, %v after %q; want the report and no write", got, err, w.asked())
		}
	})
}

func TestPreferWritesNothingThatItDoesNotUnderstand(t *testing.T) {
	tests := []struct {
		name string
		has  map[string]string
		want error
		says string
	}{
		{"without a partner", map[string]string{"Partner": ""}, pair.ErrUnreadable, "expected Partner"},
		{"without a check port", map[string]string{"Port": ""}, pair.ErrUnreadable, "expected Port"},
		{"without HA", map[string]string{"HaMode": "single", "Partner": "", "Port": "", "HealthCheckAllInterfaces": ""}, pair.ErrUnreadable, "expected Partner"},
		{"with itself as partner", map[string]string{"Partner": "10.0.0.4"}, pair.ErrInvalid, "itself"},
		{"with itself as partner in another form", map[string]string{"Partner": "::ffff:10.0.0.4"}, pair.ErrInvalid, "itself"},
		{"with a partner of two words", map[string]string{"Partner": "10.0.0.5 10.0.0.6"}, pair.ErrInvalid, "partner"},
		{"with a masked partner", map[string]string{"Partner": "********"}, pair.ErrInvalid, "masked"},
		{"with an endless partner", map[string]string{"Partner": strings.Repeat("x", 300)}, pair.ErrInvalid, "partner"},
		{"with a check port that is a word", map[string]string{"Port": "none"}, pair.ErrInvalid, "check port"},
		{"with a check port that is none", map[string]string{"Port": "0"}, pair.ErrInvalid, "check port"},
		{"with interfaces in an unknown word", map[string]string{"HealthCheckAllInterfaces": "eth1"}, pair.ErrInvalid, `"eth1"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, preferring(tt.has).answer, func(t *testing.T, w *world) {
				got, err := w.client.Prefer(t.Context(), w.pair, pair.PreferNone)
				if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) || got != (pair.Report{}) {
					t.Errorf("got %+v, %v; want %v that says %q", got, err, tt.want, tt.says)
				}
				if sent := writes(w); len(sent) != 0 {
					t.Errorf("sent %v", sent)
				}
			})
		})
	}
	t.Run("for a preference that is none", func(t *testing.T) {
		inBubble(t, newHealthy().answer, func(t *testing.T, w *world) {
			if _, err := w.client.Prefer(t.Context(), w.pair, pair.PreferenceUnknown); !errors.Is(err, pair.ErrInvalid) || len(w.asked()) != 0 {
				t.Errorf("got %v after %q, want ErrInvalid and no call", err, w.asked())
			}
		})
	})
}

// A write of the preference is sent once, and believed only when it is seen.
func TestWhatBecomesOfAPreference(t *testing.T) {
	answering := func(to string, with func(*healthy, call) reply) func(*healthy) func(call) reply {
		return func(h *healthy) func(call) reply {
			return func(c call) reply {
				if c.cmd == to {
					return with(h, c)
				}
				return h.answer(c)
			}
		}
	}
	written := func(h *healthy) bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.params["HaPrefered"] == "0"
	}
	afterwards := func(cmd string, with func(call) reply) func(*healthy) func(call) reply {
		return answering(cmd, func(h *healthy, c call) reply {
			if written(h) {
				return with(c)
			}
			return h.answer(c)
		})
	}
	tests := []struct {
		name   string
		answer func(*healthy) func(call) reply
		want   error
		says   string
		reads  pair.Preference // in the report that comes with the error
	}{
		{"a standby that refuses", answering("azurehaparam", func(_ *healthy, c call) reply { return failed(c, 422, "Command not allowed on a standby unit") }), pair.ErrInvalid, "standby unit", pair.PreferenceUnknown},
		{"a user without the right", answering("azurehaparam", func(_ *healthy, c call) reply { return failed(c, 403, "no") }), pair.ErrRefused, "permission", pair.PreferenceUnknown},
		{"firmware that does not know the command", answering("azurehaparam", func(_ *healthy, c call) reply { return failed(c, 405, "Unknown command") }), pair.ErrNotFound, "firmware", pair.PreferenceUnknown},
		{"a unit that says yes and forgets it", answering("azurehaparam", func(_ *healthy, c call) reply { return done(c) }), pair.ErrConflict, "preference first, expected none", pair.PreferFirst},
		{"a unit that resets what it was told to keep", answering("azurehaparam", func(h *healthy, c call) reply { c.args["hcai"] = "1"; return h.answer(c) }), pair.ErrConflict, "all interfaces true, expected false", pair.PreferNone},
		{"somebody who writes another partner meanwhile", answering("azurehaparam", func(h *healthy, c call) reply { c.args["partner"] = "10.0.0.6"; return h.answer(c) }), pair.ErrConflict, `partner "10.0.0.6"`, pair.PreferNone},
		{"a check port that is not told any more", afterwards("getazurehaparams", func(c call) reply {
			return ok(`{"code":200,"AzureHA":{"HaMode":"first","HaPrefered":0,"Partner":"10.0.0.5"}}`)
		}), pair.ErrConflict, "check port 0", pair.PreferNone},
		{"an answer that is lost", answering("azurehaparam", func(h *healthy, c call) reply { h.answer(c); return hangUp }), pair.ErrUnknownOutcome, "answer was lost", pair.PreferenceUnknown},
		{"a failure of the unit", answering("azurehaparam", func(_ *healthy, c call) reply { return failed(c, 500, "oops") }), pair.ErrUnknownOutcome, "failed", pair.PreferenceUnknown},
		{"a unit that is gone afterwards", afterwards("get boottime", func(call) reply { return hangUp }), pair.ErrUnknownOutcome, "reading back failed", pair.PreferenceUnknown},
		{"parameters that cannot be read afterwards", afterwards("getazurehaparams", func(c call) reply { return failed(c, 500, "oops") }), pair.ErrUnknownOutcome, "does not tell", pair.PreferenceUnknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, tt.answer(newHealthy()), func(t *testing.T, w *world) {
				got, err := w.client.Prefer(t.Context(), w.pair, pair.PreferNone)
				if err == nil || !strings.Contains(err.Error(), tt.says) {
					t.Fatalf("got %v, want one that says %q", err, tt.says)
				}
				for _, kind := range []error{pair.ErrInvalid, pair.ErrRefused, pair.ErrNotFound, pair.ErrConflict, pair.ErrUnknownOutcome, pair.ErrUnreachable, pair.ErrUnreadable} {
					if errors.Is(err, kind) != (kind == tt.want) {
						t.Errorf("%v is %v: %t", err, kind, errors.Is(err, kind))
					}
				}
				if got.Preferred != tt.reads || (got == pair.Report{}) != (tt.reads == pair.PreferenceUnknown) {
					t.Errorf("the report is %+v", got)
				}
				if sent := writes(w); len(sent) != 1 {
					t.Errorf("sent %v, want one write", sent)
				}
			})
		})
	}
}

// The limits of reports hold for a write as well.
func TestPreferKeepsTheLimits(t *testing.T) {
	t.Run("credentials that were refused are not tried", func(t *testing.T) {
		inBubble(t, func(c call) reply { return failed(c, 401, "no") }, func(t *testing.T, w *world) {
			if _, err := w.client.Report(t.Context(), w.pair); !errors.Is(err, pair.ErrRefused) {
				t.Fatal(err)
			}
			w.forget()
			if _, err := w.client.Prefer(t.Context(), w.pair, pair.PreferNone); !errors.Is(err, pair.ErrRefused) || pair.RetryAfter(err, 0) != 2*time.Minute || len(w.asked()) != 0 {
				t.Errorf("got %v after %q, want ErrRefused with a time and no call", err, w.asked())
			}
		})
	})
	t.Run("it waits for its turn", func(t *testing.T) {
		inBubble(t, newHealthy().answer, func(t *testing.T, w *world) {
			for i := range 10 {
				want := []pair.Preference{pair.PreferNone, pair.PreferFirst}[i%2]
				if _, err := w.client.Prefer(t.Context(), w.pair, want); err != nil {
					t.Fatal(err)
				}
			}
			for i := range w.calls {
				if j := i + 30; j < len(w.calls) && w.calls[j].at.Sub(w.calls[i].at) < 3*time.Second {
					t.Fatalf("31 calls within %v", w.calls[j].at.Sub(w.calls[i].at))
				}
			}
		})
	})
	t.Run("a caller who gives up after it was sent does not know", func(t *testing.T) {
		unit := newHealthy()
		inBubble(t, func(c call) reply {
			a := unit.answer(c)
			if c.cmd == "azurehaparam" {
				a.delay = time.Minute
			}
			return a
		}, func(t *testing.T, w *world) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := w.client.Prefer(ctx, w.pair, pair.PreferNone); !errors.Is(err, pair.ErrUnknownOutcome) {
				t.Errorf("got %v, want ErrUnknownOutcome", err)
			}
		})
	})
	t.Run("a unit that only takes v1 is written in v1, once", func(t *testing.T) {
		unit := newHealthy()
		inBubble(t, func(c call) reply {
			if c.api == "v2" {
				return reply{status: 404, body: "<html>"}
			}
			return unit.answer(c)
		}, func(t *testing.T, w *world) {
			if got, err := w.client.Prefer(t.Context(), w.pair, pair.PreferNone); err != nil || got.Preferred != pair.PreferNone {
				t.Fatalf("got %+v, %v", got, err)
			}
			if sent := writes(w); len(sent) != 1 || sent[0].api != "v1" {
				t.Errorf("sent %v", sent)
			}
		})
	})
}

func TestSimulatedPreferenceInEveryVariant(t *testing.T) {
	variants := map[string]lab.Options{
		"as documented":             {},
		"text in JSON":              {V2Values: lab.V2Strings},
		"new words":                 {HAModeWords: lab.NewWords},
		"old words":                 {HAModeWords: lab.OldWords},
		"interfaces absent":         {AllInterfaces: lab.AllInterfacesAbsent},
		"interfaces present":        {AllInterfaces: lab.AllInterfacesPresent},
		"a standby refuses writes":  {StandbyWrites: lab.StandbyRejectsWrites}, // of synchronised parameters; these are its own
		"a standby loses writes":    {StandbyWrites: lab.StandbyLosesWrites},
		"it works after a reboot":   {ParametersNeedReboot: true},
		"hastatus not known":        {HAStatus: lab.HAStatusUnknown},
		"only v1":                   {V2NeedsSessionManagement: true},
		"only v1, old words":        {V2NeedsSessionManagement: true, HAModeWords: lab.OldWords, AllInterfaces: lab.AllInterfacesAbsent},
		"only v1, interfaces there": {V2NeedsSessionManagement: true, AllInterfaces: lab.AllInterfacesPresent},
	}
	for name, opts := range variants {
		t.Run(name, func(t *testing.T) {
			withSimulated(t, opts, func(t *testing.T, s *simulated) {
				for i, u := range s.defs {
					before, err := s.client.Report(t.Context(), u)
					if err != nil {
						t.Fatal(err)
					}
					for _, want := range []pair.Preference{pair.PreferNone, pair.PreferFirst, pair.PreferFirst, pair.PreferNone} {
						got, err := s.client.Prefer(t.Context(), u, want)
						if err != nil || got.Preferred != want || got.Role != before.Role || got.Partner != before.Partner || got.CheckPort != before.CheckPort || got.AllInterfaces {
							t.Errorf("unit %d: got %+v, %v; want preference %v and the rest as in %+v", i+1, got, err, want, before)
						}
					}
					time.Sleep(3 * time.Minute) // a standby that loses writes has lost them by now
					if later, err := s.client.Report(t.Context(), u); err != nil || later.Preferred != pair.PreferNone {
						t.Errorf("unit %d reads %v, %v three minutes later, want none", i+1, later.Preferred, err)
					}
				}
			})
		})
	}
}

func TestSimulatedPreferenceLeavesAllInterfacesOn(t *testing.T) {
	withSimulated(t, lab.Options{}, func(t *testing.T, s *simulated) {
		p, err := s.client.HAParameters(t.Context(), s.defs[0])
		if err != nil {
			t.Fatal(err)
		}
		p.AllInterfaces = true
		if err := s.client.SetHAParameters(t.Context(), s.defs[0], p); err != nil {
			t.Fatal(err)
		}
		if got, err := s.client.Prefer(t.Context(), s.defs[0], pair.PreferNone); err != nil || !got.AllInterfaces || got.Preferred != pair.PreferNone {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}

func TestSimulatedPreferenceIsNotWrittenTwice(t *testing.T) {
	faults := map[string]lab.Faults{"a unit that drops calls": {API: lab.APIDrops}, "a closed port": {API: lab.APIRefuses}}
	for _, name := range slices.Sorted(maps.Keys(faults)) {
		t.Run(name, func(t *testing.T) {
			withSimulated(t, lab.Options{}, func(t *testing.T, s *simulated) {
				s.first.SetFaults(faults[name])
				if _, err := s.client.Prefer(t.Context(), s.defs[0], pair.PreferNone); !errors.Is(err, pair.ErrUnreachable) {
					t.Errorf("got %v, want ErrUnreachable: reading comes first, so nothing was sent", err)
				}
				s.first.SetFaults(lab.Faults{})
				if got, err := s.client.Report(t.Context(), s.defs[0]); err != nil || got.Preferred != pair.PreferFirst {
					t.Errorf("got %+v, %v", got, err)
				}
			})
		})
	}
}
