package loadmaster_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	lab "tandem/internal/lab/loadmaster"
	"tandem/internal/loadmaster"
	"tandem/internal/pair"
)

// asWanted is what healthy has, as parameters.
var asWanted = loadmaster.HAParameters{Partner: "10.0.0.5", CheckPort: 8444, Preferred: pair.PreferFirst}

// configurations lists the writes of HA settings that a unit got, with their
// arguments.
func configurations(w *world) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []string
	for _, c := range w.calls {
		if c.cmd == "azurehamode" || c.cmd == "azurehaparam" {
			var args []string
			for _, name := range slices.Sorted(maps.Keys(c.args)) {
				args = append(args, name+"="+c.args[name])
			}
			list = append(list, c.cmd+" "+strings.Join(args, " "))
		}
	}
	return list
}

func TestConfigureWritesOnlyWhatDiffers(t *testing.T) {
	const mode, params = "azurehamode hamode=first", "azurehaparam haprefered=1 hcai=0 hcp=8444 partner=10.0.0.5"
	tests := []struct {
		name string
		has  map[string]string
		want func(*loadmaster.HAParameters)
		sent []string
	}{
		{name: "nothing where all is so"},
		{name: "nothing where all is so in the old words", has: map[string]string{"HaMode": "master"}},
		{name: "nothing where interfaces that are not told are one", has: map[string]string{"HealthCheckAllInterfaces": ""}},
		{name: "nothing where the partner is written in another form", has: map[string]string{"Partner": "10.0.0.5"}},
		{
			name: "mode and parameters of a unit without HA, the mode first",
			has:  map[string]string{"HaMode": "single", "Partner": "", "Port": "", "HaPrefered": "", "HealthCheckAllInterfaces": ""}, sent: []string{mode, params},
		},
		{name: "the mode of the other role", has: map[string]string{"HaMode": "slave"}, sent: []string{mode}},
		{name: "a mode in an unknown word", has: map[string]string{"HaMode": "third"}, sent: []string{mode}},
		{name: "all four parameters for a partner", has: map[string]string{"Partner": "10.0.0.4"}, sent: []string{params}},
		{name: "all four for a check port", has: map[string]string{"Port": "8445"}, sent: []string{params}},
		{name: "all four for a preference that is not told", has: map[string]string{"HaPrefered": ""}, sent: []string{params}},
		{
			name: "all four for the interfaces", want: func(p *loadmaster.HAParameters) { p.AllInterfaces = true },
			sent: []string{"azurehaparam haprefered=1 hcai=1 hcp=8444 partner=10.0.0.5"},
		},
		{name: "all four for interfaces in an unknown word", has: map[string]string{"HealthCheckAllInterfaces": "eth1"}, sent: []string{params}},
		{
			name: "no preference", want: func(p *loadmaster.HAParameters) { p.Preferred = pair.PreferNone },
			sent: []string{"azurehaparam haprefered=0 hcai=0 hcp=8444 partner=10.0.0.5"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, preferring(tt.has).answer, func(t *testing.T, w *world) {
				want := asWanted
				if tt.want != nil {
					tt.want(&want)
				}
				got, err := w.client.Configure(t.Context(), w.pair, pair.First, want)
				if err != nil || got.State != pair.Active || got.Firmware == "" {
					t.Fatalf("got %+v, %v; want a whole report", got, err)
				}
				if sent := configurations(w); !slices.Equal(sent, tt.sent) {
					t.Errorf("sent %q, want %q", sent, tt.sent)
				}
				if got.Role != pair.First || got.Partner != want.Partner || got.CheckPort != want.CheckPort || got.Preferred != want.Preferred || got.AllInterfaces != want.AllInterfaces {
					t.Errorf("got %+v, want %+v", got, want)
				}
			})
		})
	}
}

