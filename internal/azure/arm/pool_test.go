package arm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"tandem/internal/pair"
)

func TestAPoolWriteChangesOneWord(t *testing.T) {
	tests := []struct {
		name     string
		address  string
		want     pair.AdminState
		old, new string // the only difference between what was read and what is written
	}{
		{
			"an admin state that is there is replaced", "10.0.2.4", pair.AdminDown,
			`"adminState" :  "None" ,`, `"adminState" :  "Down" ,`,
		},
		{
			"an admin state that was never set is added", "10.0.2.5", pair.AdminUp,
			`"rg-lm_lm-2-nicipconfig1","properties":{`, `"rg-lm_lm-2-nicipconfig1","properties":{"adminState":"Up",`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlatform(t)
			raw := file(t, "pool-by-interface.json")
			if strings.Count(raw, tt.old) != 1 {
				t.Fatalf("the file should have %q once", tt.old)
			}
			want := strings.Replace(raw, tt.old, tt.new, 1)
			p.on("GET", poolPath, reply{body: raw})
			p.on("PUT", poolPath, taken(home))
			ch := fence()
			ch.Address, ch.Want = addr(tt.address), tt.want
			op, err := p.client(Options{}).BeginAdminState(t.Context(), ch, allowed)
			if err != nil || op.Done || op.Token == "" || op.After != 3*time.Second {
				t.Fatalf("got %+v, %v", op, err)
			}
			puts := p.seen("PUT")
			if len(puts) != 1 || puts[0].body != want {
				t.Fatalf("wrote\n%s\nwant\n%s", puts[0].body, want)
			}
			if got := puts[0].header.Get("If-Match"); got != poolETag {
				t.Errorf("If-Match %q, want %q", got, poolETag)
			}
			if got := puts[0].header.Get("Content-Type"); got != "application/json" {
				t.Errorf("Content-Type %q", got)
			}
			if !strings.HasPrefix(puts[0].header.Get("User-Agent"), "tandem ") {
				t.Errorf("User-Agent %q", puts[0].header.Get("User-Agent"))
			}
		})
	}
}

// The same over real sockets and TLS, the second half in another client, as
// another process would do it.
func TestAPoolWriteIsFinishedByAnotherClient(t *testing.T) {
	p := newPlatform(t)
	server := httptest.NewUnstartedServer(p)
	server.Config.ErrorLog = discardLog() // a second connection may be made in vain
	server.StartTLS()
	defer server.Close()
	p.on("GET", poolPath, reply{body: file(t, "pool-by-interface.json")})
	p.on("PUT", poolPath, taken(server.URL))
	p.on("GET", opPath, reply{body: `{"status":"InProgress"}`, header: header("Retry-After", "7")}, reply{body: `{"status":"Succeeded"}`})

	begun, err := p.client(Options{Cloud: at(server.URL), Transport: server.Client()}).BeginAdminState(t.Context(), fence(), allowed)
	if err != nil {
		t.Fatal(err)
	}
	var recorded struct {
		Poll struct{ Body json.RawMessage }
	}
	if err := json.Unmarshal([]byte(file(t, "arm-put-backendpool.exchange.json")), &recorded); err != nil {
		t.Fatal(err)
	}
	other := p.client(Options{Cloud: at(server.URL), Transport: server.Client()})
	running, err := other.Poll(t.Context(), begun.Token)
	if err != nil || running.Done || running.After != 7*time.Second || running.Token == "" {
		t.Fatalf("the first poll gives %+v, %v", running, err)
	}
	p.on("GET", opPath, reply{body: string(recorded.Poll.Body)})
	done, err := other.Poll(t.Context(), running.Token)
	if err != nil || done != (pair.Operation{Done: true}) {
		t.Fatalf("the second poll gives %+v, %v", done, err)
	}
	for _, r := range p.seen("GET") {
		if r.header.Get("If-Match") != "" {
			t.Errorf("GET %s carries If-Match", r.path)
		}
	}
	if n := len(p.seen("GET")); n != 5 { // pool, two interfaces, two polls, and no look at the result
		t.Errorf("%d GETs", n)
	}
}

