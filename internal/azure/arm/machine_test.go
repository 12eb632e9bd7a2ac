package arm

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tandem/internal/pair"
)

const vmOpPath = "/subscriptions/00000000-0000-0000-0000-000000000001/providers/Microsoft.Compute/locations/westeurope/operations/op2"

// machineActions are the actions on VMs with the paths of their requests.
var machineActions = []struct {
	verb  string
	begin func(*Client, context.Context, pair.ResourceID, func(context.Context) error) (pair.Operation, error)
}{
	{"start", (*Client).BeginStart},
	{"restart", (*Client).BeginRestart},
}

// acting is the platform's answer to an action that it will do (azure.md 5).
func acting(base string) reply {
	return reply{
		status: http.StatusAccepted,
		header: header("Azure-AsyncOperation", base+vmOpPath+signedQuery, "Location", base+vmOpPath+signedQuery+"&monitor=true", "Retry-After", "10"),
	}
}

// machineToken is a resume token of an action, as it is stored.
func machineToken(verb string) string {
	return `{"type":"machineActed","token":{"asyncURL":"` + home + vmOpPath + signedQuery + `","locURL":"","origURL":"` + home + vmPath + "/" + verb + `?api-version=2025-04-01","method":"POST","finalState":"","state":"InProgress"}}`
}

func TestAMachineActsAndIsFollowedByAnotherClient(t *testing.T) {
	for _, action := range machineActions {
		t.Run(action.verb, func(t *testing.T) {
			p := newPlatform(t)
			server := httptest.NewTLSServer(p)
			defer server.Close()
			p.on("POST", vmPath+"/"+action.verb, acting(server.URL))
			p.on("GET", vmOpPath, reply{body: `{"status":"InProgress"}`, header: header("Retry-After", "7")}, reply{body: `{"startTime":"2026-11-22T10:00:00Z","status":"Succeeded","name":"op2"}`})

			one := p.client(Options{Cloud: at(server.URL), Transport: server.Client()})
			begun, err := action.begin(one, t.Context(), definition().VMID(pair.First), allowed)
			if err != nil || begun.Done || begun.Token == "" || begun.After != 10*time.Second {
				t.Fatalf("got %+v, %v", begun, err)
			}
			other := p.client(Options{Cloud: at(server.URL), Transport: server.Client()})
			running, err := other.Poll(t.Context(), begun.Token)
			if err != nil || running.Done || running.After != 7*time.Second {
				t.Fatalf("the first poll gives %+v, %v", running, err)
			}
			done, err := other.Poll(t.Context(), running.Token)
			if err != nil || done != (pair.Operation{Done: true}) {
				t.Fatalf("the second poll gives %+v, %v", done, err)
			}
			posts := p.seen("POST")
			if len(posts) != 1 || posts[0].body != "" || posts[0].header.Get("If-Match") != "" || posts[0].query != "api-version="+computeVersion {
				t.Errorf("sent %+v", posts)
			}
			if n := len(p.seen("")); n != 3 { // no look at the result
				t.Errorf("%d requests", n)
			}
		})
	}
}

func TestTheComputeAPIIsThatOfTheSDK(t *testing.T) {
	p := newPlatform(t)
	p.on("GET", vmPath+"/instanceView", reply{body: `{}`})
	if _, err := p.client(Options{}).Power(t.Context(), definition().VMID(pair.First)); err != nil {
		t.Fatal(err)
	}
	if got := p.seen("")[0].query; got != "api-version="+computeVersion {
		t.Errorf("armcompute speaks %q, VMs are started in %q", got, computeVersion)
	}
}

func TestTheLastLookStandsRightBeforeAnAction(t *testing.T) {
	speaksAgainst := errors.New("the lease is lost")
	for _, action := range machineActions {
		p := newPlatform(t)
		_, err := action.begin(p.client(Options{}), t.Context(), definition().VMID(pair.First), func(context.Context) error { return speaksAgainst })
		if !errors.Is(err, speaksAgainst) || len(p.seen("")) != 0 {
			t.Errorf("%s: got %v after %d requests", action.verb, err, len(p.seen("")))
		}
	}
}

