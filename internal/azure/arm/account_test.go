package arm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"tandem/internal/pair"
)

const subscriptionOne = "00000000-0000-0000-0000-000000000001"

// ledger is a budget that notes what it hears, in a world of one clock.
type ledger struct {
	answers map[string]error         // by verb
	slow    map[string]time.Duration // before it answers

	mu    sync.Mutex
	heard []string
	paid  map[string][2]int // reads and writes, reserved or spent, by subscription
}

func (l *ledger) hear(ctx context.Context, verb, subscription string, reads, writes int, words string) error {
	if d := l.slow[verb]; d > 0 {
		if err := sleep(ctx, d); err != nil {
			return fmt.Errorf("the store: %w: %w", pair.ErrUnreachable, err)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard = append(l.heard, verb+words)
	if err := l.answers[verb]; err != nil {
		return err
	}
	if l.paid == nil {
		l.paid = map[string][2]int{}
	}
	n := l.paid[subscription]
	l.paid[subscription] = [2]int{n[0] + reads, n[1] + writes}
	return nil
}

func (l *ledger) Reserve(ctx context.Context, subscription string, reads, writes int, _ time.Time) error {
	return l.hear(ctx, "reserve", subscription, reads, writes, fmt.Sprintf(" %d+%d", reads, writes))
}

func (l *ledger) Spend(ctx context.Context, subscription string, reads, writes int, _ time.Time) error {
	return l.hear(ctx, "spend", subscription, reads, writes, fmt.Sprintf(" %d+%d", reads, writes))
}

func (l *ledger) HoldBack(ctx context.Context, subscription string, after time.Duration, _ time.Time) error {
	return l.hear(ctx, "rest", subscription, 0, 0, " "+after.String())
}

func (l *ledger) told() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.heard...)
}

func (l *ledger) total() map[string][2]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.paid
}

// ranks has contexts carry a rank as internal/control's do.
type ranks struct{}

func as(ctx context.Context, r pair.Rank) context.Context { return context.WithValue(ctx, ranks{}, r) }

func rankOf(ctx context.Context) pair.Rank {
	r, _ := ctx.Value(ranks{}).(pair.Rank)
	return r
}

func (p *platform) budgeted(l *ledger, more ...func(*Options)) *Client {
	o := Options{Budget: l, Rank: rankOf}
	for _, change := range more {
		change(&o)
	}
	return p.client(o)
}

// allRanks are those that contexts may have.
var allRanks = []pair.Rank{pair.RankUnknown, pair.RankLook, pair.RankRepair, pair.RankFence}