func TestAPoolWriteMayBeDoneAtOnce(t *testing.T) {
	p := newPlatform(t)
	p.on("GET", poolPath, reply{body: file(t, "pool-by-interface.json")})
	p.on("PUT", poolPath, reply{header: header("Azure-AsyncOperation", home+opPath), body: `{"properties":{"provisioningState":"Succeeded"}}`})
	op, err := p.client(Options{}).BeginAdminState(t.Context(), fence(), allowed)
	if err != nil || op != (pair.Operation{Done: true}) {
		t.Fatalf("got %+v, %v", op, err)
	}
}

func TestNothingIsWritten(t *testing.T) {
	pool := file(t, "pool-by-interface.json")
	withMembers := func(entries string) string {
		return `{"etag":` + quoted(poolETag) + `,"properties":{"loadBalancerBackendAddresses":[` + entries + `]}}`
	}
	tests := []struct {
		name   string
		pool   string
		change func(*pair.AdminChange)
		want   error // nil where the operation is done
	}{
		{"when the admin state is right already", pool, func(c *pair.AdminChange) { c.Want = pair.AdminNone }, nil},
		{"when it was never set and None is wanted", pool, func(c *pair.AdminChange) { c.Want, c.Address = pair.AdminNone, addr("10.0.2.5") }, nil},
		{"when the pool is not the one that was decided on", pool, func(c *pair.AdminChange) { c.ETag = `W/"older"` }, pair.ErrConflict},
		{"even when it is right, because a person may have done it", pool, func(c *pair.AdminChange) { c.ETag, c.Want = `W/"older"`, pair.AdminNone }, pair.ErrConflict},
		{"without an ETag", pool, func(c *pair.AdminChange) { c.ETag = "" }, pair.ErrInvalid},
		{"for an admin state that is no state", pool, func(c *pair.AdminChange) { c.Want = pair.AdminUnknown }, pair.ErrInvalid},
		{"without an address", pool, func(c *pair.AdminChange) { c.Address = addr("") }, pair.ErrInvalid},
		{"for a pool name that would lead elsewhere", pool, func(c *pair.AdminChange) { c.Pool = ".." }, pair.ErrInvalid},
		{"for a resource that is no load balancer", pool, func(c *pair.AdminChange) { c.LoadBalancer = definition().VMID(pair.First) }, pair.ErrInvalid},
		{"for a member that is not in the pool", pool, func(c *pair.AdminChange) { c.Address = addr("10.0.2.77") }, pair.ErrNotFound},
		{"when two members have the address", withMembers(`{"name":"a","properties":{"ipAddress":"10.0.2.4"}},{"name":"b","properties":{"ipAddress":"10.0.2.4"}}`), nil, pair.ErrInvalid},
		{"when a name comes twice in a member", withMembers(`{"name":"a","properties":{"ipAddress":"10.0.2.4","adminState":"None","AdminState":"Up"}}`), nil, pair.ErrUnreadable},
		{"when the pool is no JSON", `<html>`, nil, pair.ErrUnreadable},
		{"when the pool is JSON of another shape", `{"properties":{"loadBalancerBackendAddresses":"none"}}`, nil, pair.ErrUnreadable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlatform(t)
			p.on("GET", poolPath, reply{body: tt.pool})
			ch := fence()
			if tt.change != nil {
				tt.change(&ch)
			}
			op, err := p.client(Options{}).BeginAdminState(t.Context(), ch, allowed)
			if !errors.Is(err, tt.want) || op.Done != (tt.want == nil) {
				t.Fatalf("got %+v, %v; want %v", op, err, tt.want)
			}
			if n := len(p.seen("PUT")); n != 0 {
				t.Errorf("%d writes", n)
			}
		})
	}
}

func TestARewriteIsSentAlthoughItReadsRight(t *testing.T) {
	p := newPlatform(t)
	p.on("GET", poolPath, reply{body: file(t, "pool-by-interface.json")})
	p.on("PUT", poolPath, taken(home))
	ch := fence()
	ch.Want, ch.Rewrite = pair.AdminNone, true
	if op, err := p.client(Options{}).BeginAdminState(t.Context(), ch, allowed); err != nil || op.Done {
		t.Fatalf("got %+v, %v; want a running write that supersedes the earlier one", op, err)
	}
	if puts := p.seen("PUT"); len(puts) != 1 || puts[0].header.Get("If-Match") != poolETag {
		t.Errorf("writes %+v, want one with If-Match", puts)
	}
}

