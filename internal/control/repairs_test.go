package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/control"
	"tandem/internal/pair"
)

// mender is a controller over a pair with all its documents.
type mender struct {
	*control.Controller
	w      *world
	docs   *documents
	brakes *recordedBrakes
}

func newMender(t *testing.T, change ...func(*pair.Definition)) *mender {
	t.Helper()
	w := newWorld(t, append([]func(*pair.Definition){believing, deployed}, change...)...)
	m := &mender{w: w, docs: w.deploy(), brakes: &recordedBrakes{fails: map[string]error{}}}
	m.Controller = w.controller(&effects{}, func(o *control.Options) {
		o.Resources, o.Brakes, o.Platform = m.docs, m.brakes, &documentOperations{o.Platform, m.docs}
	})
	m.look(pair.CauseSweep)
	m.docs.wrote, m.docs.reads = nil, 0
	return m
}

func (m *mender) look(kind pair.CauseKind) {
	m.w.t.Helper()
	if err := m.Pass(m.w.t.Context(), edge, pair.Cause{Kind: kind, By: "bob"}); err != nil {
		m.w.t.Fatal(err)
	}
}

// sweeps makes passes every 15 s for a while.
func (m *mender) sweeps(d time.Duration) {
	m.w.t.Helper()
	for range d / (15 * time.Second) {
		time.Sleep(15 * time.Second)
		m.look(pair.CauseSweep)
	}
}

// decided brings the pair to the pass that decides a repair, and makes it.
func (m *mender) decided() {
	m.w.t.Helper()
	m.look(pair.CauseResource)
	time.Sleep(pair.DriftSettles)
	m.look(pair.CauseSweep)
}

func (m *mender) differs() bool { return strings.Contains(string(m.docs.of[ilb()]), `"/x"`) }

// recordedBrakes notes what it is asked for, and refuses what a test wants.
type recordedBrakes struct {
	openBrakes
	asked []string
	fails map[string]error
}

func (k *recordedBrakes) ask(what string) error {
	k.asked = append(k.asked, what)
	if err := k.fails[what]; err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

func (k *recordedBrakes) AcquireWriter(_ context.Context, resource pair.ResourceID, w pair.Writer, _ time.Time, _ time.Duration) (pair.Writer, error) {
	w.Resource = resource
	return w, k.ask(fmt.Sprintf("write %s for %s as %s", resource.Name(), w.Pair, w.Rank))
}

func (k *recordedBrakes) ReleaseWriter(_ context.Context, w pair.Writer) error {
	return k.ask("let " + w.Resource.Name() + " go")
}

func (k *recordedBrakes) TakeSlot(_ context.Context, name string, _ int, _ time.Time, _ time.Duration) error {
	return k.ask("slot for " + name)
}

func (k *recordedBrakes) GiveSlot(_ context.Context, name string) error {
	return k.ask("slot of " + name)
}

// TestWhenAPairIsComparedWithItsFile counts the comparisons.
func TestWhenAPairIsComparedWithItsFile(t *testing.T) {
	tests := []struct {
		name string
		do   func(*mender)
		want int
	}{
		{"not again for half an hour", func(m *mender) { m.sweeps(30*time.Minute - 15*time.Second) }, 0},
		{"after half an hour", func(m *mender) { m.sweeps(30 * time.Minute) }, 1},
		{"after an event about its resources, each time", func(m *mender) {
			m.look(pair.CauseResource)
			m.look(pair.CauseResource)
		}, 2},
		{"not after other events", func(m *mender) { m.look(pair.CauseVM) }, 0},
		{"while a person wants it written", func(m *mender) {
			m.w.change(func(rec *pair.Record) { rec.Wish = &pair.Wish{Plan: "none", By: "ann", At: time.Now()} })
			m.look(pair.CauseSweep)
			m.look(pair.CauseSweep)
		}, 1},
		{"every minute while it differs and nothing may be done", func(m *mender) {
			m.w.change(func(rec *pair.Record) { rec.Pause = &pair.Pause{Owner: "ann"} })
			m.docs.drifted()
			m.look(pair.CauseResource)
			m.sweeps(5 * time.Minute)
		}, 6},
		{"while a fence stands not at each event", func(m *mender) {
			m.w.split()
			m.look(pair.CauseSweep)
			m.look(pair.CauseResource)
			m.look(pair.CauseResource)
		}, 0},
		{"while a fence stands each minute, because what cut the link may stand there", func(m *mender) {
			m.w.split()
			m.look(pair.CauseSweep)
			m.sweeps(3 * time.Minute)
		}, 3},
		{"not while another admin state of ours stands", func(m *mender) {
			m.w.holdsUp()
			m.look(pair.CauseResource)
		}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				m := newMender(t)
				tt.do(m)
				if m.docs.reads != tt.want {
					t.Errorf("compared %d times, want %d; rows %v", m.docs.reads, tt.want, m.w.rows())
				}
			})
		})
	}
}