// TestEveryRequestIsPaidForOnce counts what reaches the platform, by whatever way it
// was sent, and what the budget heard of it.
func TestEveryRequestIsPaidForOnce(t *testing.T) {
	accepted := reply{status: 202, header: header("Location", home+opPath+signedQuery, "Retry-After", "1")}
	tests := []struct {
		name string
		on   func(t *testing.T, p *platform)
		do   func(ctx context.Context, c *Client) error
		want [2]int // reads and writes
	}{
		{
			"a load balancer with its interfaces",
			func(t *testing.T, p *platform) { p.on("GET", lbPath, reply{body: file(t, "loadbalancer.json")}) },
			func(ctx context.Context, c *Client) error {
				_, err := c.LoadBalancer(ctx, definition(), balancer(), false)
				return err
			},
			[2]int{3, 0},
		},
		{
			"rule health, which begins with a POST, and its polls",
			func(t *testing.T, p *platform) {
				p.on("GET", lbPath, reply{body: file(t, "loadbalancer.json")})
				p.on("POST", healthPath, accepted)
				p.on("GET", opPath, reply{status: 202}, reply{body: file(t, "lb-rule-health.response.json")})
			},
			func(ctx context.Context, c *Client) error {
				_, err := c.LoadBalancer(ctx, definition(), balancer(), true)
				return err
			},
			[2]int{5, 1},
		},
		{
			"a second attempt",
			func(_ *testing.T, p *platform) { p.on("GET", lbPath, reply{status: 503}, reply{body: `{}`}) },
			func(ctx context.Context, c *Client) error {
				_, _, err := c.Read(ctx, definition().LoadBalancerID("lb-lm"))
				return err
			},
			[2]int{2, 0},
		},
		{
			"a request that got no answer",
			func(_ *testing.T, p *platform) { p.on("GET", lbPath, reply{cut: true}) },
			func(ctx context.Context, c *Client) error {
				if _, _, err := c.Read(ctx, definition().LoadBalancerID("lb-lm")); !errors.Is(err, pair.ErrUnreachable) {
					return fmt.Errorf("got %w", err)
				}
				return nil
			},
			[2]int{2, 0},
		},
		{
			"a write, what is read for it, and a look at it",
			func(t *testing.T, p *platform) {
				p.on("GET", poolPath, reply{body: file(t, "pool-by-interface.json")})
				p.on("PUT", poolPath, taken(home))
				p.on("GET", opPath, reply{body: `{"status":"Succeeded"}`})
			},
			func(ctx context.Context, c *Client) error {
				op, err := c.BeginAdminState(ctx, fence(), allowed)
				if err == nil {
					_, err = c.Poll(ctx, op.Token)
				}
				return err
			},
			[2]int{4, 1},
		},
		{
			"every page of a list",
			func(_ *testing.T, p *platform) {
				list := strings.TrimSuffix(lbPath, "/lb-lm")
				p.on("GET", list, reply{body: `{"value":[{}],"nextLink":"` + home + list + `?page=2"}`}, reply{body: `{"value":[{}]}`})
			},
			func(ctx context.Context, c *Client) error {
				_, err := c.List(ctx, subscriptionOne, "rg-lm", "Microsoft.Network/loadBalancers")
				return err
			},
			[2]int{2, 0},
		},
		{
			"the availability metric",
			func(_ *testing.T, p *platform) {
				p.on("GET", lbPath+"/providers/Microsoft.Insights/metrics", reply{body: `{}`})
			},
			func(ctx context.Context, c *Client) error {
				_, err := c.Availability(ctx, definition().LoadBalancerID("lb-lm"), time.Now().Add(-time.Minute))
				return err
			},
			[2]int{1, 0},
		},
		{
			"the state of a VM",
			func(t *testing.T, p *platform) {
				p.on("GET", vmPath+"/instanceView", reply{body: file(t, "vm-instance-view.running.json")})
			},
			func(ctx context.Context, c *Client) error {
				_, err := c.Power(ctx, definition().VMID(pair.First))
				return err
			},
			[2]int{1, 0},
		},
	}
	for _, tt := range tests {
		for _, rank := range allRanks {
			t.Run(tt.name+", "+rank.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p, l := newPlatform(t), &ledger{}
					tt.on(t, p)
					if err := tt.do(as(t.Context(), rank), p.budgeted(l)); err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
					if reads := len(p.seen("GET")); reads != tt.want[0] || len(p.seen(""))-reads != tt.want[1] {
						t.Errorf("%d requests, %d of them reads, want %v", len(p.seen("")), reads, tt.want)
					}
					if diff := cmp.Diff(map[string][2]int{subscriptionOne: tt.want}, l.total()); diff != "" {
						t.Errorf("what was paid -want +got:\n%s", diff)
					}
					for _, heard := range l.told() {
						if strings.HasPrefix(heard, "reserve") != (rank == pair.RankRepair) {
							t.Errorf("work of rank %s has the budget hear %q", rank, heard)
						}
					}
				})
			})
		}
	}
}

func TestWhatARequestCounts(t *testing.T) {
	tests := []struct {
		name, method, url string
		subscription      string
		reads, writes     int
	}{
		{"a GET is a read", "GET", home + lbPath, subscriptionOne, 1, 0},
		{"a POST is a write, also where it only asks", "POST", home + healthPath, subscriptionOne, 0, 1},
		{"so is a PATCH", "PATCH", home + lbPath, subscriptionOne, 0, 1},
		{"letter case does not make another subscription", "PUT", home + "/SUBSCRIPTIONS/ABC/providers/x", "abc", 0, 1},
		{"a poll counts for the subscription of its operation", "GET", home + opPath, subscriptionOne, 1, 0},
		{"what is about no subscription is the tenant's", "GET", home + "/providers/x", ofTenant, 1, 0},
		{"nor is a list of subscriptions about one", "GET", home + "/subscriptions/", ofTenant, 1, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), tt.method, tt.url, nil)
			if err != nil {
				t.Fatal(err)
			}
			if s, reads, writes := price(req); s != tt.subscription || reads != tt.reads || writes != tt.writes {
				t.Errorf("got %s, %d reads, %d writes", s, reads, writes)
			}
		})
	}
}

