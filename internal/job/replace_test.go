package job_test

import (
	"strings"
	"testing"
	"time"

	"tandem/internal/job"
	"tandem/internal/job/replace"
	"tandem/internal/pair"
)

// blank is a world in which one unit was just built anew, and the other one serves.
func blank(t testing.TB, r pair.Role, change ...func(*pair.Definition)) *world {
	def := edge()
	def.HA.StandbyForwards = pair.ForwardsUnknown
	for _, do := range change {
		do(&def)
	}
	w := newWorld(t, def, r.Other())
	w.unit(r).blank()
	w.unit(r.Other()).prefer = def.HA.UnitPreference()
	return w
}

// blank makes a unit one that was built anew a minute ago.
func (u *unit) blank() {
	u.mode, u.works, u.state, u.partner, u.port, u.prefer = pair.RoleUnknown, pair.RoleUnknown, pair.NotConfigured, "", 0, pair.PreferenceUnknown
	u.unlicensed, u.bare, u.flows, u.bootedAt = true, true, 0, noon.Add(-time.Minute)
}

// people license the unit after two minutes and restore it after three. Nobody may
// ever see it active while it is blank, and no later than that either.
func people(r pair.Role) func(*world) {
	return func(w *world) {
		u := w.unit(r)
		switch {
		case w.now.Equal(noon.Add(2 * time.Minute)):
			u.unlicensed = false
		case w.now.Equal(noon.Add(3 * time.Minute)):
			u.bare = false
		}
		if u.state == pair.Active && w.unit(r.Other()).up(w.now) {
			w.fatalf("%s became active beside a partner that lives", r)
		}
	}
}

// taking is a world in which the job begins.
func taking(t testing.TB, r pair.Role) *world {
	w := blank(t, r)
	w.event = people(r)
	w.start(job.Request{Kind: replace.Kind, Unit: r})
	return w
}

