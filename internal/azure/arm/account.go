package arm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"tandem/internal/pair"
)

// Budget is what all processes together may ask of Resource Manager, by
// subscription.
type Budget interface {
	// Reserve asks for requests that can wait. The error is pair.ErrThrottled, as
	// a *pair.Waiting, while there is nothing to be had; any other is no leave
	// either.
	Reserve(ctx context.Context, subscription string, reads, writes int, now time.Time) error
	// Spend tells of requests that could not wait.
	Spend(ctx context.Context, subscription string, reads, writes int, now time.Time) error
	// HoldBack has everybody wait.
	HoldBack(ctx context.Context, subscription string, after time.Duration, now time.Time) error
}

const (
	// reserveWithin is how long a request that can wait waits for the budget to
	// answer. Longer, and what was looked at before a write would be old by the
	// time at which it leaves.
	reserveWithin = 2 * time.Second
	// reserveAgain is when to ask again a budget that does not answer.
	reserveAgain = 10 * time.Second
	// tellWithin is how long telling the budget may take. Nobody waits for it.
	tellWithin = 10 * time.Second
	// restFor is how long to rest where a 429 does not say.
	restFor = 10 * time.Second
	// ofTenant stands for the subscription of requests that are about none, which
	// are limited apart (azure.md 1.10).
	ofTenant = "tenant"
)

// account is the station before wire, where every request that leaves is paid
// for once, whoever sends it and for whatever reason: second attempts, polls and
// pages of lists too. The SDK's own policies are all behind it.
//
// By its rank in the context a request waits or does not. What repairs is asked
// for before it is sent. A look at a pair with which nothing is wrong waits only
// where this process knows that the budget is spent or rests, which costs no
// request to the store. All else, a fence and its release above all, is sent
// first and told afterwards, in the background: a budget that is slow or does not
// answer can neither keep it back nor delay it.
type account struct {
	next   policy.Transporter
	budget Budget
	rank   func(context.Context) pair.Rank
	now    func() time.Time
	log    *slog.Logger

	mu   sync.Mutex // guards tabs and what they hold; never held across a wait
	tabs map[string]*tab
}

// tab is what the budget of one subscription is still to be told, and since
// when, by what this process knows, it can be asked again.
type tab struct {
	reads, writes int
	telling       bool
	rest          time.Time // asked for and not told yet; zero for none
	resting       bool      // it is being told
	until         time.Time
}

// Do sends one request when it may be sent.
func (a *account) Do(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	subscription, reads, writes := price(req)
	rank := a.rank(ctx)
	if err := a.admit(ctx, rank, subscription, reads, writes); err != nil {
		return nil, err
	}
	resp, err := a.next.Do(req)
	if rank != pair.RankRepair && (err == nil || !dialing(err)) { // or nothing has left
		a.spend(ctx, subscription, reads, writes)
	}
	if err == nil && resp.StatusCode == http.StatusTooManyRequests && errors.Is(readAnswer(resp).kind(writes > 0), pair.ErrThrottled) {
		after := retryAfter(resp, a.now())
		if after == 0 {
			after = restFor
		}
		a.hold(ctx, subscription, after)
	}
	return resp, err
}

// price says which subscription a request counts for, and as what. A POST is a
// write to the platform, also where it only asks (azure.md 1.11).
func price(req *http.Request) (subscription string, reads, writes int) {
	subscription = ofTenant
	if kind, rest, _ := strings.Cut(strings.TrimPrefix(req.URL.Path, "/"), "/"); strings.EqualFold(kind, "subscriptions") {
		if id, _, _ := strings.Cut(rest, "/"); id != "" {
			subscription = strings.ToLower(id)
		}
	}
	if req.Method == http.MethodGet || req.Method == http.MethodHead {
		return subscription, 1, 0
	}
	return subscription, 0, 1
}