func TestConfigureSendsNothingThatMakesNoSense(t *testing.T) {
	tests := []struct {
		name string
		role pair.Role
		edit func(*loadmaster.HAParameters)
		says string
	}{
		{"no role", pair.RoleUnknown, func(*loadmaster.HAParameters) {}, "expected first or second"},
		{"the parameters of the other unit", pair.Second, func(p *loadmaster.HAParameters) { p.Role = pair.First }, "are those of the first unit"},
		{"itself as partner, as the guide tells", pair.Second, func(p *loadmaster.HAParameters) { p.Partner = "10.0.0.4" }, "the unit itself"},
		{"itself as partner in another form", pair.First, func(p *loadmaster.HAParameters) { p.Partner = "::ffff:10.0.0.4" }, "the unit itself"},
		{"a masked partner", pair.Second, func(p *loadmaster.HAParameters) { p.Partner = "********" }, "masked"},
		{"no partner", pair.First, func(p *loadmaster.HAParameters) { p.Partner = "" }, "partner"},
		{"no check port", pair.First, func(p *loadmaster.HAParameters) { p.CheckPort = 0 }, "check port 0"},
		{"no preference", pair.First, func(p *loadmaster.HAParameters) { p.Preferred = pair.PreferenceUnknown }, "expected first or none"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, newHealthy().answer, func(t *testing.T, w *world) {
				want := asWanted
				tt.edit(&want)
				_, err := w.client.Configure(t.Context(), w.pair, tt.role, want)
				if !errors.Is(err, pair.ErrInvalid) || !strings.Contains(err.Error(), tt.says) || len(w.asked()) != 0 {
					t.Errorf("got %v after %q; want ErrInvalid that says %q, and no call", err, w.asked(), tt.says)
				}
			})
		})
	}
}

// Each write is sent once, and believed only when it is seen.
func TestWhatBecomesOfAConfiguration(t *testing.T) {
	second := map[string]string{"HaMode": "second", "Partner": "10.0.0.9"} // both writes are due
	tests := []struct {
		name string
		to   string // the command that is answered otherwise
		with func(*healthy, call) reply
		want error
		says string
		sent int
		role pair.Role // in the report that comes with the error
	}{
		{"a user without the right changes nothing", "azurehamode", func(_ *healthy, c call) reply { return failed(c, 403, "no") }, pair.ErrRefused, "permission", 1, pair.RoleUnknown},
		{"firmware that does not know the mode changes nothing", "azurehamode", func(_ *healthy, c call) reply { return failed(c, 405, "Unknown command") }, pair.ErrNotFound, "firmware", 1, pair.RoleUnknown},
		{"a mode whose answer is lost", "azurehamode", func(h *healthy, c call) reply { h.answer(c); return hangUp }, pair.ErrUnknownOutcome, "answer was lost", 1, pair.RoleUnknown},
		{"parameters that are refused after the mode", "azurehaparam", func(_ *healthy, c call) reply { return failed(c, 422, "Invalid address") }, pair.ErrUnknownOutcome, "the HA mode was changed, and then", 2, pair.RoleUnknown},
		{"parameters whose answer is lost", "azurehaparam", func(*healthy, call) reply { return hangUp }, pair.ErrUnknownOutcome, "answer was lost", 2, pair.RoleUnknown},
		{"a mode that reads otherwise", "azurehamode", func(_ *healthy, c call) reply { return done(c) }, pair.ErrConflict, "role second, expected first", 2, pair.Second},
		{"parameters that read otherwise", "azurehaparam", func(_ *healthy, c call) reply { return done(c) }, pair.ErrConflict, `reads back partner "10.0.0.9"`, 2, pair.First},
		{"a unit that cannot be read at first is not written", "getazurehaparams", func(_ *healthy, c call) reply { return failed(c, 500, "oops") }, pair.ErrUnreadable, "failed", 0, pair.RoleUnknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			unit := preferring(second)
			inBubble(t, func(c call) reply {
				if c.cmd == tt.to {
					return tt.with(unit, c)
				}
				return unit.answer(c)
			}, func(t *testing.T, w *world) {
				got, err := w.client.Configure(t.Context(), w.pair, pair.First, asWanted)
				if err == nil || !strings.Contains(err.Error(), tt.says) {
					t.Fatalf("got %v, want one that says %q", err, tt.says)
				}
				for _, kind := range []error{pair.ErrInvalid, pair.ErrRefused, pair.ErrNotFound, pair.ErrConflict, pair.ErrUnknownOutcome, pair.ErrUnreachable, pair.ErrUnreadable} {
					if errors.Is(err, kind) != (kind == tt.want) {
						t.Errorf("%v is %v: %t", err, kind, errors.Is(err, kind))
					}
				}
				if sent := configurations(w); len(sent) != tt.sent || got.Role != tt.role {
					t.Errorf("sent %q, and the report is %+v", sent, got)
				}
			})
		})
	}
}