func TestTheLastLookStandsRightBeforeTheWrite(t *testing.T) {
	p := newPlatform(t)
	p.on("GET", poolPath, reply{body: file(t, "pool-by-interface.json")})
	p.on("PUT", poolPath, taken(home))
	speaksAgainst := errors.New("the survivor is gone")
	reads := 0
	_, err := p.client(Options{}).BeginAdminState(t.Context(), fence(), func(context.Context) error {
		reads = len(p.seen("GET"))
		return speaksAgainst
	})
	if !errors.Is(err, speaksAgainst) || len(p.seen("PUT")) != 0 || reads == 0 || reads != len(p.seen("GET")) {
		t.Errorf("got %v with %d writes, %d of %d reads before the last look", err, len(p.seen("PUT")), reads, len(p.seen("GET")))
	}
}

func TestTheETagMayBeInTheHeaderOnly(t *testing.T) {
	p := newPlatform(t)
	p.on("GET", poolPath, reply{header: header("ETag", poolETag), body: `{"properties":{"loadBalancerBackendAddresses":[{"properties":{"ipAddress":"10.0.2.4"}}]}}`})
	p.on("PUT", poolPath, taken(home))
	if _, err := p.client(Options{}).BeginAdminState(t.Context(), fence(), allowed); err != nil {
		t.Fatal(err)
	}
	if got := p.seen("PUT")[0].header.Get("If-Match"); got != poolETag {
		t.Errorf("If-Match %q", got)
	}
}

// Interfaces are read at the same time, but not too many of them.
func TestInterfacesAreReadAtTheSameTime(t *testing.T) {
	const interfaces = 10
	var entries []string
	for i := range interfaces {
		entries = append(entries, fmt.Sprintf(`{"name":"m%d","properties":{"networkInterfaceIPConfiguration":{"id":"%snic-%d/ipConfigurations/c"}}}`, i, nicsPath, i))
	}
	nic := func(i int) string {
		return fmt.Sprintf(`{"properties":{"ipConfigurations":[{"name":"c","properties":{"privateIPAddress":"10.0.2.%d"}}]}}`, i)
	}
	tests := []struct {
		name   string
		answer map[int]reply // of the interfaces that do not answer well
		early  string        // the interface that takes half a second; all others take a whole one
		want   error         // nil where the write is sent
		says   string
		took   time.Duration
		most   int // interfaces that may have been read
	}{
		{"four at a time", nil, "none", nil, "", 3 * time.Second, interfaces},
		{"one that is gone is no member", map[int]reply{9: {status: 404}}, "none", nil, "", 3 * time.Second, interfaces},
		{"after a failure nothing more is read", map[int]reply{1: {status: 403}}, "nic-1", pair.ErrRefused, "interface nic-1", time.Second, 4},
		{"of several failures the first is told", map[int]reply{2: {status: 429}, 3: {status: 403}}, "nic-3", pair.ErrThrottled, "interface nic-2", time.Second, 4},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlatform(t)
				p.on("GET", poolPath, reply{body: `{"etag":` + quoted(poolETag) + `,"properties":{"loadBalancerBackendAddresses":[` + strings.Join(entries, ",") + `]}}`})
				p.on("PUT", poolPath, taken(home))
				for i := range interfaces {
					a, bad := tt.answer[i]
					if !bad {
						a = reply{body: nic(i)}
					}
					p.on("GET", fmt.Sprintf("%snic-%d", nicsPath, i), a)
				}
				var now, most atomic.Int32
				slow := transport(func(r *http.Request) (*http.Response, error) {
					if strings.Contains(r.URL.Path, "networkInterfaces") {
						if n := now.Add(1); n > most.Load() {
							most.Store(n)
						}
						time.Sleep(time.Second / 2)
						if !strings.HasSuffix(r.URL.Path, tt.early) {
							time.Sleep(time.Second / 2)
						}
						now.Add(-1)
					}
					return p.Do(r)
				})
				start := time.Now()
				_, err := p.client(Options{Transport: slow}).BeginAdminState(t.Context(), fence(), allowed)
				if tt.want != nil {
					checkKind(t, err, tt.want)
				} else if err != nil {
					t.Fatal(err)
				}
				if err != nil && !strings.Contains(err.Error(), tt.says) {
					t.Errorf("says %q, want %q", err, tt.says)
				}
				if took := time.Since(start); took != tt.took || most.Load() != 4 {
					t.Errorf("took %v with up to %d at a time, want %v and 4", took, most.Load(), tt.took)
				}
				if n := len(p.seen("GET")) - 1; n > tt.most {
					t.Errorf("%d interfaces were read, want at most %d", n, tt.most)
				}
				if n := len(p.seen("PUT")); (n == 1) != (tt.want == nil) {
					t.Errorf("%d writes", n)
				}
			})
		})
	}
}

