package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"

	"tandem/internal/pair"
)

const (
	// wakeAtOnce is how many pairs one message names.
	wakeAtOnce = 50
	// spread is the time between the beginnings of its passes, so that they do
	// not all dial in one instant, and always begin in the order of the message.
	spread = time.Millisecond
	// putBackMax is how often a message is put back after passing faults; then
	// the host's own retries and its poison queue take over.
	putBackMax = 20
	// putBackAfter is how long a message that met a passing fault waits.
	putBackAfter = 5 * time.Second
)

// Index finds the pairs that an event or the timer is about.
type Index interface {
	Due(ctx context.Context, now time.Time) iter.Seq2[string, error]
	PairsOfVM(ctx context.Context, vm pair.ResourceID) ([]string, error)
	PairsOfResource(ctx context.Context, id pair.ResourceID) ([]string, error)
}

// Queue sends wake messages.
type Queue interface {
	Send(ctx context.Context, queue string, m pair.Message, delay time.Duration) error
}

// Waker turns what comes from outside into wake messages, and wake messages
// into passes. It never does the work in the request that brought an event:
// events are answered at once (ha-design-notes.md 12).
type Waker struct {
	Index      Index
	Queue      Queue
	Controller *Controller
	// Topologies looks at GEO topologies; nil looks at none.
	Topologies *Topologies
	Log        *slog.Logger
}

// Sweep wakes every pair that is due. It is the guarantee behind the events.
func (w *Waker) Sweep(ctx context.Context) error {
	looked := w.unlessListed(ctx)
	listed, err := w.wakeDue(ctx)
	if !looked() && !listed {
		w.lookAtStanding(ctx)
	}
	if w.Topologies != nil {
		err = errors.Join(err, w.Topologies.Sweep(ctx))
	}
	return err
}

// wakeDue wakes the pairs that the index lists, and reports whether it listed
// them all.
func (w *Waker) wakeDue(ctx context.Context) (listed bool, err error) {
	batch := make([]string, 0, wakeAtOnce)
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		m := pair.Message{V: 1, Kind: "wake", Pairs: batch, Cause: pair.Cause{Kind: pair.CauseSweep}}
		if err := w.Queue.Send(ctx, pair.QueuePairs, m, 0); err != nil {
			return fmt.Errorf("wake %d due pairs: %w", len(batch), err)
		}
		batch = make([]string, 0, wakeAtOnce)
		return nil
	}
	for name, err := range w.Index.Due(ctx, w.Controller.now()) {
		if err != nil {
			return false, errors.Join(fmt.Errorf("find due pairs: %w", err), flush())
		}
		if batch = append(batch, name); len(batch) == wakeAtOnce {
			if err := flush(); err != nil {
				return true, err
			}
		}
	}
	return true, flush()
}

// listedWithin is how long the index may take to list who is due, before a sweep
// looks by itself at the pairs that cannot wait. It is what a pass gives the
// store to read one pair.
const listedWithin = 5 * time.Second

// unlessListed looks at the standing pairs when the index takes long. What it
// returns ends the waiting, or waits for the looks that have begun, and reports
// whether they have.
func (w *Waker) unlessListed(ctx context.Context) (looked func() bool) {
	over, done := make(chan struct{}), make(chan bool, 1)
	go func() {
		late := time.NewTimer(listedWithin)
		defer late.Stop()
		select {
		case <-over:
			done <- false
		case <-late.C:
			w.lookAtStanding(ctx)
			done <- true
		}
	}()
	return func() bool {
		close(over)
		return <-done
	}
}

// lookAtStanding makes a pass over each pair of which this process knows that an
// admin state of ours stands, when the index cannot be asked who is due, or not
// in time: a survivor that dies must be found out without the store too.
func (w *Waker) lookAtStanding(ctx context.Context) {
	var wg sync.WaitGroup
	for _, name := range w.Controller.Standing() {
		wg.Go(func() { _ = w.Controller.Pass(ctx, name, pair.Cause{Kind: pair.CauseSweep}) }) // it tells of itself
	}
	wg.Wait()
}

// Evidence wakes the pairs that own the VMs. Facts about VMs of nobody are
// dropped: the subscription holds other machines too.
func (w *Waker) Evidence(ctx context.Context, facts []pair.Evidence) error {
	byPair := map[string][]pair.Evidence{}
	var names []string // in the order of the facts
	for _, f := range facts {
		owners, err := w.Index.PairsOfVM(ctx, f.VM)
		if err != nil {
			return fmt.Errorf("find the pair of VM %s: %w", f.VM.Name(), err)
		}
		for _, name := range owners {
			if byPair[name] == nil {
				names = append(names, name)
			}
			byPair[name] = append(byPair[name], f)
		}
	}
	for _, name := range names {
		if err := w.wake(ctx, name, pair.Cause{Kind: pair.CauseVM, Evidence: byPair[name]}); err != nil {
			return err
		}
	}
	return nil
}

