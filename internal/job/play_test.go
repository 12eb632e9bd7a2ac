package job_test

import (
	"strings"
	"testing"
	"time"

	"tandem/internal/job"
	"tandem/internal/job/configure"
	"tandem/internal/job/replace"
	"tandem/internal/job/switchover"
	"tandem/internal/pair"
)

// TestAJobPlayedToItsEnd plays both jobs against a world that behaves, and that does
// not. What is lost is counted in seconds in which a new connection found nobody.
func TestAJobPlayedToItsEnd(t *testing.T) {
	at := func(after time.Duration, do func(w *world)) func(*world) {
		return func(w *world) {
			if w.now.Equal(noon.Add(after)) {
				do(w)
			}
		}
	}
	atStep := func(name string, do func(w *world)) func(*world) {
		done := false
		return func(w *world) {
			j := w.rec.Job
			if !done && j.Running() && j.Step < len(j.Steps) && j.Steps[j.Step].Name == name && j.Steps[j.Step].State == pair.StepRuns && w.now.Sub(j.Steps[j.Step].BeganAt) > 3*time.Second {
				done = true
				do(w)
			}
		}
	}
	unset := func(w *world, r pair.Role) {
		u := w.unit(r)
		u.mode, u.works, u.state, u.partner, u.port, u.prefer = pair.RoleUnknown, pair.RoleUnknown, pair.NotConfigured, "", 0, pair.PreferenceUnknown
	}
	tests := []struct {
		name    string
		active  pair.Role
		req     job.Request
		def     func(*pair.Definition)
		before  func(*world)
		event   func(*world)
		want    pair.JobState
		serves  pair.Role
		prefer  pair.Preference // of both
		why     string          // part of the job's reason
		lost    int             // at most
		touched string          // "nothing", or a part of an effect that must have been made
	}{
		{name: "to second, drained: first reboots and no new connection is lost", active: pair.First, req: job.Request{Kind: "switchover"}, want: pair.JobDone, serves: pair.Second, prefer: pair.PreferNone, why: "no interruption", touched: "reboot first"},
		{name: "to first, drained: by preference, and nothing reboots", active: pair.Second, req: job.Request{Kind: "switchover", Unit: pair.First}, want: pair.JobDone, serves: pair.First, prefer: pair.PreferFirst, why: "no interruption"},
		{
			name: "to first where failback is managed: the preference ends as none", active: pair.Second, req: job.Request{Kind: "switchover"},
			def: func(d *pair.Definition) { d.HA.Failback = pair.FailbackManaged }, want: pair.JobDone, serves: pair.First, prefer: pair.PreferNone,
		},
		{name: "already on the target: nothing is touched", active: pair.First, req: job.Request{Kind: "switchover", Unit: pair.First}, want: pair.JobDone, serves: pair.First, prefer: pair.PreferFirst, why: "nothing was touched", touched: "nothing"},
		{
			name: "a standby that does not forward: a person is asked, and the gap is that of the appliances", active: pair.First, req: job.Request{Kind: "switchover"},
			def: func(d *pair.Definition) { d.HA.StandbyForwards = pair.ForwardsNo }, want: pair.JobDone, serves: pair.Second, prefer: pair.PreferNone, why: "interrupted for", lost: 30,
		},
		{
			name: "nobody approves: after an hour it ends, and nothing was touched", active: pair.First, req: job.Request{Kind: "switchover"},
			def: func(d *pair.Definition) { d.HA.StandbyForwards = pair.ForwardsUnknown }, before: func(w *world) { w.approves = false },
			want: pair.JobFailed, serves: pair.First, prefer: pair.PreferFirst, why: "nobody approved", touched: "nothing",
		},
		{
			name: "different firmware is not fit", active: pair.First, req: job.Request{Kind: "switchover"}, before: func(w *world) { w.unit(pair.Second).firmware = "7.2.61.0.1.RELEASE" },
			want: pair.JobFailed, serves: pair.First, prefer: pair.PreferFirst, why: "different firmware", touched: "nothing",
		},
		{
			name: "force overrides that", active: pair.First, req: job.Request{Kind: "switchover", Force: true}, before: func(w *world) { w.unit(pair.Second).firmware = "7.2.61.0.1.RELEASE" },
			want: pair.JobDone, serves: pair.Second, prefer: pair.PreferNone,
		},
		{
			name: "force does not override that the target is gone", active: pair.First, req: job.Request{Kind: "switchover", Force: true}, before: func(w *world) { w.unit(pair.Second).dead = true },
			want: pair.JobFailed, serves: pair.First, prefer: pair.PreferFirst, why: "must answer 503", touched: "nothing",
		},
		{
			name: "somebody else's admin state stops it before it begins", active: pair.First, req: job.Request{Kind: "switchover"}, before: func(w *world) { w.admin["twosecond"] = pair.AdminDown },
			event: at(2*time.Minute, func(w *world) { w.admin["twosecond"] = pair.AdminNone }),
			want:  pair.JobFailed, serves: pair.First, prefer: pair.PreferFirst, why: "Down on second", touched: "nothing",
		},
		{
			name: "a target that does not forward is not fit", active: pair.First, req: job.Request{Kind: "switchover"}, before: func(w *world) { w.unit(pair.Second).broken = true },
			want: pair.JobFailed, serves: pair.First, prefer: pair.PreferFirst, why: "fails check shop", touched: "nothing",
		},
		{
			name: "the target dies while the old unit is Down: everything goes back at once", active: pair.First, req: job.Request{Kind: "switchover"},
			event: atStep("soak", func(w *world) { w.unit(pair.Second).dead = true }),
			want:  pair.JobFailed, serves: pair.First, lost: 20, why: "what is left: haprefered=1", // on a unit that is gone
		},
		{
			name: "the target stops to forward in the soak: everything goes back at once", active: pair.First, req: job.Request{Kind: "switchover"},
			event: atStep("soak", func(w *world) { w.unit(pair.Second).broken = true }),
			want:  pair.JobFailed, serves: pair.First, prefer: pair.PreferFirst, lost: 20,
		},
		{
			name: "the old unit crashes in the soak: it goes on to the end, and says that the unit is not back", active: pair.First, req: job.Request{Kind: "switchover"},
			event: atStep("soak", func(w *world) { w.unit(pair.First).dead = true }),
			want:  pair.JobFailed, serves: pair.Second, why: "is not back yet",
		},
		{
			name: "the old unit crashes and returns: it is done, and nobody rebooted it", active: pair.First, req: job.Request{Kind: "switchover"},
			event: atStep("soak", func(w *world) { w.unit(pair.First).reboot(w.now) }),
			want:  pair.JobDone, serves: pair.Second, prefer: pair.PreferNone,
		},
		{
			name: "the old unit crashes before anything is set Up: the state moves by itself", active: pair.First, req: job.Request{Kind: "switchover"},
			before: func(w *world) { w.takes = 9 * time.Second }, event: atStep("raise", func(w *world) { w.unit(pair.First).reboot(w.now) }),
			want: pair.JobDone, serves: pair.Second, prefer: pair.PreferNone, lost: 30,
		},
		{
			name: "first does not come back after the reboot", active: pair.First, req: job.Request{Kind: "switchover"},
			event: atStep("verify", func(w *world) { w.unit(pair.First).dead = true }),
			want:  pair.JobFailed, serves: pair.Second, why: "first (lm1) is not back yet",
		},
		{
			name: "second does not take over, and first comes back and serves", active: pair.First, req: job.Request{Kind: "switchover"}, before: func(w *world) { w.unit(pair.Second).stuck = true },
			want: pair.JobFailed, serves: pair.First, why: "second (lm2) did not take over", lost: 100,
		},
		{
			name: "first comes back with the wrong role", active: pair.First, req: job.Request{Kind: "switchover"}, before: func(w *world) { w.unit(pair.First).modeAfterBoot = pair.Second },
			want: pair.JobFailed, serves: pair.Second, why: "came back set up as second",
		},
		{
			name: "cancelled in the soak: everything goes back, first is preferred again", active: pair.First, req: job.Request{Kind: "switchover"},
			event: atStep("soak", func(w *world) { w.say(pair.JobCancel) }),
			want:  pair.JobCancelled, serves: pair.First, prefer: pair.PreferFirst, why: "cancelled by bert",
		},
		{
			name: "cancelled when the state has begun to move: refused, and it goes on", active: pair.First, req: job.Request{Kind: "switchover"},
			event: atStep("verify", func(w *world) { w.say(pair.JobCancel) }),
			want:  pair.JobDone, serves: pair.Second, prefer: pair.PreferNone,
		},
		{
			name: "paused in the soak and resumed: nothing stands meanwhile, and it is done", active: pair.First, req: job.Request{Kind: "switchover"},
			before: func(w *world) {
				begin := atStep("soak", func(w *world) { w.say(pair.JobPause) })
				var rested time.Time
				w.event = func(w *world) {
					begin(w)
					if w.rec.Job.State == pair.JobRests && rested.IsZero() {
						rested = w.now
					}
					if !rested.IsZero() && w.now.Equal(rested.Add(3*time.Hour)) {
						if len(w.rec.Admin) > 0 {
							w.fatalf("admin states stand while the job rests")
						}
						w.say(pair.JobResume)
					}
				}
			},
			want: pair.JobDone, serves: pair.Second, prefer: pair.PreferNone,
		},
		{
			name: "paused when the state has moved, and resumed: it goes on from there", active: pair.First, req: job.Request{Kind: "switchover"},
			event: func() func(*world) {
				pause, rested := atStep("release", func(w *world) { w.say(pair.JobPause) }), time.Time{}
				return func(w *world) {
					pause(w)
					if w.rec.Job.State == pair.JobRests && rested.IsZero() {
						rested = w.now
					}
					if !rested.IsZero() && w.now.Equal(rested.Add(20*time.Minute)) {
						w.say(pair.JobResume)
					}
				}
			}(),
			want: pair.JobDone, serves: pair.Second, prefer: pair.PreferNone,
		},
		{
			name: "a person stops everything for an hour: the time does not count, and it is done", active: pair.First, req: job.Request{Kind: "switchover"},
			event: atStep("verify", func(w *world) { w.stop = &pair.Pause{Owner: "bert", Until: w.now.Add(time.Hour)} }),
			want:  pair.JobDone, serves: pair.Second, prefer: pair.PreferNone,
		},
		{
			name: "nobody looks for an hour in the middle of the soak: what expired is taken back first, and it is done", active: pair.First, req: job.Request{Kind: "switchover"},
			event: atStep("soak", func(w *world) { w.dead = w.now.Add(time.Hour) }),
			want:  pair.JobDone, serves: pair.Second, prefer: pair.PreferNone,
		},
		{
			name: "both reboot by somebody else before the move", active: pair.First, req: job.Request{Kind: "switchover"},
			event: atStep("soak", func(w *world) { w.unit(pair.First).reboot(w.now); w.unit(pair.Second).reboot(w.now) }),
			want:  pair.JobFailed, lost: 400,
		},
		{
			name: "both reboot by somebody else after the move", active: pair.First, req: job.Request{Kind: "switchover"},
			event: atStep("verify", func(w *world) {
				w.unit(pair.First).bootsUntil = w.now.Add(4 * time.Minute)
				w.unit(pair.Second).reboot(w.now)
			}),
			lost: 400,
		},
		{
			name: "somebody takes the Down away in the soak: the job ends and takes the rest back", active: pair.First, req: job.Request{Kind: "switchover"},
			event: atStep("soak", func(w *world) { w.admin["onefirst"] = pair.AdminNone }),
			want:  pair.JobFailed, serves: pair.First, prefer: pair.PreferFirst,
		},
		{
			name: "the units lose each other: both serve, the job ends and leaves that to the table", active: pair.Second, req: job.Request{Kind: "switchover"},
			event: atStep("release", func(w *world) { w.unit(pair.First).cut = true; w.unit(pair.Second).state = pair.Active }),
			want:  pair.JobFailed, why: "both units answer 200",
		},

		{
			name: "a pair that is right is not touched", active: pair.First, req: job.Request{Kind: "configure"},
			want: pair.JobDone, serves: pair.First, prefer: pair.PreferFirst, touched: "nothing",
		},
		{
			name: "a new pair: parameters, second reboots, first reboots", req: job.Request{Kind: "configure"}, before: func(w *world) { unset(w, pair.First); unset(w, pair.Second) },
			want: pair.JobDone, serves: pair.First, prefer: pair.PreferFirst, lost: 3600, touched: "configure second,configure first,reboot second,reboot first",
		},
		{
			name: "a wrong partner on a pair that serves: written live, and nobody reboots", active: pair.First, req: job.Request{Kind: "configure"},
			before: func(w *world) { w.unit(pair.Second).partner = "10.0.0.5" },
			want:   pair.JobDone, serves: pair.First, prefer: pair.PreferFirst, touched: "configure second",
		},
		{
			name: "a standby without HA: it alone is set up and rebooted", active: pair.First, req: job.Request{Kind: "configure"}, before: func(w *world) { unset(w, pair.Second) },
			want: pair.JobDone, serves: pair.First, prefer: pair.PreferFirst, touched: "configure second,reboot second",
		},
		{
			name: "the unit that serves has the wrong mode: its partner takes over, drained, before it reboots", active: pair.Second, req: job.Request{Kind: "configure"},
			before: func(w *world) { w.unit(pair.Second).mode = pair.First },
			want:   pair.JobDone, serves: pair.First, prefer: pair.PreferFirst, touched: "reboot second",
		},
		{
			name: "and where a standby does not forward, a person is asked", active: pair.Second, req: job.Request{Kind: "configure"},
			def:    func(d *pair.Definition) { d.HA.StandbyForwards = pair.ForwardsNo },
			before: func(w *world) { w.unit(pair.Second).mode = pair.First },
			want:   pair.JobDone, serves: pair.First, prefer: pair.PreferFirst, touched: "reboot second", lost: 30,
		},
		{
			name: "the unit that serves crashes before the move: it is set up and rebooted when it is back", active: pair.Second, req: job.Request{Kind: "configure"},
			before: func(w *world) { w.unit(pair.Second).mode = pair.First },
			event:  atStep("soak", func(w *world) { w.unit(pair.Second).reboot(w.now) }),
			want:   pair.JobDone, serves: pair.First, prefer: pair.PreferFirst, touched: "configure second,reboot second",
		},
		{
			name: "by itself it reboots nothing", active: pair.First, req: job.Request{Kind: "configure", By: pair.OwnerTandem},
			def: func(d *pair.Definition) { d.Mode = pair.Auto },
			before: func(w *world) {
				w.unit(pair.Second).mode = pair.First
				for _, pool := range w.def.LoadBalancers[0].Pools {
					w.rec.Proofs = append(w.rec.Proofs, pair.LeverProof{LoadBalancer: "ilb", Pool: pool, Back: true})
				}
			},
			want: pair.JobFailed, serves: pair.First, prefer: pair.PreferFirst, touched: "nothing", why: "not done without a person",
		},
		{
			name: "a unit that stays without its mode after the reboot", active: pair.First, req: job.Request{Kind: "configure"},
			before: func(w *world) { unset(w, pair.Second) },
			event: atStep("reboot-second", func(w *world) {
				w.unit(pair.Second).works, w.unit(pair.Second).mode, w.unit(pair.Second).dead = pair.RoleUnknown, pair.RoleUnknown, true
			}),
			want: pair.JobFailed, serves: pair.First, why: "second (lm2) is not back yet",
		},
		{
			name: "second serves and is set up right: its preference stays suspended", active: pair.Second, req: job.Request{Kind: "configure"}, before: func(w *world) { unset(w, pair.First) },
			want: pair.JobDone, serves: pair.Second, prefer: pair.PreferNone, touched: "reboot first",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			def := edge()
			if tt.def != nil {
				tt.def(&def)
			}
			w := newWorld(t, def, tt.active)
			if tt.before != nil {
				tt.before(w)
			}
			if tt.event != nil {
				w.event = tt.event
			}
			w.start(tt.req)
			j := w.play()
			if tt.want != pair.JobUnknown && j.State != tt.want {
				w.fatalf("the job is %s (%s), want %s", j.State, j.Why, tt.want)
			}
			if !strings.Contains(j.Why, tt.why) {
				w.fatalf("why is %q, want %q in it", j.Why, tt.why)
			}
			if tt.serves != pair.RoleUnknown && (w.unit(tt.serves).state != pair.Active || w.unit(tt.serves.Other()).check(w.now) == pair.CheckServing) {
				w.fatalf("%s must serve alone: %s", tt.serves, w.endState())
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
			for part := range strings.SplitSeq(tt.touched, ",") {
				if part != "nothing" && !strings.Contains(effects, part) {
					w.fatalf("effects are %s, want %s", effects, part)
				}
			}
		})
	}
}