func TestIfMatchIsProvedByARefusal(t *testing.T) {
	raw := file(t, "pool-by-interface.json")
	tests := []struct {
		name string
		put  reply
		want error
		says string
	}{
		{"a refusal of the wrong ETag is the proof", reply{status: 412, body: file(t, "arm-error-412-etag.json")}, nil, ""},
		{"a refusal without a word is one too", reply{status: 412}, nil, ""},
		{"a write that is taken proves the contrary", reply{body: raw}, pair.ErrInvalid, "took a write with a wrong ETag (correlation " + correlated + ")"},
		{"a write that is begun does so too", taken(home), pair.ErrInvalid, "took a write with a wrong ETag"},
		{"a lock proves nothing", reply{status: 429, body: file(t, "arm-error-429-locked.json")}, pair.ErrBusy, ""},
		{"another conflict proves nothing", reply{status: 409, body: problemBody("SomethingElse")}, pair.ErrConflict, ""},
		{"a missing right proves nothing", reply{status: 403, body: problemBody("AuthorizationFailed")}, pair.ErrRefused, ""},
		{"a failure of the platform proves nothing", reply{status: 500}, pair.ErrUnknownOutcome, ""},
		{"a cut connection proves nothing", reply{cut: true}, pair.ErrUnknownOutcome, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlatform(t)
			p.on("GET", poolPath, reply{body: raw})
			p.on("PUT", poolPath, tt.put)
			err := p.client(Options{}).ProveIfMatch(t.Context(), pair.AdminChange{LoadBalancer: fence().LoadBalancer, Pool: fence().Pool})
			if tt.want == nil && err != nil {
				t.Fatal(err)
			}
			if tt.want != nil {
				checkKind(t, err, tt.want)
			}
			if tt.want != nil && (!strings.HasPrefix(err.Error(), "prove If-Match on pool loadmasters of load balancer lb-lm: ") || !strings.Contains(err.Error(), tt.says)) {
				t.Errorf("says %q, want %q", err, tt.says)
			}
			puts := p.seen("PUT")
			if len(puts) != 1 || puts[0].body != raw || len(p.seen("")) != 2 {
				t.Fatalf("requests %+v; want the pool read and written as it was, once", p.seen(""))
			}
			if got := puts[0].header.Get("If-Match"); got == poolETag || !regexp.MustCompile(`^W/"[0-9a-f-]{36}"$`).MatchString(got) {
				t.Errorf("If-Match %q, want a wrong one of the right form", got)
			}
		})
	}
	for name, ch := range map[string]pair.AdminChange{"no load balancer": {Pool: "loadmasters"}, "no pool": {LoadBalancer: fence().LoadBalancer}} {
		t.Run(name, func(t *testing.T) {
			p := newPlatform(t)
			checkKind(t, p.client(Options{}).ProveIfMatch(t.Context(), ch), pair.ErrInvalid)
			if n := len(p.seen("")); n != 0 {
				t.Errorf("%d requests", n)
			}
		})
	}
	t.Run("a pool that was changed since the decision", func(t *testing.T) {
		p := newPlatform(t)
		p.on("GET", poolPath, reply{body: raw})
		ch := fence()
		ch.ETag = `W/"older"`
		checkKind(t, p.client(Options{}).ProveIfMatch(t.Context(), ch), pair.ErrConflict)
		if n := len(p.seen("PUT")); n != 0 {
			t.Errorf("%d writes", n)
		}
	})
	t.Run("a pool that is gone", func(t *testing.T) {
		p := newPlatform(t)
		p.on("GET", poolPath, reply{status: 404, body: file(t, "arm-error-404-notfound.json")})
		checkKind(t, p.client(Options{}).ProveIfMatch(t.Context(), fence()), pair.ErrNotFound)
	})
}

