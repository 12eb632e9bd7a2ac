package control_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tandem/internal/control"
	"tandem/internal/pair"
)

func TestASweepNamesEveryDuePairOnceFiftyAtATime(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t)
		want := []string{edge}
		for n := range 119 {
			d := definition()
			d.Name = fmt.Sprintf("pair-%03d", n)
			d.Units.First.VM, d.Units.Second.VM = d.Name+"-a", d.Name+"-b"
			w.define(d)
			want = append(want, d.Name)
		}
		if err := w.store.SetDue(t.Context(), "pair-007", time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		want = slices.DeleteFunc(want, func(name string) bool { return name == "pair-007" })
		if err := w.waker.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		var sizes []int
		var got []string
		for _, m := range w.messages() {
			sizes = append(sizes, len(m.Pairs))
			got = append(got, m.Pairs...)
			if m.V != 1 || m.Kind != "wake" || m.Cause.Kind != pair.CauseSweep || m.Attempt != 0 {
				t.Errorf("message %+v, want a wake by a sweep", m)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) || !slices.Equal(sizes, []int{control.WakeAtOnce, control.WakeAtOnce, 19}) {
			t.Errorf("messages of %v pairs, %d in all; want 50, 50 and 19, each due pair once", sizes, len(got))
		}
	})
}

// index is an index that says what a test wants.
type index struct {
	control.Index
	due []string
	err error
}

func (i index) Due(context.Context, time.Time) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, name := range i.due {
			if !yield(name, nil) {
				return
			}
		}
		if i.err != nil {
			yield("", i.err)
		}
	}
}

func TestASweepThatBreaksOffStillWakesWhomItFound(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.waker.Index = index{due: []string{"a", "b"}, err: pair.ErrUnreachable}
		if err := w.waker.Sweep(t.Context()); !errors.Is(err, pair.ErrUnreachable) {
			t.Errorf("sweep: %v, want the fault of the index", err)
		}
		if got := w.messages(); len(got) != 1 || !slices.Equal(got[0].Pairs, []string{"a", "b"}) {
			t.Errorf("messages %v, want one for the two that were found", got)
		}
		w.waker.Index = index{}
		if err := w.waker.Sweep(t.Context()); err != nil || len(w.messages()) != 0 {
			t.Errorf("a sweep that finds nobody: %v, want success and no message", err)
		}
	})
}

func TestEvidenceGoesToTheOwnersOnceEach(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t)
		d := definition()
		other := d
		other.Name = "other"
		other.Units.First.VM, other.Units.Second.VM = "lm3", "lm4"
		w.define(other)
		at := time.Now().UTC()
		fact := func(vm pair.ResourceID, kind pair.EvidenceKind) pair.Evidence {
			return pair.Evidence{Kind: kind, VM: vm, At: at}
		}
		facts := []pair.Evidence{
			fact(other.VMID(pair.Second), pair.EvidenceStopped),
			fact(d.VMID(pair.First), pair.EvidenceUnavailable),
			fact("/subscriptions/s/resourcegroups/rg/providers/microsoft.compute/virtualmachines/somebody", pair.EvidenceStopped),
			fact(d.VMID(pair.Second), pair.EvidenceStarted),
		}
		if err := w.waker.Evidence(t.Context(), facts); err != nil {
			t.Fatal(err)
		}
		want := []pair.Message{
			{V: 1, Kind: "wake", Pairs: []string{"other"}, Cause: pair.Cause{Kind: pair.CauseVM, Evidence: facts[:1]}},
			{V: 1, Kind: "wake", Pairs: []string{edge}, Cause: pair.Cause{Kind: pair.CauseVM, Evidence: []pair.Evidence{facts[1], facts[3]}}},
		}
		if got := w.messages(); !reflect.DeepEqual(got, want) {
			t.Errorf("messages\n%+v, want\n%+v", got, want)
		}
	})
}