// TestAKillAtEveryEffectChangesNothing stops after each effect in turn: it fails, its
// outcome stays unknown, it happens twice, or the worker dies. The end is that of the
// undisturbed run.
func TestAKillAtEveryEffectChangesNothing(t *testing.T) {
	setups := []struct {
		name  string
		world func(t testing.TB) *world
	}{
		{"switchover to second", func(t testing.TB) *world {
			w := newWorld(t, edge(), pair.First)
			w.start(job.Request{Kind: switchover.Kind, Unit: pair.Second})
			return w
		}},
		{"switchover to first", func(t testing.TB) *world {
			w := newWorld(t, edge(), pair.Second)
			w.start(job.Request{Kind: switchover.Kind, Unit: pair.First})
			return w
		}},
		{"switchover with a gap", func(t testing.TB) *world {
			def := edge()
			def.HA.StandbyForwards = pair.ForwardsNo
			w := newWorld(t, def, pair.First)
			w.start(job.Request{Kind: switchover.Kind, Unit: pair.Second})
			return w
		}},
		{"configure from nothing", func(t testing.TB) *world {
			w := newWorld(t, edge(), pair.RoleUnknown)
			for _, u := range w.units {
				u.mode, u.works, u.state, u.partner, u.port = pair.RoleUnknown, pair.RoleUnknown, pair.NotConfigured, "", 0
			}
			w.start(job.Request{Kind: configure.Kind})
			return w
		}},
		{"configure with a move", func(t testing.TB) *world {
			w := newWorld(t, edge(), pair.Second)
			w.unit(pair.Second).mode = pair.First
			w.start(job.Request{Kind: configure.Kind})
			return w
		}},
		{"replace first", func(t testing.TB) *world { return taking(t, pair.First) }},
		{"replace second", func(t testing.TB) *world { return taking(t, pair.Second) }},
	}
	for _, s := range setups {
		t.Run(s.name, func(t *testing.T) {
			calm := s.world(t)
			calm.play()
			want, effects := calm.endState(), calm.effects
			if calm.rec.Job.State != pair.JobDone || effects < 3 {
				calm.fatalf("the undisturbed run: %s after %d effects", want, effects)
			}
			for kill := 1; kill <= effects; kill++ {
				for _, out := range []outcome{fails, unknown, twice, died} {
					for _, again := range []int{0, 1} { // and the one after it too
						w := s.world(t)
						w.outcome = func(_ *world, n int, _ pair.Intent) outcome {
							if n >= kill && n <= kill+again {
								return out
							}
							return works
						}
						w.play()
						if got := w.endState(); got != want {
							w.fatalf("effect %d %s, %d more: ended %s: %s; want %s", kill, out, again, got, w.rec.Job.Why, want)
						}
					}
				}
			}
		})
	}
}

