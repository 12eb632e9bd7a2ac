package arm

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"tandem/internal/pair"
)

var (
	first  = netip.MustParseAddr("10.0.2.4")
	second = netip.MustParseAddr("10.0.2.5")

	equal = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
)

func balancer() pair.LoadBalancer { return definition().LoadBalancers[0] }

func TestLoadBalancer(t *testing.T) {
	p := newPlatform(t)
	p.on("GET", lbPath, reply{body: file(t, "loadbalancer.json")})
	now := epoch
	c := p.client(Options{Now: func() time.Time { return now }})
	want := pair.BalancerSeen{Name: "lb-lm", At: epoch, Pools: []pair.PoolSeen{
		{Name: "loadmasters", ETag: poolETag, Members: []pair.MemberSeen{
			{Name: "rg-lm_lm-1-nicipconfig1", Address: first, Admin: pair.AdminDown},
			{Name: "rg-lm_lm-2-nicipconfig1", Address: second, Admin: pair.AdminNone},
		}},
		{Name: "by-address", ETag: `W/"aaaaaaaa-0000-0000-0000-000000000002"`, Members: []pair.MemberSeen{
			{Name: "second", Address: second, Admin: pair.AdminUp},
		}},
		{Name: "references-only", ETag: `W/"aaaaaaaa-0000-0000-0000-000000000003"`, Members: []pair.MemberSeen{
			{Name: "ipconfig1", Address: first, Admin: pair.AdminUnknown},
		}},
		{Name: "Named-But-Empty", ETag: `W/"aaaaaaaa-0000-0000-0000-000000000005"`},
	}}
	for _, wantRequests := range []int{3, 4} { // two interfaces at first, then only the load balancer
		got, err := c.LoadBalancer(t.Context(), definition(), balancer(), false)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, equal); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		if n := len(p.seen("")); n != wantRequests {
			t.Errorf("%d requests, want %d", n, wantRequests)
		}
	}
	now = now.Add(addressFor)
	if _, err := c.LoadBalancer(t.Context(), definition(), balancer(), false); err != nil {
		t.Fatal(err)
	}
	if n := len(p.seen("")); n != 7 {
		t.Errorf("%d requests; addresses are read again after an hour", n)
	}
	if got := p.seen("")[0].query; got != "api-version="+networkVersion {
		t.Errorf("armnetwork speaks %q, pools are read and written in %q", got, networkVersion)
	}
}

func TestOnlyOurTagsAreSeen(t *testing.T) {
	tests := []struct {
		name string
		tags string
		want map[string]string
	}{
		{"those of others are not", `{"tandem":"x","owner":"me","xtandem-a":"1","tandem-edge":"second Down"}`, map[string]string{"tandem-edge": "second Down"}},
		{"letter case of the name does not count", `{"TANDEM-Edge":"second Down"}`, map[string]string{"tandem-edge": "second Down"}},
		{"a tag without a value is one", `{"tandem-edge":null,"tandem-x":""}`, map[string]string{"tandem-edge": "", "tandem-x": ""}},
		{"none of ours are none", `{"owner":"me"}`, nil},
		{"none are none", `null`, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlatform(t)
			p.on("GET", lbPath, reply{body: `{"tags":` + tt.tags + `,"properties":{}}`})
			seen, err := p.client(Options{}).LoadBalancer(t.Context(), definition(), balancer(), false)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, seen.Tags); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestLoadBalancerFailures(t *testing.T) {
	tests := []struct {
		name     string
		lb, nic  reply
		want     error // nil where what could be seen is returned
		requests int
	}{
		{"a load balancer that is not there", reply{status: 404, body: file(t, "arm-error-404-notfound.json")}, reply{}, pair.ErrNotFound, 1},
		{"a missing right", reply{status: 403, body: problemBody("AuthorizationFailed")}, reply{}, pair.ErrRefused, 1},
		{"throttling is for the caller to wait for", reply{status: 429, header: header("Retry-After", "1")}, reply{}, pair.ErrThrottled, 1},
		{"a platform in trouble is asked twice", reply{status: 500}, reply{}, pair.ErrUnreachable, 2},
		{"a cut connection is tried twice", reply{cut: true}, reply{}, pair.ErrUnreachable, 2},
		{"an answer that cannot be read", reply{body: `{"properties":7}`}, reply{}, pair.ErrUnreadable, 1},
		{"an answer without end", reply{body: strings.Repeat(" ", maxAnswer+1)}, reply{}, pair.ErrUnreadable, 1},
		{"an interface that may not be read", reply{body: file(t, "loadbalancer.json")}, reply{status: 403}, pair.ErrRefused, 2},
		{"an interface that is gone is no member", reply{body: file(t, "loadbalancer.json")}, reply{status: 404}, nil, 4},
		{"an empty answer has nothing in it", reply{body: `{}`}, reply{}, nil, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlatform(t)
				p.on("GET", lbPath, tt.lb)
				p.on("GET", nicsPath+"lm-1-nic", tt.nic)
				seen, err := p.client(Options{}).LoadBalancer(t.Context(), definition(), balancer(), false)
				if n := len(p.seen("")); n != tt.requests {
					t.Errorf("%d requests, want %d", n, tt.requests)
				}
				if tt.want == nil {
					if err != nil || seen.Name != "lb-lm" || seen.At.IsZero() {
						t.Fatalf("got %+v, %v", seen, err)
					}
					return
				}
				checkKind(t, err, tt.want)
			})
		})
	}
}