// A write is sent once, whatever the answer, and the answer has a kind.
func TestAnswersToAPoolWrite(t *testing.T) {
	tests := []struct {
		name  string
		reply reply
		want  error
		after time.Duration
		says  string
	}{
		{"a pool that was changed meanwhile is a conflict", reply{status: 412, body: file(t, "arm-error-412-etag.json")}, pair.ErrConflict, 0, "PreconditionFailedEtagMismatch"},
		{"a lock is busy, not throttled", reply{status: 429, header: header("Retry-After", "12"), body: file(t, "arm-error-429-locked.json")}, pair.ErrBusy, 12 * time.Second, "RetryableErrorDueToAnotherOperation"},
		{"a reference in motion is busy", reply{status: 429, body: file(t, "arm-error-429-referenced-not-provisioned.json")}, pair.ErrBusy, 0, ""},
		{"another operation is busy under 409 too", reply{status: 409, body: problemBody("AnotherOperationInProgress")}, pair.ErrBusy, 0, ""},
		{"any other 409 is a conflict", reply{status: 409, body: problemBody("SomethingElse")}, pair.ErrConflict, 0, "SomethingElse"},
		{"a person's lock on the resource is a refusal", reply{status: 409, body: problemBody("ScopeLocked")}, pair.ErrRefused, 0, "ScopeLocked"},
		{"too many requests are throttled", reply{status: 429, header: header("Retry-After", "30"), body: problemBody("TooManyRequests")}, pair.ErrThrottled, 30 * time.Second, ""},
		{"throttling without a word is throttling", reply{status: 429}, pair.ErrThrottled, 0, "status 429"},
		{"what is gone is not found", reply{status: 404, body: file(t, "arm-error-404-notfound.json")}, pair.ErrNotFound, 0, "NotFound"},
		{"a token that is not accepted is a refusal", reply{status: 401, body: problemBody("InvalidAuthenticationToken")}, pair.ErrRefused, 0, ""},
		{"a missing right on a linked resource is named", reply{status: 403, body: problemBody("LinkedAuthorizationFailed")}, pair.ErrRefused, 0, "LinkedAuthorizationFailed"},
		{"members by interface cannot be edited", reply{status: 400, body: file(t, "arm-error-400-nic-pool-modification.json")}, pair.ErrInvalid, 0, ""},
		{"after a server's error nobody knows", reply{status: 500, body: problemBody("InternalServerError")}, pair.ErrUnknownOutcome, 0, ""},
		{"after a gateway's HTML nobody knows", reply{status: 502, body: "<html>"}, pair.ErrUnknownOutcome, 0, "status 502"},
		{"and if it says when to look, that is kept", reply{status: 503, header: header("Retry-After", "5")}, pair.ErrUnknownOutcome, 5 * time.Second, ""},
		{"after a timeout of the server nobody knows", reply{status: 408}, pair.ErrUnknownOutcome, 0, ""},
		{"after a cut connection nobody knows", reply{cut: true}, pair.ErrUnknownOutcome, 0, ""},
		{"a success that cannot be followed is unknown", reply{status: 201, header: header("Azure-AsyncOperation", "not a url"), body: `{}`}, pair.ErrUnknownOutcome, 0, ""},
		{"a failure in the first answer is no success", reply{status: 200, body: `{"properties":{"provisioningState":"Failed"}}`}, pair.ErrUnknownOutcome, 0, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlatform(t)
			p.on("GET", poolPath, reply{body: file(t, "pool-by-interface.json")})
			p.on("PUT", poolPath, tt.reply)
			op, err := p.client(Options{}).BeginAdminState(t.Context(), fence(), allowed)
			checkKind(t, err, tt.want)
			if got := pair.RetryAfter(err, 0); got != tt.after {
				t.Errorf("asks to wait %v, want %v", got, tt.after)
			}
			if !strings.Contains(err.Error(), tt.says) || !strings.HasPrefix(err.Error(), "set admin state Down of 10.0.2.4 in pool loadmasters of load balancer lb-lm: ") {
				t.Errorf("says %q", err)
			}
			if !tt.reply.cut && tt.reply.header.Get("Azure-AsyncOperation") == "" && !strings.Contains(err.Error(), "(correlation "+correlated+")") {
				t.Errorf("does not name the call: %q", err)
			}
			if op != (pair.Operation{}) {
				t.Errorf("an operation beside the error: %+v", op)
			}
			if n := len(p.seen("PUT")); n != 1 {
				t.Errorf("sent %d times", n)
			}
		})
	}
}

// byAddress is a pool that is read with one request.
const byAddress = `{"etag":"W/\"aaaaaaaa-0000-0000-0000-000000000001\"","properties":{"loadBalancerBackendAddresses":[{"name":"a","properties":{"ipAddress":"10.0.2.4"}}]}}`