func TestABlankUnitIsOutUntilItIsProved(t *testing.T) {
	const first, second = pair.First, pair.Second
	at := func(after time.Duration, do func(*world)) func(*world) {
		return func(w *world) {
			if w.now.Equal(noon.Add(after)) {
				do(w)
			}
		}
	}
	noChecks := func(d *pair.Definition) { d.Checks = nil }
	tests := []struct {
		name    string
		unit    pair.Role
		def     func(*pair.Definition)
		before  func(*world)
		event   func(*world) // beside what people do; it runs first
		alone   bool         // nobody licenses or restores
		want    pair.JobState
		prefer  pair.Preference // of both at the end
		why     string
		lost    int
		touched string
	}{
		{name: "a new first unit stands by, and nobody prefers it", unit: first, want: pair.JobDone, prefer: pair.PreferNone, why: "no interruption", touched: "preference of second is none,drain first,configure first,reboot first,release first"},
		{name: "a new second unit stands by, and first is preferred as before", unit: second, want: pair.JobDone, prefer: pair.PreferFirst, why: "no interruption", touched: "drain second,configure second,reboot second,release second"},
		{name: "nobody licenses it: it is single still, and was told nothing", unit: first, alone: true, want: pair.JobFailed, why: "first (lm1) has no licence", touched: "drain first"},
		{
			name: "nobody restores it: it is single still", unit: second, alone: true, event: at(time.Minute, func(w *world) { w.unit(second).unlicensed = false }),
			want: pair.JobFailed, why: "has no service, and its partner has 1", touched: "drain second",
		},
		{
			name: "other firmware than its partner's is not equal", unit: second, before: func(w *world) { w.unit(second).firmware = "7.2.61.0.1.RELEASE" },
			want: pair.JobFailed, why: "install the same", touched: "drain second",
		},
		{
			name: "one that does not forward gets no place", unit: second, before: func(w *world) { w.unit(second).broken = true },
			want: pair.JobFailed, why: "fails check shop", touched: "drain second",
		},
		{name: "without checks a person is asked, and it is taken in unproved", unit: second, def: noChecks, want: pair.JobDone, prefer: pair.PreferFirst, touched: "configure second"},
		{name: "and where nobody approves that, nothing is touched", unit: second, def: noChecks, before: func(w *world) { w.approves = false }, want: pair.JobFailed, why: "nobody approved", touched: "nothing"},
		{
			name: "the unit that serves alone is not replaced", unit: first, alone: true,
			before: func(w *world) { o := newWorld(w.t, w.def, first); w.units, w.seen = o.units, o.seen },
			want:   pair.JobFailed, why: "have its partner serve first", touched: "nothing",
		},
		{
			name: "one that stands by already is not touched", unit: second, before: func(w *world) { w.units[1] = newWorld(w.t, w.def, first).units[1] },
			want: pair.JobDone, why: "nothing was touched", touched: "nothing",
		},
		{
			name: "one that works in HA and is set up wrong is for another job", unit: second,
			before: func(w *world) { w.units[1] = newWorld(w.t, w.def, first).units[1]; w.unit(second).partner = "10.0.0.9" },
			want:   pair.JobFailed, why: "is for tandem configure", touched: "nothing",
		},
		{
			name: "its partner crashes and returns while it waits: Down goes back, and the job goes on", unit: first,
			event: func(w *world) {
				at(90*time.Second, func(w *world) { w.unit(second).reboot(w.now) })(w)
			},
			want: pair.JobDone, lost: 300, touched: "configure first",
		},
		{
			name: "its partner's application fails for a minute: the same", unit: first,
			event: func(w *world) {
				at(70*time.Second, func(w *world) { w.unit(second).broken = true })(w)
				at(130*time.Second, func(w *world) { w.unit(second).broken = false })(w)
			},
			want: pair.JobDone, prefer: pair.PreferNone, lost: 60, touched: "release first,drain first",
		},
		{
			name: "it is restored with its place and the preference for it: that is taken away before it works", unit: first,
			event: at(3*time.Minute, func(w *world) {
				u := w.unit(first)
				u.mode, u.prefer, u.partner, u.port = first, pair.PreferFirst, "10.0.0.5", 8444
			}),
			want: pair.JobDone, prefer: pair.PreferNone, touched: "preference of first is none,reboot first",
		},
		{
			name: "and where it is rebooted before its time, it waits for a person", unit: second,
			event: at(3*time.Minute, func(w *world) {
				u := w.unit(second)
				u.mode, u.prefer, u.partner, u.port, u.broken = second, pair.PreferNone, "10.0.0.4", 8444, true
				u.reboot(w.now)
			}),
			want: pair.JobFailed, why: "set its HA mode to single",
		},
		{
			name: "it is cancelled while it waits: nothing stands any more", unit: second, alone: true, event: at(2*time.Minute, func(w *world) { w.say(pair.JobCancel) }),
			want: pair.JobCancelled, why: "cancelled by bert", touched: "drain second,release second",
		},
		{
			name: "it is paused while it waits, and resumed: it looks at everything again", unit: first,
			event: func(w *world) {
				at(100*time.Second, func(w *world) { w.say(pair.JobPause) })(w)
				at(time.Hour, func(w *world) { w.say(pair.JobResume) })(w)
			},
			want: pair.JobDone, prefer: pair.PreferNone, touched: "release first,drain first",
		},
		{
			name: "it is paused while the unit reboots into its place, and resumed when that stands by", unit: second,
			event: func() func(*world) {
				rested := time.Time{}
				return func(w *world) {
					switch j := w.rec.Job; {
					case rested.IsZero() && w.unit(second).works == second:
						rested = w.now
						w.say(pair.JobPause)
					case !rested.IsZero() && w.now.Equal(rested.Add(10*time.Minute)) && j.State == pair.JobRests:
						w.say(pair.JobResume)
					}
				}
			}(),
			want: pair.JobDone, prefer: pair.PreferFirst,
		},
		{
			name: "it lives only after the job began", unit: second, before: func(w *world) { w.unit(second).dead = true },
			event: at(time.Minute, func(w *world) { w.unit(second).dead = false }), want: pair.JobDone, prefer: pair.PreferFirst,
		},
		{
			name: "somebody takes the Down away: the job ends", unit: second, alone: true, event: at(3*time.Minute, func(w *world) { w.admin["onesecond"] = pair.AdminNone }),
			want: pair.JobFailed, why: "somebody else changed an admin state",
		},
		{
			name: "it does not come back from its reboot", unit: second,
			event: func(w *world) { w.unit(second).dead = w.unit(second).works == second },
			want:  pair.JobFailed, why: "second (lm2) is not back yet",
		},
		{
			name: "nobody looks for an hour after it was set Down", unit: first, event: at(80*time.Second, func(w *world) { w.dead = w.now.Add(time.Hour) }),
			want: pair.JobDone, prefer: pair.PreferNone,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := blank(t, tt.unit)
			if tt.def != nil {
				w = blank(t, tt.unit, tt.def)
			}
			if tt.before != nil {
				tt.before(w)
			}
			w.event = func(w *world) {
				if tt.event != nil {
					tt.event(w)
				}
				if !tt.alone {
					people(tt.unit)(w)
				}
			}
			w.start(job.Request{Kind: replace.Kind, Unit: tt.unit})
			j := w.play()
			if j.State != tt.want || !strings.Contains(j.Why, tt.why) {
				w.fatalf("the job is %s: %q, want %s: %q", j.State, j.Why, tt.want, tt.why)
			}
			for _, u := range w.units {
				if tt.prefer != pair.PreferenceUnknown && u.prefer != tt.prefer {
					w.fatalf("%s prefers %s, want %s", u.role, u.prefer, tt.prefer)
				}
			}
			if w.lost > tt.lost {
				w.fatalf("for %d s new connections found nobody, want %d at most", w.lost, tt.lost)
			}
			effects := strings.Join(w.done, ",")
			if tt.touched == "nothing" && effects != "" {
				w.fatalf("touched: %s", effects)
			}
			if tt.want != pair.JobDone && tt.touched != "" && strings.Contains(effects, "configure") {
				w.fatalf("it got its place: %s", effects)
			}
			for part := range strings.SplitSeq(tt.touched, ",") {
				if part != "nothing" && !strings.Contains(effects, part) {
					w.fatalf("effects are %s, want %s", effects, part)
				}
			}
		})
	}
}