func TestASecondAttemptMayHelp(t *testing.T) {
	tests := []struct {
		name     string
		first    reply
		min, max time.Duration // of the wait; both 0 where there is no second attempt
	}{
		{"after a gateway error", reply{status: 502}, firstWait / 2, firstWait * 3 / 2},
		{"after a cut connection", reply{cut: true}, firstWait / 2, firstWait * 3 / 2},
		{"after as long as the platform asks", reply{status: 503, header: header("Retry-After", "2")}, 2 * time.Second, 2 * time.Second},
		{"in milliseconds too", reply{status: 503, header: header("x-ms-retry-after-ms", "700")}, 700 * time.Millisecond, 700 * time.Millisecond},
		{"but not when that is long", reply{status: 503, header: header("Retry-After", "3")}, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlatform(t)
				p.on("GET", lbPath, tt.first, reply{body: `{}`})
				start := time.Now()
				_, err := p.client(Options{Seed: 7}).LoadBalancer(t.Context(), definition(), balancer(), false)
				took := time.Since(start)
				if tt.max == 0 {
					checkKind(t, err, pair.ErrUnreachable)
					if pair.RetryAfter(err, 0) != 3*time.Second || took != 0 {
						t.Errorf("waited %v, asks for %v", took, pair.RetryAfter(err, 0))
					}
					return
				}
				if err != nil || took < tt.min || took > tt.max {
					t.Errorf("waited %v, %v", took, err)
				}
			})
		})
	}
}

func TestWaitsComeFromTheSeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		waited := func(seed uint64) time.Duration {
			p := newPlatform(t)
			p.on("GET", lbPath, reply{status: 500}, reply{body: `{}`})
			start := time.Now()
			if _, err := p.client(Options{Seed: seed}).LoadBalancer(t.Context(), definition(), balancer(), false); err != nil {
				t.Fatal(err)
			}
			return time.Since(start)
		}
		one, again, other := waited(1), waited(1), waited(2)
		if one != again {
			t.Error("equal seeds wait differently")
		}
		if one == other {
			t.Error("other seeds wait equally")
		}
	})
}

func TestTheContextEndsAReadBetweenAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlatform(t)
		p.on("GET", lbPath, reply{hang: true})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := p.client(Options{}).LoadBalancer(ctx, definition(), balancer(), false)
		checkKind(t, err, pair.ErrUnreachable)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("does not keep the context's error: %v", err)
		}
		if n := len(p.seen("")); n != 1 {
			t.Errorf("%d requests", n)
		}
	})
}

