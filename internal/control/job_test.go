package control_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/control"
	"tandem/internal/pair"
)

// script is a job whose first step wants what the test says, and whose second one
// waits.
type script struct{ wants []pair.Intent }

func (s *script) Propose(in *pair.Input) *pair.Proposal {
	p := &pair.Proposal{Job: *in.Record.Job.Clone(), Keep: true, Read: true, Next: pair.Duration(2 * time.Second)}
	if p.Job.Step == 0 {
		p.Intents, p.Job.Step = s.wants, 1
	}
	return p
}

func (s *script) Begin(asked pair.Job, _ *pair.Definition) (pair.Job, error) {
	asked.V, asked.MinReader, asked.State = pair.Version, pair.MinReader, pair.JobRuns
	asked.Steps = []pair.JobStep{{Name: "fit"}}
	return asked, nil
}

// labour is what jobs ask of the units, and what came of it.
type labour struct {
	did []string
	err error
}

func (l *labour) Reboot(_ context.Context, u pair.Unit) error {
	l.did = append(l.did, "reboot "+u.VM)
	return l.err
}

func (l *labour) Configure(_ context.Context, d *pair.Definition, r pair.Role, prefer pair.Preference) (pair.Report, error) {
	l.did = append(l.did, fmt.Sprintf("configure %s, prefers %s", d.Units.Of(r).VM, prefer))
	return pair.Report{}, l.err
}

func (l *labour) Inventory(_ context.Context, u pair.Unit) (pair.InventorySeen, error) {
	return pair.InventorySeen{Licensed: u.VM == "lm1", Services: 2}, l.err
}

func (l *labour) Connections(_ context.Context, u pair.Unit) (int, error) {
	return map[string]int{"lm1": 7, "lm2": 3}[u.VM], l.err
}

// working is a healthy pair whose job is at work, with the worker that carries it
// on. first serves.
func working(t *testing.T, wants []pair.Intent, change ...func(*pair.Definition)) (*world, *labour, func()) {
	t.Helper()
	w := newWorld(t, append([]func(*pair.Definition){believing, forwarding}, change...)...)
	w.passes(1)
	atWork(w)
	l := &labour{}
	c := w.controller(&effects{}, func(o *control.Options) { o.Jobs, o.Works = &script{wants: wants}, l })
	return w, l, func() {
		t.Helper()
		if err := c.Pass(t.Context(), edge, pair.Cause{Kind: pair.CauseSweep}); err != nil {
			t.Fatal(err)
		}
	}
}

var (
	raiseSecond  = pair.Intent{Kind: pair.IntentRaise, LoadBalancer: "ilb", Pool: "pool", Unit: pair.Second, Want: pair.AdminUp}
	drainFirst   = pair.Intent{Kind: pair.IntentDrain, LoadBalancer: "ilb", Pool: "pool", Unit: pair.First, Want: pair.AdminDown}
	rebootFirst  = pair.Intent{Kind: pair.IntentReboot, Unit: pair.First}
	rebootSecond = pair.Intent{Kind: pair.IntentReboot, Unit: pair.Second}
	preferFirst  = pair.Intent{Kind: pair.IntentPrefer, Unit: pair.Second, Prefer: pair.PreferFirst}
	configure    = pair.Intent{Kind: pair.IntentConfigure, Unit: pair.Second, Prefer: pair.PreferNone}
)