// admit lets a request pass, or returns why it has to wait. An error that is not
// of the caller's own context is a pair.ErrThrottled in a *pair.Waiting: nothing
// was sent.
func (a *account) admit(ctx context.Context, rank pair.Rank, subscription string, reads, writes int) error {
	switch rank {
	case pair.RankRepair:
		return a.reserve(ctx, subscription, reads, writes)
	case pair.RankLook:
		if left := a.known(subscription).Sub(a.now()); left > 0 {
			return &pair.Waiting{Err: fmt.Errorf("the budget of the subscription is spent, or rests, for %v: %w", left, pair.ErrThrottled), After: left}
		}
	case pair.RankUnknown, pair.RankFence:
	}
	return nil
}

func (a *account) reserve(ctx context.Context, subscription string, reads, writes int) error {
	limited, cancel := context.WithTimeout(ctx, reserveWithin)
	defer cancel()
	err := a.budget.Reserve(limited, subscription, reads, writes, a.now())
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, pair.ErrThrottled):
		a.knows(subscription, a.now().Add(pair.RetryAfter(err, 0)))
		return err
	default:
		// Its text only: nothing was sent, so it must not look like an unknown outcome.
		return &pair.Waiting{
			Err:   fmt.Errorf("%w: the budget of the subscription cannot be asked: %s", pair.ErrThrottled, err.Error()),
			After: pair.RetryAfter(err, reserveAgain),
		}
	}
}

// spend has the budget told of what was sent without asking it.
func (a *account) spend(ctx context.Context, subscription string, reads, writes int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.tab(subscription)
	t.reads += reads
	t.writes += writes
	if !t.telling {
		t.telling = true
		go a.tellSpent(context.WithoutCancel(ctx), subscription, t)
	}
}

// hold rests in this process, and has all others told.
func (a *account) hold(ctx context.Context, subscription string, after time.Duration) {
	until := a.now().Add(after)
	a.knows(subscription, until)
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.tab(subscription)
	if until.After(t.rest) {
		t.rest = until
	}
	if !t.resting {
		t.resting = true
		go a.tellRest(context.WithoutCancel(ctx), subscription, t)
	}
}

// tellSpent tells what there is to tell, until there is no more: what is spent
// while a slow budget is told waits here, and not with whoever spends it. What
// could not be told is the budget's to tell later.
func (a *account) tellSpent(ctx context.Context, subscription string, t *tab) {
	for {
		a.mu.Lock()
		reads, writes := t.reads, t.writes
		t.reads, t.writes = 0, 0
		t.telling = reads+writes > 0
		a.mu.Unlock()
		if reads+writes == 0 {
			return
		}
		a.tell(ctx, subscription, func(ctx context.Context) error { return a.budget.Spend(ctx, subscription, reads, writes, a.now()) })
	}
}

// tellRest tells of the longest rest that was asked for meanwhile. It is apart
// from tellSpent, because everybody shall hear of it at once.
func (a *account) tellRest(ctx context.Context, subscription string, t *tab) {
	for {
		a.mu.Lock()
		until := t.rest
		t.rest = time.Time{}
		t.resting = !until.IsZero()
		a.mu.Unlock()
		if until.IsZero() {
			return
		}
		a.tell(ctx, subscription, func(ctx context.Context) error {
			now := a.now()
			return a.budget.HoldBack(ctx, subscription, until.Sub(now), now)
		})
	}
}

func (a *account) tell(ctx context.Context, subscription string, tell func(context.Context) error) {
	ctx, cancel := context.WithTimeout(ctx, tellWithin)
	defer cancel()
	if err := tell(ctx); err != nil {
		a.log.WarnContext(ctx, "the budget of a subscription was not told", "subscription", subscription, "error", err.Error())
	}
}

// known is until when, by what this process knows, there is nothing to be had.
func (a *account) known(subscription string) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.tab(subscription).until
}

func (a *account) knows(subscription string, until time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if t := a.tab(subscription); until.After(t.until) {
		t.until = until
	}
}

// tab returns the tab of a subscription. a.mu is held.
func (a *account) tab(subscription string) *tab {
	t := a.tabs[subscription]
	if t == nil {
		t = &tab{}
		a.tabs[subscription] = t
	}
	return t
}