// ResourceChanged wakes the pairs that own a changed resource.
func (w *Waker) ResourceChanged(ctx context.Context, changes []pair.ResourceChange) error {
	woken := map[string]bool{}
	for _, c := range changes {
		owners, err := w.owners(ctx, c.Resource)
		if err != nil {
			return fmt.Errorf("find the pairs of %s: %w", c.Resource.Name(), err)
		}
		for _, name := range owners {
			if woken[name] {
				continue
			}
			woken[name] = true
			if err := w.wake(ctx, name, pair.Cause{Kind: pair.CauseResource, Resource: c.Resource, By: c.By}); err != nil {
				return err
			}
		}
	}
	return nil
}

// askInterfaceFor is how long an interface may take to say whose it is. The event
// is answered afterwards.
const askInterfaceFor = 5 * time.Second

// owners finds the pairs that a changed resource is of. An interface stands in no
// pair file and so in no index; it says itself which machine it is of. Where it
// cannot be asked now, or there is no room for that among what may be asked when
// nothing is wrong, the event is dropped: the sweep is the guarantee.
func (w *Waker) owners(ctx context.Context, id pair.ResourceID) ([]string, error) {
	owners, err := w.Index.PairsOfResource(ctx, id)
	c := w.Controller
	if err != nil || len(owners) > 0 || id.Kind() != "interface" || c == nil || c.Resources == nil || !c.quiet.AllowN(epoch0.Add(c.Uptime()), 1) {
		return owners, err
	}
	asking, cancel := context.WithTimeout(ranked(ctx, pair.RankRepair), askInterfaceFor)
	defer cancel()
	doc, _, err := c.Resources.Read(asking, id)
	if err != nil {
		w.Log.InfoContext(ctx, "an interface that was changed did not say whose it is", "interface", id.Name(), "error", err.Error())
		return nil, nil
	}
	var nic struct {
		Properties struct {
			VirtualMachine struct {
				ID string `json:"id"`
			} `json:"virtualMachine"`
		} `json:"properties"`
	}
	if json.Unmarshal(doc, &nic) != nil || nic.Properties.VirtualMachine.ID == "" {
		return nil, nil // it is of no machine, so of no pair
	}
	return w.Index.PairsOfVM(ctx, pair.NewResourceID(nic.Properties.VirtualMachine.ID))
}

func (w *Waker) wake(ctx context.Context, name string, cause pair.Cause) error {
	m := pair.Message{V: 1, Kind: "wake", Pairs: []string{name}, Cause: cause}
	if err := w.Queue.Send(ctx, pair.QueuePairs, m, 0); err != nil {
		return fmt.Errorf("wake pair %s: %w", name, err)
	}
	return nil
}

// Reconcile makes one pass over each pair that the message names. A pair that
// met a passing fault is put back with a delay, with its evidence, so that no
// fault of ours loses a fact. After too many tries the error goes to the host.
//
// A topology whose pass failed is looked at again by the next sweep.
func (w *Waker) Reconcile(ctx context.Context, m pair.Message) error {
	for _, name := range m.Topologies {
		if w.Topologies == nil {
			break
		}
		switch err := w.Topologies.Pass(ctx, name); {
		case changed(err):
			w.Log.DebugContext(ctx, "a look at a topology was overtaken", "topology", name)
		case err != nil:
			w.Log.WarnContext(ctx, "a look at a topology failed", "topology", name, "error", err.Error())
		}
	}
	var (
		wg    sync.WaitGroup
		errs  = make([]error, len(m.Pairs))
		again pair.Message
	)
	for i, name := range m.Pairs {
		look := func() {
			_ = wait(ctx, time.Duration(i)*spread) // a pass that has no time left says so itself
			errs[i] = w.Controller.Pass(ctx, name, m.Cause)
		}
		if i == len(m.Pairs)-1 {
			look() // the last one, which is mostly the only one, needs no goroutine of its own
			break
		}
		wg.Go(look)
	}
	wg.Wait()
	if m.Cause.Kind == pair.CauseSweep {
		return nil // each pass has told of itself, and the next sweep is the repeat
	}
	again = m
	again.Pairs = nil
	for i, err := range errs {
		if err != nil {
			again.Pairs = append(again.Pairs, m.Pairs[i])
		}
	}
	if len(again.Pairs) == 0 {
		return nil
	}
	again.Attempt++
	all := errors.Join(errs...)
	if again.Attempt > putBackMax && m.Job != "" {
		return w.Controller.poisoned(ctx, again.Pairs[0], m.Job, all)
	}
	if again.Attempt > putBackMax {
		return fmt.Errorf("pass over %v, tried %d times: %w", again.Pairs, again.Attempt, all)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), putBackAfter)
	defer cancel()
	queue := pair.QueuePairs
	if m.Job != "" {
		queue = pair.QueueJobs
	}
	if err := w.Queue.Send(ctx, queue, again, pair.RetryAfter(all, putBackAfter)); err != nil {
		return errors.Join(fmt.Errorf("put back %v: %w", again.Pairs, err), all)
	}
	return nil
}