func TestWhatIsKnownNotToBeSentIsNotUnknown(t *testing.T) {
	pool := file(t, "pool-by-interface.json")
	put := func(p *platform, do func(*http.Request) (*http.Response, error)) policy.Transporter {
		return transport(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodPut {
				return do(r)
			}
			return p.Do(r)
		})
	}
	t.Run("a connection that was never made", func(t *testing.T) {
		p := newPlatform(t)
		p.on("GET", poolPath, reply{body: pool})
		c := p.client(Options{Transport: put(p, func(*http.Request) (*http.Response, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
		})})
		_, err := c.BeginAdminState(t.Context(), fence(), allowed)
		checkKind(t, err, pair.ErrUnreachable)
	})
	t.Run("a token that was refused", func(t *testing.T) {
		p := newPlatform(t)
		p.on("GET", poolPath, reply{body: byAddress})
		c := p.client(Options{Credential: &tokens{left: 1, err: pair.ErrRefused}}) // the pool
		_, err := c.BeginAdminState(t.Context(), fence(), allowed)
		checkKind(t, err, pair.ErrRefused)
		if n := len(p.seen("PUT")); n != 0 {
			t.Errorf("%d writes", n)
		}
	})
	t.Run("a context that ended while the token was asked for", func(t *testing.T) {
		p := newPlatform(t)
		p.on("GET", poolPath, reply{body: byAddress})
		ctx, cancel := context.WithCancel(t.Context())
		c := p.client(Options{Credential: &tokens{left: 2, last: cancel}})
		_, err := c.BeginAdminState(ctx, fence(), allowed)
		if !errors.Is(err, context.Canceled) || errors.Is(err, pair.ErrUnknownOutcome) {
			t.Fatalf("got %v", err)
		}
		if n := len(p.seen("PUT")); n != 0 {
			t.Errorf("%d writes", n)
		}
	})
}

// The token is asked for before the request goes out, so that time lost there
// costs no certainty.
func TestATokenThatTakesTooLongIsNotUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlatform(t)
		p.on("GET", poolPath, reply{body: byAddress})
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		_, err := p.client(Options{Credential: &tokens{left: 1}}).BeginAdminState(ctx, fence(), allowed)
		checkKind(t, err, pair.ErrUnreachable)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("does not keep the context's error: %v", err)
		}
	})
}

// What an interface was an hour ago is good enough to look at, not to write.
func TestAWriteReadsTheInterfacesAfresh(t *testing.T) {
	p := newPlatform(t)
	p.on("GET", lbPath, reply{body: file(t, "loadbalancer.json")})
	p.on("GET", poolPath, reply{body: file(t, "pool-by-interface.json")})
	c := p.client(Options{})
	if _, err := c.LoadBalancer(t.Context(), definition(), balancer(), false); err != nil {
		t.Fatal(err)
	}
	p.on("GET", nicsPath+"lm-1-nic", reply{body: file(t, "lm-2-nic.json")}) // the addresses were swapped
	p.on("GET", nicsPath+"lm-2-nic", reply{body: file(t, "lm-1-nic.json")})
	p.on("PUT", poolPath, taken(home))
	if _, err := c.BeginAdminState(t.Context(), fence(), allowed); err != nil {
		t.Fatal(err)
	}
	want := `"rg-lm_lm-2-nicipconfig1","properties":{"adminState":"Down",`
	if got := p.seen("PUT")[0].body; !strings.Contains(got, want) {
		t.Errorf("the wrong member was set Down: %s", got)
	}
}

func TestAWriteThatTakesTooLongIsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlatform(t)
		p.on("GET", poolPath, reply{body: file(t, "pool-by-interface.json")})
		p.on("PUT", poolPath, reply{hang: true})
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		_, err := p.client(Options{}).BeginAdminState(ctx, fence(), allowed)
		checkKind(t, err, pair.ErrUnknownOutcome)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("does not keep the context's error: %v", err)
		}
	})
}

func TestACertificateThatIsNotTrusted(t *testing.T) {
	p := newPlatform(t)
	server := httptest.NewUnstartedServer(p)
	server.Config.ErrorLog = discardLog()
	server.StartTLS()
	defer server.Close()
	_, err := p.client(Options{Cloud: at(server.URL), Transport: newTransport()}).BeginAdminState(t.Context(), fence(), allowed)
	checkKind(t, err, pair.ErrUntrusted)
	if n := len(p.seen("")); n != 0 {
		t.Errorf("%d requests went out", n)
	}
}