// spent is what a budget answers that has nothing left for a while.
var spent = &pair.Waiting{Err: fmt.Errorf("nothing is left: %w", pair.ErrThrottled), After: 7 * time.Second}

// TestWhoWaitsForTheBudget sends one write, and one read, in every state of the
// budget. Nothing that did not pass may have been sent.
func TestWhoWaitsForTheBudget(t *testing.T) {
	down := fmt.Errorf("the tables: %w", pair.ErrUnknownOutcome)
	tests := []struct {
		name   string
		ledger *ledger
		rank   pair.Rank
		passes bool
		took   time.Duration
		after  time.Duration // to wait where it does not pass
	}{
		{"a repair passes where there is something", &ledger{}, pair.RankRepair, true, 0, 0},
		{"a repair waits where nothing is left, for as long as that lasts", &ledger{answers: map[string]error{"reserve": spent}}, pair.RankRepair, false, 0, 7 * time.Second},
		{"a repair waits where nobody can say", &ledger{answers: map[string]error{"reserve": down}}, pair.RankRepair, false, 0, reserveAgain},
		{"a repair does not wait long for an answer", &ledger{slow: map[string]time.Duration{"reserve": time.Minute}}, pair.RankRepair, false, reserveWithin, reserveAgain},
		{"an answer that takes a moment is waited for", &ledger{slow: map[string]time.Duration{"reserve": time.Second}}, pair.RankRepair, true, time.Second, 0},
		{"a fence is sent where nothing is left", &ledger{answers: map[string]error{"reserve": spent, "spend": spent}}, pair.RankFence, true, 0, 0},
		{"a fence is sent, and waits for nobody, where the budget does not answer", &ledger{slow: map[string]time.Duration{"spend": time.Hour}}, pair.RankFence, true, 0, 0},
		{"a fence is sent where the budget is broken", &ledger{answers: map[string]error{"spend": down}}, pair.RankFence, true, 0, 0},
		{"so is what nobody has marked", &ledger{answers: map[string]error{"reserve": spent, "spend": down}}, pair.RankUnknown, true, 0, 0},
		{"a look at a pair that is well asks nobody", &ledger{answers: map[string]error{"reserve": spent}}, pair.RankLook, true, 0, 0},
	}
	requests := map[string]func(ctx context.Context, c *Client) error{
		"GET": func(ctx context.Context, c *Client) error {
			_, _, err := c.Read(ctx, definition().LoadBalancerID("lb-lm"))
			return err
		},
		"PUT": func(ctx context.Context, c *Client) error {
			_, err := c.BeginWrite(ctx, definition().LoadBalancerID("lb-lm"), []byte(`{}`), poolETag, allowed)
			return err
		},
	}
	for _, tt := range tests {
		for method, send := range requests {
			t.Run(tt.name+", "+method, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := newPlatform(t)
					p.on("GET", lbPath, reply{body: `{}`})
					p.on("PUT", lbPath, reply{body: `{"properties":{"provisioningState":"Succeeded"}}`})
					l := &ledger{answers: tt.ledger.answers, slow: tt.ledger.slow}
					c, start := p.budgeted(l), time.Now()
					err := send(as(t.Context(), tt.rank), c)
					if took := time.Since(start); took != tt.took {
						t.Errorf("took %v, want %v", took, tt.took)
					}
					if n := len(p.seen("")); (n == 1) != tt.passes {
						t.Errorf("%d requests were sent", n)
					}
					if tt.passes {
						if err != nil {
							t.Error(err)
						}
						time.Sleep(tellWithin)
						return
					}
					checkKind(t, err, pair.ErrThrottled)
					if after := pair.RetryAfter(err, 0); after != tt.after {
						t.Errorf("asks to wait %v, want %v", after, tt.after)
					}
				})
			})
		}
	}
}