// TestComparingWaitsForRoom: many pairs share what may be asked of Resource
// Manager when nothing happens.
func TestComparingWaitsForRoom(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		m := newMender(t)
		for range 40 { // each is due, and no time passes
			m.Forget(edge)
			m.look(pair.CauseSweep)
		}
		if m.docs.reads < 10 || m.docs.reads > 18 {
			t.Errorf("compared %d times of 40, want as often as there is room for 150 requests", m.docs.reads)
		}
		time.Sleep(time.Minute)
		reads := m.docs.reads
		m.Forget(edge)
		m.look(pair.CauseSweep)
		if m.docs.reads != reads+1 {
			t.Error("not compared when there is room again")
		}
	})
}

// TestWhatAComparisonSays looks at what is remembered of it.
func TestWhatAComparisonSays(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(*mender)
		says  string // empty: nothing is remembered
	}{
		{"nothing differs", func(*mender) {}, ""},
		{"a field differs", func(m *mender) { m.docs.drifted() }, "update ilb on ilb: 1 change, properties.probes[name=check].properties.requestPath"},
		{"a load balancer is missing", func(m *mender) { m.docs.of[ilb()] = nil }, "create ilb on ilb"},
		{"it cannot be read now, which says nothing", func(m *mender) { m.docs.onRead = func(pair.ResourceID) error { return pair.ErrUnreachable } }, ""},
		{"it must not be read", func(m *mender) {
			m.docs.onRead = func(pair.ResourceID) error { return pair.ErrRefused }
		}, "what there is cannot be read"},
		{"a field differs, and a unit has another check port than the file: the load balancer may be right", func(m *mender) {
			m.docs.drifted()
			m.w.units.of[addrOf(pair.Second)].checkPort = 8445
		}, "the second unit itself says 8445"},
		{"a unit has another check port, and nothing differs", func(m *mender) { m.w.units.of[addrOf(pair.Second)].checkPort = 8445 }, ""},
		{"the pair file asks for what cannot be had", func(m *mender) { delete(m.docs.of, vmOf(pair.First)) }, "lm1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				m := newMender(t)
				tt.spoil(m)
				m.look(pair.CauseResource)
				said := ""
				if d := m.w.load().Record.Drift; d != nil {
					said = d.Refusal
					for _, s := range d.Steps {
						verb := "update"
						if s.Create {
							verb = "create"
						}
						said += fmt.Sprintf("%s %s on %s: %d change, %s", verb, s.Resource.Name(), s.LoadBalancer, s.Changes, strings.Join(s.Fields, ", "))
					}
					if d.By != "bob" {
						t.Errorf("changed by %q, want bob", d.By)
					}
				}
				if (said == "") != (tt.says == "") || !strings.Contains(said, tt.says) {
					t.Errorf("remembered %q, want %q", said, tt.says)
				}
			})
		})
	}
}

func vmOf(r pair.Role) pair.ResourceID {
	d := definition()
	return d.VMID(r)
}

// TestManyRefusalsAreOneSentence: the first is told, and how many there are.
func TestManyRefusalsAreOneSentence(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		m := newMender(t)
		delete(m.docs.of, vmOf(pair.First))
		m.look(pair.CauseResource)
		one := m.w.load().Record.Drift.Refusal
		if strings.Contains(one, "more (tandem plan)") {
			t.Errorf("one refusal reads %q", one)
		}
		delete(m.docs.of, vmOf(pair.Second))
		m.look(pair.CauseResource)
		if got := m.w.load().Record.Drift.Refusal; got != one+"; and 1 more (tandem plan)" {
			t.Errorf("two refusals read %q, want the first, %q, and that there is one more", got, one)
		}
	})
}