// TestALastLookStandsBeforeEachEffectOfAJob: the job wants it in every row; whether
// it is done is the guard's word.
func TestALastLookStandsBeforeEachEffectOfAJob(t *testing.T) {
	up := (*world).holdsUp
	job := func(change func(*pair.Job)) func(*world) {
		return func(w *world) {
			w.amend(func(rec *pair.Record) {
				j := rec.Job.Clone()
				change(j)
				rec.Job = j
			})
		}
	}
	tests := []struct {
		name  string
		want  pair.Intent
		given []func(*world)
		def   func(*pair.Definition)
		done  string // empty: nothing was done
	}{
		{"Up on a standby that forwards", raiseSecond, nil, nil, "second Up"},
		{"no Up on one that does not", raiseSecond, []func(*world){func(w *world) { w.units.of[secondAddr].forwards = false }}, nil, ""},
		{"no Up where the pair file does not say that a standby forwards", raiseSecond, nil, func(d *pair.Definition) { d.HA.StandbyForwards = pair.ForwardsUnknown }, ""},
		{"no Down while nothing sends traffic to the other one", drainFirst, nil, nil, ""},
		{"Down while the other one is Up and forwards", drainFirst, []func(*world){up}, nil, "first Down"},
		{"Down while the other one answers 200", drainFirst, []func(*world){(*world).split}, nil, "first Down"},
		{"no reboot of the only one that serves", rebootFirst, nil, nil, ""},
		{"a reboot of it where a person approved the gap", rebootFirst, []func(*world){job(func(j *pair.Job) { j.Consented = true })}, nil, "reboot lm1"},
		{"a reboot of it by force", rebootFirst, []func(*world){job(func(j *pair.Job) { j.Force = true })}, nil, "reboot lm1"},
		{"no reboot of it while its partner is silent, whoever approved", rebootFirst, []func(*world){
			job(func(j *pair.Job) { j.Consented, j.Force = true, true }), func(w *world) { w.units.set(pair.Second, pair.StateUnknown) },
		}, nil, ""},
		{"a reboot of it while its partner is Up and forwards", rebootFirst, []func(*world){up}, nil, "reboot lm1"},
		{"a reboot of it while its partner answers 200", rebootFirst, []func(*world){(*world).split}, nil, "reboot lm1"},
		{"a reboot of the standby", rebootSecond, nil, nil, "reboot lm2"},
		{"no preference for first while second serves", preferFirst, []func(*world){func(w *world) {
			w.units.set(pair.First, pair.Standby)
			w.units.set(pair.Second, pair.Active)
			w.units.of[secondAddr].preferred = pair.PreferNone
		}}, nil, ""},
		{"that is how a switchover to first moves, once it is committed", preferFirst, []func(*world){func(w *world) {
			w.units.set(pair.First, pair.Standby)
			w.units.set(pair.Second, pair.Active)
			w.units.of[secondAddr].preferred = pair.PreferNone
		}, job(func(j *pair.Job) { j.Unit, j.Committed = pair.First, true })}, nil, "second prefers first"},
		{"HA parameters", configure, nil, nil, "configure lm2, prefers none"},
		{"no HA parameters with credentials that were refused", configure, []func(*world){func(w *world) {
			w.amend(func(rec *pair.Record) { rec.Units[1].Refusal = &pair.Refusal{Until: time.Now().Add(time.Hour)} })
		}}, nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				def := tt.def
				if def == nil {
					def = onePool
				}
				w, l, pass := working(t, []pair.Intent{tt.want}, def)
				for _, given := range tt.given {
					given(w)
				}
				before := w.platform.states()
				preferred := w.units.of[secondAddr].preferred
				pass()
				time.Sleep(5 * time.Second)
				did := slices.Clone(l.did)
				for who, now := range w.platform.states() {
					if before[who] != now && slices.Contains([]string{"second Up", "first Down"}, tt.done) {
						did = append(did, tt.done)
					} else if before[who] != now {
						did = append(did, fmt.Sprintf("%s is %s", who, now))
					}
				}
				if now := w.units.of[secondAddr].preferred; now != preferred {
					did = append(did, "second prefers "+now.String())
				}
				if want := slices.DeleteFunc([]string{tt.done}, func(s string) bool { return s == "" }); !slices.Equal(did, want) {
					t.Errorf("done: %q, want %q", did, want)
				}
				w.kept()
			})
		})
	}
}

// TestARebootIsAskedForOnce: a unit that may have heard it is not asked again for
// the same intent, and the job, which looks at its boot time, may want another.
func TestARebootIsAskedForOnce(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w, l, pass := working(t, []pair.Intent{rebootSecond})
		l.err = pair.ErrUnknownOutcome
		for range 5 {
			pass()
			time.Sleep(10 * time.Second)
		}
		if len(l.did) != 1 || len(w.load().Intents) != 0 {
			t.Errorf("done %q, open %v; want one reboot, and nothing open", l.did, w.load().Intents)
		}
	})
}

// TestAJobHasAQueueOfItsOwn, so that neither keeps the other waiting.
func TestAJobHasAQueueOfItsOwn(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w, _, pass := working(t, []pair.Intent{rebootSecond})
		w.messages()
		pass()
		time.Sleep(5 * time.Second)
		taken, err := w.account.Dequeue(t.Context(), pair.QueueJobs, 32, time.Minute)
		if err != nil || len(taken) != 1 || len(w.messages()) != 0 {
			t.Errorf("%d messages for jobs, %v; want the next look there, and none for pairs", len(taken), err)
		}
	})
}

// TestConnectionsAreCountedWhereTheJobWantsThat, and what is not known is not zero.
func TestConnectionsAreCountedWhereTheJobWantsThat(t *testing.T) {
	for _, broken := range []bool{false, true} {
		inBubble(t, func(t *testing.T) {
			w, l, _ := working(t, nil)
			if broken {
				l.err = pair.ErrUnreadable
			}
			var counted []pair.FlowsSeen
			counting := jobsFunc(func(in *pair.Input) *pair.Proposal {
				counted = []pair.FlowsSeen{in.Observation.Units[0].Flows, in.Observation.Units[1].Flows}
				return &pair.Proposal{Job: *in.Record.Job, Count: true}
			})
			c := w.controller(&effects{}, func(o *control.Options) { o.Jobs, o.Works = counting, l })
			if err := c.Pass(t.Context(), edge, pair.Cause{Kind: pair.CauseSweep}); err != nil {
				t.Fatal(err)
			}
			known := !counted[0].At.IsZero() && counted[0].Count == 7 && counted[1].Count == 3
			if known == broken {
				t.Errorf("broken %v: counted %+v", broken, counted)
			}
		})
	}
}