// Every call keeps the rules that reports keep.
func TestEveryCallKeepsTheRules(t *testing.T) {
	calls := map[string]func(context.Context, *world) error{
		"configure": func(ctx context.Context, w *world) error {
			_, err := w.client.Configure(ctx, w.pair, pair.Second, asWanted)
			return err
		},
		"connections": func(ctx context.Context, w *world) error { _, err := w.client.Connections(ctx, w.pair); return err },
		"backup":      func(ctx context.Context, w *world) error { return w.client.Backup(ctx, w.pair, io.Discard) },
		"restore": func(ctx context.Context, w *world) error {
			return w.client.Restore(ctx, w.pair, strings.NewReader("x"), 15)
		},
		"reboot": func(ctx context.Context, w *world) error { return w.client.Reboot(ctx, w.pair) },
	}
	for name, do := range calls {
		t.Run(name+" does not try credentials that were refused", func(t *testing.T) {
			inBubble(t, func(c call) reply { return failed(c, 401, "no") }, func(t *testing.T, w *world) {
				if _, err := w.client.Report(t.Context(), w.pair); !errors.Is(err, pair.ErrRefused) {
					t.Fatal(err)
				}
				w.forget()
				if err := do(t.Context(), w); !errors.Is(err, pair.ErrRefused) || pair.RetryAfter(err, 0) != 2*time.Minute || len(w.asked()) != 0 {
					t.Errorf("got %v after %q, want ErrRefused with a time and no call", err, w.asked())
				}
			})
		})
		t.Run(name+" does not speak with a unit that is not the pinned one", func(t *testing.T) {
			inBubble(t, newHealthy().answer, func(t *testing.T, w *world) {
				w.pair.API.TLS.SHA256 = strings.Repeat("ab", 32)
				if err := do(t.Context(), w); !errors.Is(err, pair.ErrUntrusted) || len(w.asked()) != 0 {
					t.Errorf("got %v after %q, want ErrUntrusted and no call", err, w.asked())
				}
			})
		})
		t.Run(name+" waits for its turn", func(t *testing.T) {
			inBubble(t, newHealthy().answer, func(t *testing.T, w *world) {
				for range 40 {
					if err := do(t.Context(), w); err != nil {
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
	}
}

func TestSimulatedPairIsConfiguredByCallsAndReboots(t *testing.T) {
	variants := map[string]lab.Options{
		"as documented":            {},
		"the mode works at once":   {ModeAppliesAtOnce: true},
		"parameters need a reboot": {ParametersNeedReboot: true},
		"new words":                {HAModeWords: lab.NewWords},
		"old words, only v1":       {HAModeWords: lab.OldWords, V2NeedsSessionManagement: true},
	}
	for name, opts := range variants {
		t.Run(name, func(t *testing.T) {
			withSimulated(t, opts, func(t *testing.T, s *simulated) {
				for i, u := range []*lab.Unit{s.first, s.second} {
					if err := u.Configure(map[string]string{"hamode": "single"}); err != nil {
						t.Fatal(err)
					}
					u.Reboot()
					time.Sleep(time.Minute)
					if r, err := s.client.Report(t.Context(), s.defs[i]); err != nil || r.State != pair.NotConfigured {
						t.Fatalf("unit %d at first: %+v, %v", i+1, r, err)
					}
				}
				for i, role := range pair.Roles {
					want := loadmaster.HAParameters{Partner: s.defs[1-i].Address.String(), CheckPort: 8444, Preferred: pair.PreferFirst}
					r, err := s.client.Configure(t.Context(), s.defs[i], role, want)
					if err != nil || r.Role != role || (r.State == pair.NotConfigured) == opts.ModeAppliesAtOnce {
						t.Errorf("unit %d: %+v, %v", i+1, r, err)
					}
				}
				for i := range s.defs {
					if err := s.client.Reboot(t.Context(), s.defs[1-i]); err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Minute)
				}
				for i, role := range pair.Roles {
					s.prober.CheckPort(t.Context(), addrPort(s.defs[i])) // the unit is polled
					r, err := s.client.Report(t.Context(), s.defs[i])
					if err != nil || r.Role != role || r.State == pair.NotConfigured {
						t.Errorf("unit %d at the end: %+v, %v", i+1, r, err)
					}
				}
				time.Sleep(time.Minute)
				if got := fmt.Sprint(s.first.State(), s.second.State()); got != "Active Standby" {
					t.Errorf("the pair is %s", got)
				}
			})
		})
	}
}