func TestARepairWritesWhatThePairFileSays(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		m := newMender(t)
		m.docs.drifted()
		m.look(pair.CauseResource)
		if len(m.docs.wrote) != 0 || !m.differs() {
			t.Fatal("repaired what was seen once")
		}
		m.decided()
		rec := m.w.load().Record
		if m.differs() || !slices.Equal(m.docs.wrote, []string{"ilb"}) || len(m.w.load().Intents) != 0 {
			t.Fatalf("wrote %v, intents %+v; want the load balancer put right, once; rows %v", m.docs.wrote, m.w.load().Intents, m.w.rows())
		}
		if r := rec.Repairs; len(r) != 1 || r[0].By != "bob" || !strings.HasSuffix(r[0].Field, "requestPath") {
			t.Errorf("repairs %+v, want the one", r)
		}
		m.look(pair.CauseSweep)
		if rec := m.w.load().Record; rec.Drift != nil {
			t.Errorf("drift %+v, want that the next pass sees that nothing differs", rec.Drift)
		}
		want := []string{"slot for edge", "write ilb for edge as repair", "let ilb go", "slot of edge"}
		if !slices.Equal(m.brakes.asked, want) {
			t.Errorf("asked the brakes for %q, want %q", m.brakes.asked, want)
		}
	})
}

// TestStepsOfARepairComeOneAfterTheOther: what refers to something is written
// after it, and not at all when that fails.
func TestStepsOfARepairComeOneAfterTheOther(t *testing.T) {
	two := func(m *mender) {
		m.docs.drifted()
		for id, doc := range m.docs.of {
			if id.Name() == "lm1-nic" {
				if !strings.Contains(string(doc), "loadBalancerBackendAddressPools") {
					m.w.t.Fatalf("the interface is in no pool: %s", doc)
				}
				m.docs.edit(id, "loadBalancerBackendAddressPools", "nothing")
			}
		}
	}
	t.Run("all is well", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			m := newMender(t)
			two(m)
			m.decided()
			m.sweeps(time.Minute)
			if !slices.Equal(m.docs.wrote, []string{"ilb", "lm1-nic"}) || m.w.load().Record.Drift != nil {
				t.Errorf("wrote %v, drift %+v; want the load balancer, then the interface, and nothing left", m.docs.wrote, m.w.load().Record.Drift)
			}
			slots := slices.DeleteFunc(m.brakes.asked, func(s string) bool { return !strings.HasPrefix(s, "slot of") })
			if len(slots) != 1 {
				t.Errorf("the slot was given back %d times, want once, at the end", len(slots))
			}
		})
	})
	t.Run("the first one fails for good", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			m := newMender(t)
			two(m)
			m.docs.onWrite = func(pair.ResourceID) error { return pair.ErrRefused }
			m.decided()
			if n := len(m.w.load().Intents); n != 2 {
				t.Fatalf("%d intents after the first try, want both", n)
			}
			tried := 0
			m.docs.onWrite = func(id pair.ResourceID) error {
				if tried++; id != ilb() {
					t.Errorf("%s was written before the load balancer", id.Name())
				}
				return pair.ErrRefused
			}
			m.sweeps(8 * time.Minute)
			rec := m.w.load().Record
			if n := len(m.w.load().Intents); n != 0 || tried != control.AttemptsMax-1 {
				t.Fatalf("%d intents after %d more tries, want none after %d", n, tried, control.AttemptsMax-1)
			}
			if rec.Drift == nil || !strings.Contains(rec.Drift.LastErr, "refused") || time.Until(rec.Drift.NotBefore) <= 0 || time.Until(rec.Drift.NotBefore) > pair.RepairAgain {
				t.Errorf("drift %+v, want that it rests", rec.Drift)
			}
			m.docs.onWrite = nil
			m.sweeps(pair.RepairAgain + time.Minute)
			if !slices.Equal(m.docs.wrote, []string{"ilb", "lm1-nic"}) {
				t.Errorf("wrote %v after the rest, want both", m.docs.wrote)
			}
		})
	})
}