func TestAChangedResourceWakesItsPairsOnceEach(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t)
		d := definition()
		other := d // shares the load balancer
		other.Name = "other"
		other.Units.First.VM, other.Units.Second.VM = "lm3", "lm4"
		other.SecurityGroup.Name = "nsg"
		w.define(other)
		lb := d.LoadBalancerID("ilb")
		nsg := pair.ResourceID("/subscriptions/s/resourcegroups/rg/providers/microsoft.network/networksecuritygroups/nsg")
		if err := w.waker.ResourceChanged(t.Context(), []pair.ResourceChange{{Resource: lb, By: "somebody"}, {Resource: nsg}, {Resource: "/subscriptions/s/resourcegroups/rg/providers/microsoft.network/loadbalancers/none"}}); err != nil {
			t.Fatal(err)
		}
		cause := pair.Cause{Kind: pair.CauseResource, Resource: lb, By: "somebody"}
		want := []pair.Message{
			{V: 1, Kind: "wake", Pairs: []string{edge}, Cause: cause}, {V: 1, Kind: "wake", Pairs: []string{"other"}, Cause: cause},
		}
		if got := w.messages(); !reflect.DeepEqual(got, want) {
			t.Errorf("messages\n%+v, want\n%+v", got, want)
		}
	})
}

// TestAChangedInterfaceWakesThePairOfItsMachine: no pair file names it, so it is
// asked which machine it is of, unless that cannot be.
func TestAChangedInterfaceWakesThePairOfItsMachine(t *testing.T) {
	const nic = pair.ResourceID("/subscriptions/s/resourcegroups/rg/providers/microsoft.network/networkinterfaces/lm1-nic")
	tests := []struct {
		name  string
		spoil func(*mender)
		wakes bool
	}{
		{"it is a unit's", func(*mender) {}, true},
		{"it is another machine's", func(m *mender) {
			m.docs.of[nic] = jsonText(`{"properties":{"virtualMachine":{"id":"/subscriptions/s/resourcegroups/rg/providers/microsoft.compute/virtualmachines/web"}}}`)
		}, false},
		{"it is no machine's", func(m *mender) { m.docs.of[nic] = jsonText(`{"properties":{}}`) }, false},
		{"it is none of its kind", func(m *mender) { m.docs.of[nic] = jsonText(`[]`) }, false},
		{"it is gone", func(m *mender) { m.docs.of[nic] = nil }, false},
		{"it cannot be asked now", func(m *mender) { m.docs.onRead = func(pair.ResourceID) error { return pair.ErrThrottled } }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				m := newMender(t)
				m.w.messages()
				tt.spoil(m)
				w := &control.Waker{Index: m.w.store, Queue: m.w.store, Controller: m.Controller, Log: slog.New(m.w.log)}
				if err := w.ResourceChanged(t.Context(), []pair.ResourceChange{{Resource: nic, By: "bob"}}); err != nil {
					t.Fatal(err)
				}
				got := m.w.messages()
				if woken := len(got) == 1 && slices.Equal(got[0].Pairs, []string{edge}) && got[0].Cause.By == "bob" && got[0].Cause.Resource == nic; woken != tt.wakes || !tt.wakes && len(got) > 0 {
					t.Errorf("messages %+v, want the pair to be woken: %t", got, tt.wakes)
				}
			})
		})
	}
}