func TestAReplacementSaysWhichUnit(t *testing.T) {
	def := edge()
	_, err := registry(t).New(job.Request{ID: "edge-000000000001-001", Kind: replace.Kind, By: "anna", At: noon}, &def)
	if err == nil || !strings.Contains(err.Error(), "expected first or second") {
		t.Errorf("got %v", err)
	}
}

// TestWhatAPersonIsTold looks once at a unit that nobody has licensed yet.
func TestWhatAPersonIsTold(t *testing.T) {
	tests := []struct {
		name   string
		change func(*pair.UnitSeen)
		says   string
	}{
		{"its certificate is not the one that was pinned", func(u *pair.UnitSeen) { u.API.Answer = pair.APIUntrusted }, "put its SHA-256 there, and apply the file"},
		{"it refuses us", func(u *pair.UnitSeen) { u.API.Answer = pair.APIRefused }, `give it the credentials of secret "lm1-api", then tandem ack`},
		{"its API is silent", func(u *pair.UnitSeen) { u.API.Answer = pair.APISilent }, "does not answer"},
		{"it lets us in, and says nothing of a licence", func(*pair.UnitSeen) {}, "does not tell whether it is licensed"},
		{"it names no licence", func(u *pair.UnitSeen) { u.Inventory.At = u.API.At }, `has no licence: license it, and give it the credentials of secret "lm1-api"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := blank(t, pair.First, func(d *pair.Definition) { d.Units.First.API.Secret = "lm1-api" })
			w.start(job.Request{Kind: replace.Kind, Unit: pair.First})
			for at := w.now; w.rec.Job.Steps[w.rec.Job.Step].Name != "licensed"; {
				if w.second(); w.now.Sub(at) >= 5*time.Second {
					w.pass()
					at = w.now
				}
			}
			in := w.look(true)
			u := in.Observation.Unit(pair.First)
			u.Inventory = pair.InventorySeen{}
			tt.change(u)
			p := w.jobs.Propose(&in)
			if got := p.Job.Steps[p.Job.Step]; got.Name != "licensed" || !strings.Contains(got.Note, tt.says) {
				t.Errorf("step %s says %q, want %q", got.Name, got.Note, tt.says)
			}
			if p.Inspect != pair.First || p.Next != pair.Duration(15*time.Second) {
				t.Errorf("inspects %s, looks again after %v", p.Inspect, time.Duration(p.Next))
			}
		})
	}
}