// TestARepairOfSomethingElseIsNotMade lets the world move between the decision
// and the write.
func TestARepairOfSomethingElseIsNotMade(t *testing.T) {
	tests := []struct {
		name  string
		moves func(*mender)
		left  bool // something differs still
	}{
		{"somebody put it right", func(m *mender) { m.docs.edit(ilb(), `"/x"`, `"/"`) }, false},
		{"somebody changed more", func(m *mender) { m.docs.edit(ilb(), `"port":8444`, `"port":8445`) }, true},
		{"somebody changed it again", func(m *mender) { m.docs.edit(ilb(), `"/x"`, `"/y"`) }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				m := newMender(t)
				m.docs.drifted()
				m.brakes.fails["slot for edge"] = pair.ErrBusy
				m.decided()
				if n := len(m.w.load().Intents); n != 1 {
					t.Fatalf("%d intents, want one that waits", n)
				}
				tt.moves(m)
				delete(m.brakes.fails, "slot for edge")
				time.Sleep(20 * time.Second)
				m.look(pair.CauseSweep)
				snap := m.w.load()
				if len(m.docs.wrote) != 0 || len(snap.Intents) != 0 {
					t.Fatalf("wrote %v, intents %+v; want none", m.docs.wrote, snap.Intents)
				}
				if tt.left && !snap.Record.Drift.NotBefore.IsZero() {
					t.Errorf("it rests until %v, want it decided anew", snap.Record.Drift.NotBefore)
				}
				if m.decided(); tt.left != (len(m.docs.wrote) == 1) {
					t.Errorf("wrote %v afterwards, want one write: %t", m.docs.wrote, tt.left)
				}
			})
		})
	}
}

// TestARepairThatCannotGoOnIsTriedAgain lets one thing be in the way of it.
func TestARepairThatCannotGoOnIsTriedAgain(t *testing.T) {
	// only the readings after those of the comparison, of which there is one in
	// each pass that decides
	later := func(m *mender, err error) func() {
		m.docs.onRead = func(pair.ResourceID) error {
			if len(m.w.load().Intents) > 0 {
				return err
			}
			return nil
		}
		return func() { m.docs.onRead = nil }
	}
	brake := func(what string) func(*mender) func() {
		return func(m *mender) func() {
			m.brakes.fails[what] = pair.ErrBusy
			return func() { delete(m.brakes.fails, what) }
		}
	}
	tests := []struct {
		name string
		is   func(*mender) (over func())
		says string // empty where another pair is at work there, which is no attempt
	}{
		{"too many pairs are changed", brake("slot for edge"), "wait for other pairs that are changed"},
		{"too much was asked of the subscription", func(m *mender) func() { return later(m, pair.ErrThrottled) }, "read the resources"},
		{"somebody else writes there", brake("write ilb for edge as repair"), ""},
		{"what there is cannot be read", func(m *mender) func() { return later(m, pair.ErrUnreachable) }, "read the resources"},
		{"the document cannot be read once more", func(m *mender) func() {
			n := 0
			m.docs.onRead = func(id pair.ResourceID) error {
				if len(m.w.load().Intents) == 0 || id != ilb() {
					return nil
				}
				if n++; n%2 == 0 {
					return pair.ErrThrottled
				}
				return nil
			}
			return func() { m.docs.onRead = nil }
		}, "throttled"},
		{"somebody was faster", func(m *mender) func() {
			m.docs.onWrite = func(pair.ResourceID) error { return pair.ErrConflict }
			return func() { m.docs.onWrite = nil }
		}, "changed by somebody else"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				m := newMender(t)
				m.docs.drifted()
				over := tt.is(m)
				m.decided()
				i := m.w.load().Intents
				if len(i) != 1 {
					t.Fatalf("intents %+v, want one that waits", i)
				}
				tries := 1
				if tt.says == "" || strings.Contains(i[0].LastErr, "throttled") { // those are no attempts
					tries = 0
				}
				if len(m.docs.wrote) != 0 || i[0].Attempts != tries || !strings.Contains(i[0].LastErr, tt.says) || i[0].State != pair.IntentOpen {
					t.Fatalf("wrote %v, intents %+v; want one that was tried %d times and waits because %q", m.docs.wrote, i, tries, tt.says)
				}
				over()
				time.Sleep(20 * time.Second)
				m.look(pair.CauseSweep)
				if m.differs() || len(m.w.load().Intents) != 0 {
					t.Errorf("intents %+v, want the repair done when nothing is in the way", m.w.load().Intents)
				}
			})
		})
	}
}