// TestWhatFailedIsPutBackWithItsEvidence fails the pass over one of two pairs.
func TestWhatFailedIsPutBackWithItsEvidence(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t)
		other := definition()
		other.Name = "other"
		other.Units.First.VM, other.Units.Second.VM = "lm3", "lm4"
		w.define(other)
		snap := w.load()
		if _, err := w.store.AcquireLease(t.Context(), snap, "somebody", time.Now(), pair.LeaseMax-time.Second); err != nil {
			t.Fatal(err)
		}
		m := pair.Message{V: 1, Kind: "wake", Pairs: []string{edge, "other"}, Cause: pair.Cause{Kind: pair.CauseVM, Evidence: []pair.Evidence{
			{Kind: pair.EvidenceUnavailable, VM: definition().VMID(pair.First), At: time.Now().UTC()},
		}}}
		if err := w.waker.Reconcile(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		back := w.putBack()
		want := pair.Message{V: 1, Kind: "wake", Pairs: []string{edge}, Cause: m.Cause, Attempt: 1}
		if len(back) != 1 || !reflect.DeepEqual(back[0].message, want) || back[0].after != 5*time.Second {
			t.Fatalf("put back %+v, want %+v after 5s", back, want)
		}
		last := back[0].message
		last.Attempt = control.PutBackMax
		if err := w.waker.Reconcile(t.Context(), last); !errors.Is(err, pair.ErrLeaseLost) {
			t.Errorf("after %d tries: %v, want the fault itself, for the host", control.PutBackMax, err)
		}
		if got := w.putBack(); len(got) != 0 {
			t.Errorf("put back %+v once more, want nothing", got)
		}
	})
}

func TestASweepThatMeetsALeaseHasNothingToDo(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t)
		if _, err := w.store.AcquireLease(t.Context(), w.load(), "somebody", time.Now(), pair.LeaseMax-time.Second); err != nil {
			t.Fatal(err)
		}
		if err := w.pass(pair.CauseSweep); err != nil {
			t.Errorf("sweep: %v, want success", err)
		}
		if err := w.pass(pair.CauseVM); !errors.Is(err, pair.ErrLeaseLost) {
			t.Errorf("an event: %v, want that it is put back", err)
		}
	})
}

// looks runs the host for a minute, with an event every five seconds beside its
// sweeps, and counts the messages that ask to look again.
func (w *world) looks() (n int) {
	w.t.Helper()
	before := len(w.fx.sent)
	for range 12 {
		if err := w.waker.ResourceChanged(w.t.Context(), []pair.ResourceChange{{Resource: definition().LoadBalancerID("ilb")}}); err != nil {
			w.t.Fatal(err)
		}
		w.run(5 * time.Second)
	}
	for _, m := range w.fx.sent[before:] {
		if m.Cause.Kind == pair.CauseAgain {
			n++
		}
	}
	return n
}

// TestThereIsOneChainOfLooks lets sweeps, events and looks come beside each
// other while a fence stands, which is quiet and wants to be looked at every
// five seconds. Whatever goes wrong, it must not become more than that.
func TestThereIsOneChainOfLooks(t *testing.T) {
	const most = 13 // one every five seconds, in a minute
	tests := []struct {
		name  string
		least int // looks in the minute of the trouble
		begin func(w *world)
		end   func(w *world)
	}{
		{"nothing goes wrong", 11, func(*world) {}, func(*world) {}},
		{
			"a write takes long", 3,
			func(w *world) { w.platform.takes = 45 * time.Second },
			func(*world) {},
		},
		{
			"the load balancer cannot be read", 11,
			func(w *world) {
				w.platform.onRead = func(string) error {
					if len(w.load().Intents) == 0 {
						return nil // the decision needs it
					}
					return fmt.Errorf("read: %w", pair.ErrUnreachable)
				}
			},
			func(w *world) { w.platform.onRead = nil },
		},
		{
			"the topic is down", 11,
			func(w *world) {
				w.topic.refuse = func([]pair.Post) error { return fmt.Errorf("publish: %w", pair.ErrUnreachable) }
			},
			func(w *world) { w.topic.refuse = nil },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t)
				w.splitUntilFence()
				w.messages()
				tt.begin(w)
				_ = w.pass(pair.CauseSweep) // the fence, or what the trouble makes of it
				if rows := w.rows(); rows[len(rows)-1] != "fence" {
					t.Fatalf("rows %v, want a fence at the end", rows)
				}
				if n := w.looks(); n < tt.least || n > most {
					t.Errorf("%d looks in a minute of trouble, want %d to %d", n, tt.least, most)
				}
				tt.end(w)
				if n := w.looks(); n < 11 || n > most {
					t.Errorf("%d looks in the minute after, want 11 to %d", n, most)
				}
				if len(w.platform.states()) != 1 {
					t.Errorf("admin states %v, want the fence", w.platform.states())
				}
			})
		})
	}
}