func TestTheEndOfTheCallersContextIsNoThrottling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, l := newPlatform(t), &ledger{slow: map[string]time.Duration{"reserve": time.Minute}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, _, err := p.budgeted(l).Read(as(ctx, pair.RankRepair), definition().LoadBalancerID("lb-lm"))
		checkKind(t, err, pair.ErrUnreachable)
		if !errors.Is(err, context.DeadlineExceeded) || len(p.seen("")) != 0 {
			t.Errorf("got %v, %d requests", err, len(p.seen("")))
		}
	})
}

// TestWhatASlowBudgetIsToldGathersUp: one telling at a time, whatever is sent
// meanwhile, and nothing is lost or told twice.
func TestWhatASlowBudgetIsToldGathersUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, l := newPlatform(t), &ledger{slow: map[string]time.Duration{"spend": time.Second}}
		p.on("GET", lbPath, reply{body: `{}`})
		c, start := p.budgeted(l), time.Now()
		for range 50 {
			if _, _, err := c.Read(t.Context(), definition().LoadBalancerID("lb-lm")); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("50 reads were kept for %v", took)
		}
		time.Sleep(3 * time.Second)
		if diff := cmp.Diff([]string{"spend 1+0", "spend 49+0"}, l.told()); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

// TestA429HasEverybodyWait looks at what the budget hears of an answer, and at what
// this process sends after it.
func TestA429HasEverybodyWait(t *testing.T) {
	tests := []struct {
		name  string
		reply reply
		rest  string // empty for none
	}{
		{"for as long as it says", reply{status: 429, header: header("Retry-After", "42")}, "rest 42s"},
		{"in milliseconds too", reply{status: 429, header: header("x-ms-retry-after-ms", "1500")}, "rest 1.5s"},
		{"for a while where it does not say", reply{status: 429}, "rest 10s"},
		{"one that says that a resource is locked asks nobody else to wait", reply{status: 429, header: header("Retry-After", "42"), body: file(t, "arm-error-429-locked.json")}, ""},
		{"a platform in trouble does not either", reply{status: 503, header: header("Retry-After", "42")}, ""},
		{"nor does a missing right", reply{status: 403, header: header("Retry-After", "42")}, ""},
	}
	for _, tt := range tests {
		for _, rank := range allRanks {
			t.Run(tt.name+", "+rank.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p, l := newPlatform(t), &ledger{}
					p.on("GET", lbPath, tt.reply, reply{body: `{}`})
					c := p.budgeted(l)
					if _, _, err := c.Read(as(t.Context(), rank), definition().LoadBalancerID("lb-lm")); err == nil {
						t.Fatal("no error")
					}
					synctest.Wait()
					rest := ""
					for _, heard := range l.told() {
						if strings.HasPrefix(heard, "rest") {
							rest += heard
						}
					}
					if rest != tt.rest {
						t.Errorf("the budget heard %q, want %q", rest, tt.rest)
					}
					sent := len(p.seen(""))
					_, _, err := c.Read(as(t.Context(), pair.RankLook), definition().LoadBalancerID("lb-lm"))
					if looked := len(p.seen("")) > sent; looked != (tt.rest == "") || errors.Is(err, pair.ErrThrottled) != (tt.rest != "") {
						t.Errorf("a look at a pair that is well was sent: %t, %v", looked, err)
					}
					sent = len(p.seen(""))
					if _, _, err := c.Read(as(t.Context(), pair.RankFence), definition().LoadBalancerID("lb-lm")); err != nil || len(p.seen("")) == sent {
						t.Errorf("a fence was not sent: %v", err)
					}
					time.Sleep(42 * time.Second)
					if _, _, err := c.Read(as(t.Context(), pair.RankLook), definition().LoadBalancerID("lb-lm")); err != nil {
						t.Errorf("a look after the rest: %v", err)
					}
				})
			})
		}
	}
}