// TestUnitsAreInspectedWhereTheJobWantsThat: both tell what they have, and the checks
// are made on the one, although it stands by and no standby forwards here.
func TestUnitsAreInspectedWhereTheJobWantsThat(t *testing.T) {
	for _, broken := range []bool{false, true} {
		inBubble(t, func(t *testing.T) {
			w, l, _ := working(t, nil, func(d *pair.Definition) { d.HA.StandbyForwards = pair.ForwardsNo })
			if broken {
				l.err = pair.ErrUnreadable
			}
			var seen pair.Observation
			inspecting := jobsFunc(func(in *pair.Input) *pair.Proposal {
				seen = in.Observation
				return &pair.Proposal{Job: *in.Record.Job, Inspect: pair.Second}
			})
			c := w.controller(&effects{}, func(o *control.Options) { o.Jobs, o.Works = inspecting, l })
			if err := c.Pass(t.Context(), edge, pair.Cause{Kind: pair.CauseSweep}); err != nil {
				t.Fatal(err)
			}
			first, second := seen.Units[0].Inventory, seen.Units[1].Inventory
			if known := !first.At.IsZero() && first.Licensed && !second.Licensed && second.Services == 2; known == broken {
				t.Errorf("broken %v: told %+v and %+v", broken, first, second)
			}
			if got := seen.Units[1].Service.Answer; got == pair.ServiceUnknown {
				t.Errorf("broken %v: the checks were not made on second", broken)
			}
		})
	}
}

// jobsFunc proposes by a function.
type jobsFunc func(in *pair.Input) *pair.Proposal

func (f jobsFunc) Propose(in *pair.Input) *pair.Proposal { return f(in) }
func (f jobsFunc) Begin(pair.Job, *pair.Definition) (pair.Job, error) {
	return pair.Job{}, pair.ErrInvalid
}

// TestAMoveOfOurOwnBeginsAJob, once.
func TestAMoveOfOurOwnBeginsAJob(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w, l, _ := working(t, nil, func(d *pair.Definition) { d.HA.Failback = pair.FailbackManaged })
		w.amend(func(rec *pair.Record) {
			rec.Job = nil
			rec.Since = time.Now().Add(-time.Hour)
		})
		w.units.set(pair.First, pair.Standby)
		w.units.set(pair.Second, pair.Active)
		w.units.of[firstAddr].preferred, w.units.of[secondAddr].preferred = pair.PreferNone, pair.PreferNone
		c := w.controller(&effects{}, func(o *control.Options) { o.Jobs, o.Works = &script{}, l })
		for range 3 {
			if err := c.Pass(t.Context(), edge, pair.Cause{Kind: pair.CauseSweep}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Second)
		}
		rec := w.load().Record
		if rec.Job == nil || rec.Job.By != pair.OwnerTandem || rec.Job.Unit != pair.First || rec.Job.State != pair.JobRuns || len(rec.Moves) != 1 {
			t.Fatalf("job %+v, moves %v; want a switchover to first of our own", rec.Job, rec.Moves)
		}
		if rows := w.rows(); !slices.Contains(rows, "move") || rows[len(rows)-1] != "job" && rows[len(rows)-1] != "move" {
			t.Errorf("rows %v", rows)
		}
	})
}

// TestAJobWhoseMessageFailsAgainAndAgainIsUndone, with the reason, instead of going
// to the poison queue where nobody looks.
func TestAJobWhoseMessageFailsAgainAndAgainIsUndone(t *testing.T) {
	tests := []struct {
		name   string
		change func(*pair.Message, *pair.Job)
		undone bool
	}{
		{"after twenty times", func(*pair.Message, *pair.Job) {}, true},
		{"not before", func(m *pair.Message, _ *pair.Job) { m.Attempt-- }, false},
		{"not another job", func(m *pair.Message, _ *pair.Job) { m.Job = "edge-000000000000-001" }, false},
		{"not once the active state moves", func(_ *pair.Message, j *pair.Job) { j.Committed = true }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w, l, _ := working(t, nil)
				m := pair.Message{V: 1, Kind: "wake", Pairs: []string{edge}, Job: w.load().Record.Job.ID, Cause: pair.Cause{Kind: pair.CausePerson}, Attempt: 20}
				w.amend(func(rec *pair.Record) {
					rec.Job = rec.Job.Clone()
					tt.change(&m, rec.Job)
				})
				broken := jobsFunc(func(*pair.Input) *pair.Proposal { panic("a mistake") })
				waker := &control.Waker{Index: w.store, Queue: w.store, Log: slog.New(w.log), Controller: w.controller(&effects{}, func(o *control.Options) { o.Jobs, o.Works = broken, l })}
				err := waker.Reconcile(t.Context(), m)
				j := w.load().Record.Job
				if undone := j.State == pair.JobUndoes && strings.Contains(j.Why, "a mistake"); undone != tt.undone {
					t.Errorf("job %+v, %v", j, err)
				}
				if (err == nil) != (tt.undone || m.Attempt < 20) {
					t.Errorf("the host is told %v", err)
				}
			})
		})
	}
}