// TestARepairIsBelievedWhenItIsSeen: that a write is called finished says little,
// and it is not written again because of that.
func TestARepairIsBelievedWhenItIsSeen(t *testing.T) {
	tests := []struct {
		name  string
		how   func(*mender)
		waits time.Duration // from the write, until when nothing is concluded
		wrote int
		ends  pair.IntentState
	}{
		{"it takes a while", func(m *mender) { m.docs.takes = 40 * time.Second }, 40 * time.Second, 1, pair.IntentDone},
		{"it is called finished, and reading follows late", func(m *mender) { m.docs.late = 40 * time.Second }, 40 * time.Second, 1, pair.IntentDone},
		{"it is called finished, and nothing follows", func(m *mender) { m.docs.lies = true }, time.Minute, 1, pair.IntentAbandoned},
		{"it takes a while, and then nothing follows", func(m *mender) { m.docs.takes, m.docs.lies = 40*time.Second, true }, time.Minute, 1, pair.IntentAbandoned},
		{"it is called finished, and something else came of it", func(m *mender) { m.docs.makes = `"/z"` }, 0, 1, pair.IntentAbandoned},
		{"it ends in a fault, and is written once more", func(m *mender) { m.docs.takes, m.docs.ends = 10*time.Second, pair.ErrUnknownOutcome }, 10 * time.Second, 2, pair.IntentDone},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				m := newMender(t)
				m.docs.drifted()
				tt.how(m)
				m.decided()
				for range 30 {
					snap := m.w.load()
					waited := time.Since(m.docs.writes[0].begun)
					if waited < tt.waits && (len(snap.Intents) != 1 || snap.Intents[0].State != pair.IntentBegun) {
						t.Fatalf("intents %+v after %v, want one of which nothing is known until %v", snap.Intents, waited, tt.waits)
					}
					if waited > tt.waits {
						m.docs.ends = nil
					}
					if len(snap.Intents) == 0 {
						break
					}
					time.Sleep(5 * time.Second)
					m.look(pair.CauseSweep)
				}
				ended := m.w.closed(pair.IntentRepair)
				if len(ended) != 1 || ended[0].State != tt.ends {
					t.Errorf("the journal tells of %+v, want one %s", ended, tt.ends)
				}
				if len(m.docs.wrote) != tt.wrote {
					t.Errorf("wrote %v, want %d writes", m.docs.wrote, tt.wrote)
				}
				if rec := m.w.load().Record; tt.ends == pair.IntentAbandoned && m.differs() && !rec.Drift.NotBefore.After(time.Now()) {
					t.Errorf("drift %+v, want that it rests", rec.Drift)
				}
			})
		})
	}
}

// closed are the intents of a kind that the journal tells the end of.
func (w *world) closed(kind pair.IntentKind) (out []pair.Intent) {
	w.t.Helper()
	for _, e := range w.journal() {
		var i pair.Intent
		if e.Kind != pair.EntryClosed {
			continue
		}
		if err := json.Unmarshal(e.Body, &i); err != nil {
			w.t.Fatal(err)
		}
		if i.Kind == kind {
			out = append(out, i)
		}
	}
	return out
}

func TestPlanSaysWhyThereIsNone(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		m := newMender(t)
		d := m.w.load().Definition
		if plan, refusals, err := m.Plan(t.Context(), d); err != nil || len(refusals) > 0 || !plan.Empty() {
			t.Errorf("plan %+v, %v, %v; want an empty one", plan, refusals, err)
		}
		m.docs.onRead = func(pair.ResourceID) error { return pair.ErrThrottled }
		if _, _, err := m.Plan(t.Context(), d); !errors.Is(err, pair.ErrThrottled) {
			t.Errorf("throttled: %v", err)
		}
		without := m.w.controller(&effects{})
		if _, _, err := without.Plan(t.Context(), d); !errors.Is(err, pair.ErrNotFound) {
			t.Errorf("without resources: %v", err)
		}
		without.Resources = &endless{}
		if _, _, err := without.Plan(t.Context(), d); !errors.Is(err, pair.ErrTooLarge) {
			t.Errorf("a world without an end: %v", err)
		}
	})
}

// endless are machines with more and more interfaces.
type endless struct{ documents }

func (*endless) Read(_ context.Context, id pair.ResourceID) (doc jsonText, etag string, err error) {
	nics := make([]string, 40)
	for n := range nics {
		nics[n] = fmt.Sprintf(`{"id":"%s-%d"}`, id, n)
	}
	return jsonText(`{"properties":{"networkProfile":{"networkInterfaces":[` + strings.Join(nics, ",") + `]}}}`), "1", nil
}