func TestHealth(t *testing.T) {
	const result = "/health-result"
	accepted := reply{status: 202, header: header("Location", home+result+signedQuery, "Retry-After", "2")}
	up := func(a netip.Addr, reason string) pair.HealthSeen {
		return pair.HealthSeen{Rule: "check", Address: a, Up: true, Reason: reason}
	}
	down := func(a netip.Addr, reason string) pair.HealthSeen {
		return pair.HealthSeen{Rule: "check", Address: a, Reason: reason}
	}
	tests := []struct {
		name    string
		begin   reply
		results []reply
		want    []pair.HealthSeen
		took    time.Duration
		logs    string // part of the only line, empty where there is none
	}{
		{
			"a healthy pair", accepted,
			[]reply{{body: file(t, "lb-rule-health.response.json")}},
			[]pair.HealthSeen{up(first, "Up_Probe_Success"), down(second, "Down_Probe_HttpStatusCodeError")},
			2 * time.Second, "",
		},
		{
			"admin states show", accepted,
			[]reply{{body: file(t, "lb-rule-health.adminstate.response.json")}},
			[]pair.HealthSeen{up(first, "Up_Admin"), down(second, "Down_Admin")},
			2 * time.Second, "",
		},
		{
			"an answer that takes a while is waited for", accepted,
			[]reply{{status: 202}, {status: 202, header: header("Retry-After", "3")}, {body: file(t, "lb-rule-health.response.json")}},
			[]pair.HealthSeen{up(first, "Up_Probe_Success"), down(second, "Down_Probe_HttpStatusCodeError")},
			6 * time.Second, "",
		},
		{
			"a stopped VM has empty values and is found by its interface", accepted,
			[]reply{{body: `{"loadBalancerBackendAddresses":[{"ipAddress":"","networkInterfaceIPConfigurationId":"` + nicsPath + `lm-2-nic/ipConfigurations/ipconfig1","state":"","reason":""}]}`}},
			[]pair.HealthSeen{down(second, "")},
			2 * time.Second, "",
		},
		{"strangers are left out", accepted, []reply{{body: `{"loadBalancerBackendAddresses":[{"ipAddress":"10.0.2.77","state":"Up"},null,{}]}`}}, nil, 2 * time.Second, ""},
		{"an answer that does not come is unknown", accepted, []reply{{status: 202}}, nil, healthBudget, "no answer"},
		{"a poll that hangs is unknown", accepted, []reply{{hang: true}}, nil, healthBudget, "no answer"},
		{"a missing right is unknown, and said", reply{status: 403, body: problemBody("AuthorizationFailed")}, nil, nil, 0, "AuthorizationFailed"},
		{"throttling is unknown, and said", reply{status: 429, header: header("Retry-After", "60")}, nil, nil, 0, "throttled"},
		{"an answer that cannot be read is unknown", accepted, []reply{{body: `<html>`}}, nil, 2 * time.Second, "unreadable"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlatform(t)
				p.on("GET", lbPath, reply{body: file(t, "loadbalancer.json")})
				p.on("POST", healthPath, tt.begin)
				p.on("GET", result, tt.results...)
				var log bytes.Buffer
				start := time.Now()
				seen, err := p.client(Options{Log: slog.New(slog.NewTextHandler(&log, nil))}).LoadBalancer(t.Context(), definition(), balancer(), true)
				if err != nil || len(seen.Pools) != 4 {
					t.Fatalf("the pools do not depend on the health: %+v, %v", seen, err)
				}
				if diff := cmp.Diff(tt.want, seen.Health, equal); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
				if took := time.Since(start); took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
				if (log.Len() > 0) != (tt.logs != "") || !strings.Contains(log.String(), tt.logs) || strings.Contains(log.String(), "signature") {
					t.Errorf("logged %q", log.String())
				}
			})
		})
	}
}

func TestHealthEndsWithTheCallersContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlatform(t)
		p.on("GET", lbPath, reply{body: file(t, "loadbalancer.json")})
		p.on("POST", healthPath, reply{hang: true})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.client(Options{}).LoadBalancer(ctx, definition(), balancer(), true); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestTheRuleOfTheCheckPort(t *testing.T) {
	whole := file(t, "loadbalancer.json")
	tests := []struct {
		name string
		lb   string
		port int
		want string // the rule that is asked, empty for none
	}{
		{"the rule for the check port itself is preferred", whole, 8444, "check"},
		{"any other rule with its probe will do", strings.ReplaceAll(whole, `"backendPort": 8444`, `"backendPort": 9000`), 8444, "https"},
		{"another port has another rule", whole, 80, "plain"},
		{"a rule to another pair's pool says nothing of this one", strings.ReplaceAll(whole, `backendAddressPools/loadmasters"
          },`, `backendAddressPools/neighbours"
          },`), 8444, ""},
		{"without a probe on the port there is no view", whole, 8445, ""},
		{"without rules there is no view", `{"properties":{}}`, 8444, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlatform(t)
			p.on("GET", lbPath, reply{body: tt.lb})
			if tt.want != "" {
				p.on("POST", strings.Replace(healthPath, "/check/", "/"+tt.want+"/", 1), reply{body: file(t, "lb-rule-health.response.json")})
			}
			d := definition()
			d.HA.CheckPort = tt.port
			seen, err := p.client(Options{}).LoadBalancer(t.Context(), d, balancer(), true)
			if err != nil || (len(seen.Health) > 0) != (tt.want != "") {
				t.Fatalf("got %+v, %v", seen, err)
			}
			if tt.want != "" && seen.Health[0].Rule != tt.want {
				t.Errorf("asked %q, want %q", seen.Health[0].Rule, tt.want)
			}
		})
	}
}

// One client serves many pairs at once, in several subscriptions.
func TestManyAtOnce(t *testing.T) {
	p := newPlatform(t)
	p.on("GET", lbPath, reply{body: file(t, "loadbalancer.json")})
	other := strings.Replace(lbPath, "000000000001", "000000000002", 1)
	p.on("GET", other, reply{body: file(t, "loadbalancer.json")})
	c := p.client(Options{})
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			d := definition()
			if i%2 == 1 {
				d.Azure.Subscription = "00000000-0000-0000-0000-000000000002"
			}
			if _, err := c.LoadBalancer(t.Context(), d, balancer(), false); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(c.subscriptions) != 2 {
		t.Errorf("clients for %d subscriptions", len(c.subscriptions))
	}
}