// An action is sent once, whatever the answer, and the answer has a kind.
func TestAnswersToAnAction(t *testing.T) {
	tests := []struct {
		name  string
		reply reply
		want  error // nil where the action goes on or is done
		after time.Duration
		done  bool
	}{
		{"an action that is done at once is done", reply{status: 200}, nil, 0, true},
		{"an action without an operation's address is followed by its location", reply{status: 202, header: header("Location", home+vmOpPath)}, nil, 0, false},
		{"an action that cannot be followed is unknown", reply{status: 202}, pair.ErrUnknownOutcome, 0, false},
		{"an address that is none cannot be followed", reply{status: 202, header: header("Azure-AsyncOperation", "not a url")}, pair.ErrUnknownOutcome, 0, false},
		{"a VM that is gone", reply{status: 404, body: problemBody("ResourceNotFound")}, pair.ErrNotFound, 0, false},
		{"a VM on which another action runs is busy", reply{status: 409, header: header("Retry-After", "15"), body: problemBody("ConflictingConcurrentWriteNotAllowed")}, pair.ErrBusy, 15 * time.Second, false},
		{"a VM that does not run cannot be restarted", reply{status: 409, body: problemBody("OperationNotAllowed")}, pair.ErrRefused, 0, false},
		{"a conflict that is not explained", reply{status: 409, body: problemBody("Conflict")}, pair.ErrConflict, 0, false},
		{"a quota is for a person", reply{status: 409, body: problemBody("QuotaExceeded")}, pair.ErrRefused, 0, false},
		{"no room in the region passes", reply{status: 409, body: problemBody("AllocationFailed")}, pair.ErrRefused, 10 * time.Minute, false},
		{"no room in the zone passes", reply{status: 409, body: problemBody("ZonalAllocationFailed")}, pair.ErrRefused, 10 * time.Minute, false},
		{"no room for all that is wanted passes", reply{status: 409, body: problemBody("OverconstrainedAllocationRequest")}, pair.ErrRefused, 10 * time.Minute, false},
		{"if the platform says when, that counts", reply{status: 409, header: header("Retry-After", "60"), body: problemBody("AllocationFailed")}, pair.ErrRefused, time.Minute, false},
		{"a size that is not to be had passes", reply{status: 409, body: problemBody("SkuNotAvailable")}, pair.ErrRefused, 10 * time.Minute, false},
		{"a person's lock is a refusal", reply{status: 409, body: problemBody("ScopeLocked")}, pair.ErrRefused, 0, false},
		{"a missing right is a refusal", reply{status: 403, body: problemBody("AuthorizationFailed")}, pair.ErrRefused, 0, false},
		{"too many requests are throttled", reply{status: 429, header: header("Retry-After", "30"), body: problemBody("TooManyRequests")}, pair.ErrThrottled, 30 * time.Second, false},
		{"a request that makes no sense to the platform", reply{status: 400, body: problemBody("InvalidParameter")}, pair.ErrInvalid, 0, false},
		{"after a server's error nobody knows", reply{status: 500, body: problemBody("InternalServerError")}, pair.ErrUnknownOutcome, 0, false},
		{"even if it speaks of room", reply{status: 503, body: problemBody("AllocationFailed")}, pair.ErrUnknownOutcome, 10 * time.Minute, false},
		{"after a cut connection nobody knows", reply{cut: true}, pair.ErrUnknownOutcome, 0, false},
	}
	for _, tt := range tests {
		for _, action := range machineActions {
			t.Run(tt.name+", "+action.verb, func(t *testing.T) {
				p := newPlatform(t)
				p.on("POST", vmPath+"/"+action.verb, tt.reply)
				op, err := action.begin(p.client(Options{}), t.Context(), definition().VMID(pair.First), allowed)
				if n := len(p.seen("")); n != 1 {
					t.Errorf("%d requests", n)
				}
				if tt.want == nil {
					if err != nil || op.Done != tt.done || (op.Token == "") != tt.done {
						t.Errorf("got %+v, %v", op, err)
					}
					return
				}
				checkKind(t, err, tt.want)
				if got := pair.RetryAfter(err, 0); got != tt.after || op != (pair.Operation{}) {
					t.Errorf("asks to wait %v, want %v; operation %+v", got, tt.after, op)
				}
				if !strings.HasPrefix(err.Error(), action.verb+" VM lm1: ") {
					t.Errorf("says %q", err)
				}
			})
		}
	}
}

func TestNoActionOnWhatIsNoVM(t *testing.T) {
	p := newPlatform(t)
	_, err := p.client(Options{}).BeginStart(t.Context(), definition().LoadBalancerID("lb-lm"), allowed)
	checkKind(t, err, pair.ErrInvalid)
	if n := len(p.seen("")); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestTheEndOfAnAction(t *testing.T) {
	tests := []struct {
		name  string
		reply reply
		want  error // nil where it is done
		after time.Duration
	}{
		{"it succeeds", reply{body: `{"status":"Succeeded"}`}, nil, 0},
		{"the region has no room", reply{body: `{"status":"Failed","error":{"code":"AllocationFailed","message":"no"}}`}, pair.ErrRefused, 10 * time.Minute},
		{"the quota is used up", reply{body: `{"status":"Failed","error":{"code":"OperationNotAllowed","message":"quota"}}`}, pair.ErrRefused, 0},
		{"another action preempts it", reply{body: `{"status":"Failed","error":{"code":"OperationPreempted"}}`}, pair.ErrSuperseded, 0},
		{"it fails for a reason of its own", reply{body: `{"status":"Failed","error":{"code":"VMStartTimedOut"}}`}, pair.ErrUnknownOutcome, 0},
		{"the platform forgot it", reply{status: 404, body: problemBody("OperationNotFound")}, pair.ErrUnknownOutcome, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlatform(t)
			p.on("GET", vmOpPath, tt.reply)
			op, err := p.client(Options{}).Poll(t.Context(), machineToken("restart"))
			if tt.want == nil {
				if err != nil || op != (pair.Operation{Done: true}) {
					t.Errorf("got %+v, %v", op, err)
				}
				return
			}
			checkKind(t, err, tt.want)
			if got := pair.RetryAfter(err, 0); got != tt.after {
				t.Errorf("asks to wait %v, want %v", got, tt.after)
			}
			if !strings.HasPrefix(err.Error(), "look at the restart of VM lm1: ") {
				t.Errorf("says %q", err)
			}
		})
	}
}

// Stored tokens of every release must be readable: this is the form of the
// first that acts on VMs.
func TestTheTokenOfAnAction(t *testing.T) {
	p := newPlatform(t)
	p.on("POST", vmPath+"/start", reply{status: http.StatusAccepted, header: header("Azure-AsyncOperation", home+vmOpPath+signedQuery)})
	op, err := p.client(Options{}).BeginStart(t.Context(), definition().VMID(pair.First), allowed)
	if err != nil {
		t.Fatal(err)
	}
	if want := machineToken("start"); !strings.EqualFold(op.Token, strings.ReplaceAll(want, "&", `\u0026`)) { // ids are in lower case
		t.Errorf("got\n%s\nwant\n%s", op.Token, want)
	}
}