func TestPoll(t *testing.T) {
	tests := []struct {
		name  string
		reply reply
		want  error // nil where it goes on
		after time.Duration
		polls int
	}{
		{"a running operation goes on, with the platform's patience", reply{status: 200, header: header("Retry-After", "9"), body: `{"status":"InProgress"}`}, nil, 9 * time.Second, 1},
		{"a superseded operation says so although its status is 200", reply{body: file(t, "arm-async-superseded.json")}, pair.ErrSuperseded, 0, 1},
		{"a cancelled operation of unknown reason is unknown", reply{body: `{"status":"Canceled","error":{"code":"Canceled"}}`}, pair.ErrUnknownOutcome, 0, 1},
		{"a failed operation of unknown reason is unknown", reply{body: `{"status":"Failed","error":{"code":"InternalServerError"}}`}, pair.ErrUnknownOutcome, 0, 1},
		{"an operation that lost a race is a conflict", reply{body: `{"status":"Failed","error":{"code":"PreconditionFailed"}}`}, pair.ErrConflict, 0, 1},
		{"an operation without a right on a linked resource is refused", reply{body: `{"status":"Failed","error":{"code":"LinkedAuthorizationFailed"}}`}, pair.ErrRefused, 0, 1},
		{"an operation that the platform forgot is unknown", reply{status: 404, body: file(t, "arm-error-404-notfound.json")}, pair.ErrUnknownOutcome, 0, 1},
		{"a throttled poll is a poll for later", reply{status: 429, header: header("Retry-After", "20")}, pair.ErrThrottled, 20 * time.Second, 1},
		{"a platform in trouble is asked once more", reply{status: 503}, pair.ErrUnreachable, 0, 2},
		{"a cut connection is tried once more", reply{cut: true}, pair.ErrUnreachable, 0, 2},
		{"an answer that is none of an operation is unreadable", reply{body: `[]`}, pair.ErrUnreadable, 0, 1},
		{"an answer without a state is unreadable", reply{body: `{}`}, pair.ErrUnreadable, 0, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlatform(t)
				p.on("GET", opPath, tt.reply)
				op, err := p.client(Options{}).Poll(t.Context(), token(home+opPath+signedQuery))
				if n := len(p.seen("")); n != tt.polls {
					t.Errorf("%d requests, want %d", n, tt.polls)
				}
				if tt.want == nil {
					if err != nil || op.Done || op.After != tt.after || op.Token == "" {
						t.Fatalf("got %+v, %v", op, err)
					}
					return
				}
				checkKind(t, err, tt.want)
				if got := pair.RetryAfter(err, 0); got != tt.after {
					t.Errorf("asks to wait %v, want %v", got, tt.after)
				}
				if !strings.HasPrefix(err.Error(), "look at the write of pool loadmasters of load balancer lb-lm: ") {
					t.Errorf("says %q", err)
				}
			})
		})
	}
}

// An operation's address is signed, and net/http puts addresses into errors.
func TestTheAddressOfAnOperationIsNotShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPlatform(t).client(Options{Transport: transport(func(r *http.Request) (*http.Response, error) {
			return nil, &url.Error{Op: "Get", URL: r.URL.String(), Err: io.ErrUnexpectedEOF}
		})})
		_, err := c.Poll(t.Context(), token(home+opPath+signedQuery))
		checkKind(t, err, pair.ErrUnreachable)
	})
}

// The SDK's clients fall back to the resource itself where no operation is
// named.
func TestPollOfAResource(t *testing.T) {
	p := newPlatform(t)
	p.on("GET", poolPath, reply{body: file(t, "pool-by-interface.json")})
	p.on("PUT", poolPath, reply{status: 201, body: `{"properties":{"provisioningState":"Updating"}}`})
	c := p.client(Options{})
	op, err := c.BeginAdminState(t.Context(), fence(), allowed)
	if err != nil || op.Done {
		t.Fatalf("got %+v, %v", op, err)
	}
	op, err = c.Poll(t.Context(), op.Token)
	if err != nil || !op.Done {
		t.Fatalf("got %+v, %v", op, err)
	}
}