// TestNoFaultBreaksAPromise throws random faults at random jobs. The promises are
// checked by the world at each second: never both Down, never Down where the other
// one is not proved, nothing of ours stands at the end, and there is an end.
func TestNoFaultBreaksAPromise(t *testing.T) {
	runs := uint64(150)
	if testing.Short() {
		runs = 40
	}
	ends := map[pair.JobState]int{}
	for seed := range runs {
		rng := source(seed)
		def := edge()
		def.HA.StandbyForwards = pair.Forwards(1 + rng.IntN(2))
		w := newWorld(t, def, pair.Roles[rng.IntN(2)])
		w.note("seed %d", seed)
		for _, u := range w.units {
			u.slow = time.Duration(20+rng.IntN(400)) * time.Second
		}
		w.takes = time.Duration(1+rng.IntN(20)) * time.Second
		w.outcome = func(*world, int, pair.Intent) outcome {
			if rng.IntN(8) == 0 {
				return outcome(rng.IntN(5))
			}
			return works
		}
		faults := rng.IntN(4)
		w.event = func(w *world) {
			if faults == 0 || rng.IntN(240) != 0 {
				return
			}
			faults--
			u := w.units[rng.IntN(2)]
			switch rng.IntN(9) {
			case 0:
				u.reboot(w.now)
				w.note("%s reboots", u.role)
			case 1:
				u.dead = true
				w.note("%s dies", u.role)
			case 2:
				u.broken = !u.broken
				w.note("%s broken: %t", u.role, u.broken)
			case 3:
				u.cut = !u.cut
				w.note("%s cut: %t", u.role, u.cut)
			case 4:
				w.dead = w.now.Add(time.Duration(rng.IntN(3600)) * time.Second)
				w.note("nobody looks until %s", w.dead)
			case 5:
				w.stop = &pair.Pause{Owner: "bert", Until: w.now.Add(time.Duration(rng.IntN(1800)) * time.Second)}
				w.note("a person stops everything")
			case 6:
				if w.rec.Job.Running() {
					w.say([]string{pair.JobCancel, pair.JobPause, pair.JobResume, pair.JobApprove}[rng.IntN(4)])
					w.note("a person says %s", w.rec.Job.Said.Word)
				}
			case 7:
				u.prefer = pair.Preference(1 + rng.IntN(2))
				w.note("somebody has %s prefer %s", u.role, u.prefer)
			case 8:
				u.modeAfterBoot = u.role.Other()
			}
		}
		resume, anew := w.event, pair.RoleUnknown
		w.event = func(w *world) {
			resume(w)
			if anew != pair.RoleUnknown && rng.IntN(300) == 0 {
				u := w.unit(anew)
				u.bare = u.bare && u.unlicensed // first the one, then the other
				u.unlicensed = false
			}
			if w.rec.Job.State == pair.JobRests && w.rec.Job.Said == nil && w.now.Unix()%900 == 0 {
				w.say(pair.JobResume)
			}
		}
		req := job.Request{Kind: switchover.Kind, Force: rng.IntN(4) == 0}
		if rng.IntN(3) == 0 {
			req = job.Request{Kind: configure.Kind}
			w.units[rng.IntN(2)].mode = pair.Role(rng.IntN(3))
		}
		if rng.IntN(4) == 0 {
			anew = pair.Second
			if w.unit(pair.Second).state == pair.Active {
				anew = pair.First
			}
			w.unit(anew).blank()
			req = job.Request{Kind: replace.Kind, Unit: anew}
		}
		w.start(req)
		ends[w.play().State]++
	}
	if ends[pair.JobDone] == 0 || ends[pair.JobFailed] == 0 || ends[pair.JobCancelled] == 0 {
		t.Errorf("ends are %v, want some of each", ends)
	}
	t.Logf("ends: %v", ends)
}
