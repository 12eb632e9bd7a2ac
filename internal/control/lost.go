package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tandem/internal/pair"
)

const (
	// takeBackTime is kept of a pass's budget, while an admin state of ours stands,
	// for what can be done without the store: two questions to the check ports, one
	// reading of each load balancer and one write.
	takeBackTime = 6 * time.Second
	// renewedMax is how far ahead a tag's deadline is believed; one that is farther
	// was written by a clock that was ahead.
	renewedMax = 2 * pair.FenceFor
)

// errHurry is why a pass ends its work with the store while there is still time
// to do without it.
var errHurry = errors.New("the store took so long that only the time to take back what is ours is left")

// place is where an admin state of ours stands.
type place struct {
	balancer, pool string
	unit           pair.Role
}

func placeOf(h pair.AdminHold) place { return place{h.LoadBalancer, h.Pool, h.Unit} }

// back is a write of None without the store.
type back struct {
	epoch uint64        // of the hold that it ends
	at    time.Duration // uptime
	token string        // of its operation while that may run
	told  bool          // it was seen done
}

// version is how a pool was read last: its ETag and a unit's admin state.
type version struct {
	etag  string
	admin pair.AdminState
}

// Standing names the pairs for which this process knows an admin state of ours
// to stand.
func (c *Controller) Standing() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for name, m := range c.known {
		if m.standing != nil {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// outlived ends, in what was read, the time of each admin state of ours that this
// process has taken back without the store, unless a release of it is stored. The
// record cannot know of that, and the table would blame somebody else for it.
func (p *pass) outlived(snap pair.Snapshot) pair.Snapshot {
	p.mu.Lock()
	backs := p.memory().backs
	p.mu.Unlock()
	if len(backs) == 0 {
		return snap
	}
	snap.Record.Admin = slices.Clone(snap.Record.Admin)
	for n := range snap.Record.Admin {
		h := &snap.Record.Admin[n]
		b, written := backs[placeOf(*h)]
		stored := slices.ContainsFunc(snap.Intents, func(i pair.Intent) bool { return i.Kind == pair.IntentRelease && holds(*h, i) })
		if written && b.epoch == h.Epoch && !stored && h.Deadline.After(p.now()) {
			h.Deadline = p.now()
		}
	}
	return snap
}

// hurried bounds what a pass does with the store, so that takeBackTime of its
// budget is left. unhurry lifts the bound where nothing may have to be done
// without it.
func (p *pass) hurried(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	end, _ := ctx.Deadline() // the budget's, if nobody's is earlier
	left := time.Until(end)
	p.hurry = time.AfterFunc(left-min(takeBackTime, left/2), func() { cancel(errHurry) })
	return ctx, func() {
		p.hurry.Stop()
		cancel(context.Canceled)
	}
}

// unhurry gives a pass its whole budget, unless a release waits to be sent.
func (p *pass) unhurry() { p.unhurryUnless(p.leaving) }

// unhurryUnless gives a pass its whole budget, unless something is so of an
// admin state of ours that was not seen to be back.
func (p *pass) unhurryUnless(so func(pair.AdminHold) bool) {
	if !slices.ContainsFunc(p.snap.Record.Admin, func(h pair.AdminHold) bool {
		return !p.backOf(h).told && so(h)
	}) {
		p.hurry.Stop()
	}
}

// leaving reports whether an admin state of ours is to be taken back, store or
// not: this pass has not sent what was decided and stored before; or could not
// store what it decided, and that is urgent or the store is in doubt. Anything
// else waits for the next look, because what is taken back before it is stored
// looks to the table as if somebody else had done it. A release that was sent,
// and is only watched because what it ends may still come, is none of it.
func (p *pass) leaving(h pair.AdminHold) bool {
	release := func(i pair.Intent) bool {
		watched := i.Late && i.State == pair.IntentBegun && !i.Rewrite
		return i.Kind == pair.IntentRelease && holds(h, i) && i.Token == "" && !watched && !p.sent[i.ID]
	}
	switch {
	case slices.ContainsFunc(p.snap.Intents, release):
		return true
	case !slices.ContainsFunc(p.d.Intents, release):
		return false
	default:
		return p.d.Alarm >= pair.AlarmUrgent || p.vigil.blind(p.Uptime()) != pair.NotBlind
	}
}

// wasSent notes that the write of an intent has left, or needs not leave.
func (p *pass) wasSent(i *pair.Intent) {
	p.sent[i.ID] = true
	p.unhurry()
}

// saw remembers how the pools of a load balancer were read, in a pass that has
// read the pair.
func (p *pass) saw(b pair.BalancerSeen) {
	for _, pool := range b.Pools {
		for _, m := range pool.Members {
			for _, r := range pair.Roles {
				if p.snap.Definition.Units.Of(r).Address == m.Address {
					p.read[place{b.Name, pool.Name, r}] = version{pool.ETag, m.Admin}
				}
			}
		}
	}
}

// vouched are the versions of the pools in which admin states of ours stand: by
// this pass's own reading of them, or by the newest one before it. p.mu is held.
func (p *pass) vouched(was map[place]string) map[place]string {
	out := map[place]string{}
	for _, h := range p.snap.Record.Admin {
		at := placeOf(h)
		switch v, read := p.read[at]; {
		case !h.Landed:
		case !read:
			out[at] = was[at]
		case v.admin == h.State:
			out[at] = v.etag
		}
	}
	return out
}

// withoutStore is what is left to do for a pair whose state cannot be read or
// cannot be written, or not in time: an admin state of ours goes back to None
// if that was decided, or if the unit that it leaves to serve does so no more,
// or if its time is over. That needs no store, because it is the platform's own
// state and the one thing that is allowed in every mode (DESIGN promise 3).
// Nothing is stored of it: when the store can be written again, the record says
// that it stands and the load balancer says that it does not. To the process
// that did it the hold has outlived its time; any other one has the table judge.
//
// What is another pass's by now is left to that one.
func (p *pass) withoutStore(ctx context.Context, why error) error {
	if why == nil && p.fault == nil || anothers(why) || ctx.Err() != nil {
		return why
	}
	snap := p.standing()
	if snap == nil {
		return why
	}
	p.snap = *snap
	var left []pair.AdminHold
	var errs []error
	for _, h := range snap.Record.Admin {
		gone := false
		if !p.mayStand(ctx, h) {
			var err error
			if gone, err = p.takeBack(ctx, h); err != nil {
				p.Log.ErrorContext(ctx, "an admin state of ours could not be taken back without the store", "pair", p.name,
					"unit", h.Unit.String(), "loadBalancer", h.LoadBalancer, "pool", h.Pool, "error", err.Error())
				errs = append(errs, err)
			}
		}
		if !gone {
			left = append(left, h)
		}
	}
	p.snap.Record.Admin = left
	return errors.Join(append([]error{why}, errs...)...)
}

// anothers reports whether an error says that another pass is at work on the
// pair.
func anothers(err error) bool { return lost(err) || changed(err) }

// standing is the pair with its admin states of ours, as it was read or else as it
// is remembered; nil where none stands.
func (p *pass) standing() *pair.Snapshot {
	if p.snap.Version != "" {
		if len(p.snap.Record.Admin) == 0 {
			return nil
		}
		return &p.snap
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.memory().standing
}

// mayStand reports whether an admin state of ours may stand for now. What was
// decided counts; where nothing could be, a fence stands for as long as its
// survivor serves and its time is not over, and nothing else does.
func (p *pass) mayStand(ctx context.Context, h pair.AdminHold) bool {
	decided := p.d.Row != ""
	switch {
	case p.leaving(h) || errors.Is(p.unread, pair.ErrNotFound):
		return false
	case !h.Fence():
		return decided
	case p.answers(ctx)[h.Unit.Other().Index()] != pair.CheckServing:
		return false
	default:
		return p.now().Before(h.Deadline) || !decided && p.renewed(ctx, h)
	}
}

// renewed reports whether another process that can use the store has renewed a
// fence, by the tag.
func (p *pass) renewed(ctx context.Context, h pair.AdminHold) bool {
	seen, err := p.readBack(ctx, h)
	if err != nil {
		return false
	}
	until, now := pair.TaggedUntil(&seen, p.name, h), p.now()
	return now.Before(until) && until.Before(now.Add(renewedMax))
}

func (p *pass) readBack(ctx context.Context, h pair.AdminHold) (pair.BalancerSeen, error) {
	return p.Platform.LoadBalancer(ctx, p.snap.Definition, pair.LoadBalancer{Name: h.LoadBalancer, Pools: []string{h.Pool}}, false)
}

// takeBack brings one admin state of ours back to None, and reports whether it
// was seen to be gone. What it finds there it leaves, unless it can tell that it
// is ours.
func (p *pass) takeBack(ctx context.Context, h pair.AdminHold) (gone bool, err error) {
	b, running := p.writtenBack(ctx, h)
	if running {
		return false, nil
	}
	seen, err := p.readBack(ctx, h)
	if err != nil {
		return false, err
	}
	i := &pair.Intent{LoadBalancer: h.LoadBalancer, Pool: h.Pool, Unit: h.Unit, Want: pair.AdminNone}
	etag, now, err := memberIn(seen, i, p.snap.Definition.Units.Of(i.Unit))
	switch {
	case errors.Is(err, errGone):
		return true, nil
	case err != nil:
		return false, err
	case now == pair.AdminNone && b.at == 0 && p.mayCome(h):
		i.Rewrite = true
	case now != h.State:
		p.seenBack(h, b)
		return !p.mayCome(h) || p.Uptime()-b.at >= lateFor, nil
	case !p.ours(&seen, h, etag):
		return false, fmt.Errorf("%s reads %s, and neither a tag of the load balancer nor the pool's version says that it is ours: %w", i.Unit, now, errForeign)
	}
	op, err := p.Platform.BeginAdminState(ctx, p.change(i, etag), func(context.Context) error { return nil })
	if err != nil {
		return false, err
	}
	p.Log.WarnContext(ctx, "an admin state of ours is taken back without the store", "pair", p.name,
		"unit", h.Unit.String(), "loadBalancer", h.LoadBalancer, "pool", h.Pool)
	p.keepBack(h, back{epoch: h.Epoch, at: p.Uptime(), token: op.Token})
	return false, nil
}

// ours reports whether the admin state that a pool reads is ours: by the tag; or
// because the pool is still the one that was read when the store last vouched
// for it, so that nobody has written to it since.
func (p *pass) ours(seen *pair.BalancerSeen, h pair.AdminHold, etag string) bool {
	if pair.Tagged(seen, p.name, h) {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return etag != "" && p.memory().versions[placeOf(h)] == etag
}

// mayCome reports whether an admin state that is not there may be on its way. It
// is written over once, and watched for as long as it may come all the same.
func (p *pass) mayCome(h pair.AdminHold) bool {
	return (!h.Landed || h.Late) && !slices.ContainsFunc(p.snap.Intents, func(i pair.Intent) bool {
		return holds(h, i) && i.Want == h.State && i.State == pair.IntentOpen && !p.sent[i.ID]
	})
}

// writtenBack is the newest write of None for a hold that this process knows of,
// the zero value for none, and whether it may still be on its way. One that
// failed was none.
func (p *pass) writtenBack(ctx context.Context, h pair.AdminHold) (b back, running bool) {
	b = p.backOf(h)
	if b.token == "" {
		return b, false
	}
	switch op, err := p.Platform.Poll(ctx, b.token); {
	case err != nil && passing(err), err == nil && !op.Done:
		return b, true
	case err != nil:
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.memory().backs, placeOf(h))
		return back{}, false
	}
	b.token = ""
	p.keepBack(h, b)
	return b, false
}

// backOf is what this process wrote without the store, or what an open release
// has sent.
func (p *pass) backOf(h pair.AdminHold) back {
	p.mu.Lock()
	b := p.memory().backs[placeOf(h)]
	p.mu.Unlock()
	if b.epoch == h.Epoch {
		return b
	}
	for _, i := range p.snap.Intents {
		if i.Kind == pair.IntentRelease && holds(h, i) && i.Token != "" {
			return back{epoch: h.Epoch, at: p.Uptime(), token: i.Token}
		}
	}
	return back{}
}

// seenBack tells, once, that a write of None was seen done.
func (p *pass) seenBack(h pair.AdminHold, b back) {
	if b.at == 0 || b.told {
		return
	}
	p.did = append(p.did, fmt.Sprintf("%s is None in %s/%s, without the store", h.Unit, h.LoadBalancer, h.Pool))
	b.told = true
	p.keepBack(h, b)
}

func (p *pass) keepBack(h pair.AdminHold, b back) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.memory()
	if m.backs == nil {
		m.backs = map[place]back{}
	}
	m.backs[placeOf(h)] = b
}