func TestTokensThatAreNotOurs(t *testing.T) {
	tests := []struct{ name, token string }{
		{"an empty token", ""},
		{"a token that is no JSON", "{"},
		{"a token of another kind of operation", strings.Replace(token(home+opPath), "poolWritten", "VirtualMachinesClientStartResponse", 1)},
		{"a token of a finished operation", strings.Replace(token(home+opPath), "Updating", "Succeeded", 1)},
		{"a token that leads to another host", token("https://management.test.evil.example" + opPath)},
		{"a token without a body", `{"type":"poolWritten","token":null}`},
		{"a token that is far too long", token(home + opPath + "?" + strings.Repeat("x", maxToken))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlatform(t)
			_, err := p.client(Options{}).Poll(t.Context(), tt.token)
			checkKind(t, err, pair.ErrInvalid)
			if n := len(p.seen("")); n != 0 {
				t.Errorf("%d requests went out", n)
			}
		})
	}
}

// Stored tokens of every release must be readable: this one was made by the
// first.
func TestTheTokenOfTheFirstRelease(t *testing.T) {
	const stored = `{"type":"poolWritten","token":{"asyncURL":"https://management.test` + opPath + `","locURL":"","origURL":"https://management.test` + poolPath + `?api-version=2025-05-01","method":"PUT","finalState":"","state":"Updating"}}`
	p := newPlatform(t)
	p.on("GET", opPath, reply{body: `{"status":"InProgress"}`})
	op, err := p.client(Options{}).Poll(t.Context(), stored)
	if err != nil {
		t.Fatal(err)
	}
	var now, then any
	if err := errors.Join(json.Unmarshal([]byte(strings.Replace(stored, "Updating", "InProgress", 1)), &then), json.Unmarshal([]byte(op.Token), &now)); err != nil {
		t.Fatal(err)
	}
	if a, b := mustJSON(t, then), mustJSON(t, now); a != b {
		t.Errorf("tokens look like\n%s\nnow, and like\n%s\nthen", b, a)
	}
}

func FuzzPoll(f *testing.F) {
	f.Add(token(home+opPath), `{"status":"InProgress"}`)
	f.Add(token(home+opPath), file(f, "arm-async-superseded.json"))
	f.Add(machineToken("start"), `{"status":"Failed","error":{"code":"AllocationFailed"}}`)
	f.Add(strings.Replace(token(home+opPath), "poolWritten", "tagsWritten", 1), `{"status":"Succeeded"}`)
	f.Add(`{"type":"poolWritten","token":{"pollURL":"`+home+poolPath+`","state":"x"}}`, `{"properties":{"provisioningState":"Failed"}}`)
	f.Add(`{"type":"poolWritten","token":{"type":"loc","pollURL":"`+home+poolPath+`"}}`, ``)
	f.Fuzz(func(t *testing.T, token, body string) {
		p := &platform{t: t}
		c := p.client(Options{Transport: transport(func(r *http.Request) (*http.Response, error) {
			w := httptest.NewRecorder()
			_, _ = w.WriteString(body)
			return w.Result(), nil
		})})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if op, err := c.Poll(ctx, token); err == nil && op.Done == (op.Token != "") {
			t.Errorf("neither done nor to be resumed: %+v", op)
		}
	})
}

// token is a resume token of an operation on the pool.
func token(address string) string {
	return `{"type":"poolWritten","token":{"asyncURL":"` + address + `","locURL":"","origURL":"` + home + poolPath + `?api-version=2025-05-01","method":"PUT","finalState":"","state":"Updating"}}`
}

func problemBody(code string) string {
	return `{"error":{"code":"` + code + `","message":"sample text"}}`
}

// transport is a function as a policy.Transporter.
type transport func(*http.Request) (*http.Response, error)

func (f transport) Do(r *http.Request) (*http.Response, error) { return f(r) }

// tokens is a credential that fails after some tokens, each for one request,
// or without an error gives no more.
type tokens struct {
	left int
	last func() // called with the last one
	err  error
}

func (c *tokens) GetToken(ctx context.Context, _ policy.TokenRequestOptions) (azcore.AccessToken, error) {
	if c.left == 0 && c.err == nil {
		<-ctx.Done()
		return azcore.AccessToken{}, ctx.Err()
	}
	if c.left == 0 {
		return azcore.AccessToken{}, c.err
	}
	if c.left--; c.left == 0 && c.last != nil {
		c.last()
	}
	return azcore.AccessToken{Token: "t", ExpiresOn: time.Now().Add(-time.Second)}, nil
}