// TestOnlyALookOfTheChainAsksForTheNext makes the same quiet pass for each cause.
func TestOnlyALookOfTheChainAsksForTheNext(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.splitUntilFence()
		w.passes(1)
		epoch := w.load().Record.Epoch
		tests := []struct {
			cause pair.Cause
			want  int
		}{
			{pair.Cause{Kind: pair.CauseSweep}, 0},
			{pair.Cause{Kind: pair.CauseVM}, 0},
			{pair.Cause{Kind: pair.CauseResource}, 0},
			{pair.Cause{Kind: pair.CauseAgain, Epoch: epoch - 1}, 0},
			{pair.Cause{Kind: pair.CauseAgain, Epoch: epoch}, 1},
		}
		for _, tt := range tests {
			w.messages()
			if err := w.waker.Controller.Pass(t.Context(), edge, tt.cause); err != nil {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Second)
			got := w.messages()
			if len(got) != tt.want {
				t.Errorf("cause %v of epoch %d: %d looks, want %d", tt.cause.Kind, tt.cause.Epoch, len(got), tt.want)
			}
			if len(got) == 1 && (got[0].Cause.Kind != pair.CauseAgain || got[0].Cause.Epoch != epoch) {
				t.Errorf("the next look is for %+v, want epoch %d", got[0].Cause, epoch)
			}
		}
	})
}

// TestSweepsShareTheirSeatsAndEventsNeedNone has the host hand out more pairs
// at once than may be looked at, and an event about one more beside them.
func TestSweepsShareTheirSeatsAndEventsNeedNone(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t)
		var messages []pair.Message
		for n := range 3 * control.WakeAtOnce {
			d := definition()
			d.Name = fmt.Sprintf("pair-%03d", n)
			d.Units.First.VM, d.Units.Second.VM = d.Name+"-a", d.Name+"-b"
			w.define(d)
			if n%control.WakeAtOnce == 0 {
				messages = append(messages, pair.Message{V: 1, Kind: "wake", Cause: pair.Cause{Kind: pair.CauseSweep}})
			}
			last := &messages[len(messages)-1]
			last.Pairs = append(last.Pairs, d.Name)
		}
		var mu sync.Mutex
		asked, now, most := 0, 0, 0
		w.units.onReport = func(context.Context) {
			mu.Lock()
			asked++
			now++
			most = max(most, now)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			now--
			mu.Unlock()
		}
		start := time.Now()
		var host sync.WaitGroup
		for _, m := range messages {
			host.Go(func() {
				if err := w.waker.Reconcile(t.Context(), m); err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(100 * time.Millisecond) // all have begun
		mu.Lock()
		if most != 2*control.SweptAtOnce {
			t.Errorf("%d units are asked at once by sweeps, want the two of %d pairs", most, control.SweptAtOnce)
		}
		mu.Unlock()
		if err := w.pass(pair.CauseVM); err != nil || time.Since(start) != 1100*time.Millisecond {
			t.Errorf("the pass of an event beside them: %v after %v, want success without waiting", err, time.Since(start))
		}
		host.Wait()
		if asked != 2*(3*control.WakeAtOnce+1) || time.Since(start).Round(100*time.Millisecond) != 3*time.Second {
			t.Errorf("%d units were asked in %v, want all within three rounds", asked, time.Since(start))
		}
		w.units.onReport = func(ctx context.Context) { <-ctx.Done() }
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := w.waker.Reconcile(ctx, pair.Message{V: 1, Kind: "wake", Pairs: append(messages[0].Pairs, messages[1].Pairs...), Cause: messages[0].Cause}); err != nil {
			t.Error(err)
		}
		if !strings.Contains(w.log.text(), "others took all the time") {
			t.Error("nobody was told of the pairs that were not looked at")
		}
	})
}