// TestALookHearsFromARepair: that the budget is spent is known to the whole process,
// and of one subscription only.
func TestALookHearsFromARepair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, l := newPlatform(t), &ledger{answers: map[string]error{"reserve": spent}}
		other := pair.NewResourceID(strings.Replace(lbPath, "000000000001", "000000000002", 1))
		p.on("GET", lbPath, reply{body: `{}`})
		p.on("GET", string(other), reply{body: `{}`})
		c := p.budgeted(l)
		_, _, err := c.Read(as(t.Context(), pair.RankRepair), definition().LoadBalancerID("lb-lm"))
		checkKind(t, err, pair.ErrThrottled)
		time.Sleep(6 * time.Second)
		_, _, err = c.Read(as(t.Context(), pair.RankLook), definition().LoadBalancerID("lb-lm"))
		checkKind(t, err, pair.ErrThrottled)
		if after := pair.RetryAfter(err, 0); after != time.Second {
			t.Errorf("asks to wait %v, want the second that is left", after)
		}
		if _, _, err := c.Read(as(t.Context(), pair.RankLook), other); err != nil {
			t.Errorf("another subscription: %v", err)
		}
		time.Sleep(time.Second)
		if _, _, err := c.Read(as(t.Context(), pair.RankLook), definition().LoadBalancerID("lb-lm")); err != nil {
			t.Errorf("when it is over: %v", err)
		}
	})
}

// TestManyRefusalsAreToldOnceAtATime: of a storm of 429s the longest rest is what
// others must hear.
func TestManyRefusalsAreToldOnceAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, l := newPlatform(t), &ledger{slow: map[string]time.Duration{"rest": time.Second}}
		var replies []reply
		for _, after := range []string{"20", "30", "60", "25"} {
			replies = append(replies, reply{status: 429, header: header("Retry-After", after)})
		}
		p.on("GET", lbPath, replies...)
		c := p.budgeted(l)
		for range replies {
			_, _, err := c.Read(t.Context(), definition().LoadBalancerID("lb-lm"))
			checkKind(t, err, pair.ErrThrottled)
			synctest.Wait()
		}
		time.Sleep(3 * time.Second)
		var rests []string
		for _, heard := range l.told() {
			if strings.HasPrefix(heard, "rest") {
				rests = append(rests, heard)
			}
		}
		if diff := cmp.Diff([]string{"rest 20s", "rest 59s"}, rests); diff != "" { // a second later
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

func TestABudgetThatCannotBeToldIsLoggedAndLeavesTheRequestAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlatform(t)
		p.on("GET", lbPath, reply{body: `{}`})
		var log bytes.Buffer
		l := &ledger{answers: map[string]error{"spend": fmt.Errorf("down: %w", pair.ErrUnreachable)}}
		c := p.budgeted(l, func(o *Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
		if _, _, err := c.Read(t.Context(), definition().LoadBalancerID("lb-lm")); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if !strings.Contains(log.String(), "was not told") || !strings.Contains(log.String(), subscriptionOne) {
			t.Errorf("logged %q", log.String())
		}
	})
}

// TestWhatNeverLeftIsNotToldOf: without a connection nothing reaches the platform.
func TestWhatNeverLeftIsNotToldOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, l := newPlatform(t), &ledger{}
		c := p.budgeted(l, func(o *Options) {
			o.Transport = transport(func(*http.Request) (*http.Response, error) {
				return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
			})
		})
		_, _, err := c.Read(t.Context(), definition().LoadBalancerID("lb-lm"))
		checkKind(t, err, pair.ErrUnreachable)
		synctest.Wait()
		if told := l.told(); len(told) != 0 {
			t.Errorf("the budget heard %q", told)
		}
	})
}

// TestWithoutARankNothingWaits: a client that is given a budget alone must not keep
// a fence back.
func TestWithoutARankNothingWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, l := newPlatform(t), &ledger{answers: map[string]error{"reserve": spent}}
		p.on("GET", lbPath, reply{body: `{}`})
		c := p.client(Options{Budget: l})
		if _, _, err := c.Read(as(t.Context(), pair.RankRepair), definition().LoadBalancerID("lb-lm")); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if diff := cmp.Diff([]string{"spend 1+0"}, l.told()); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}
