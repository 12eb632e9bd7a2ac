package arm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"tandem/internal/pair"
)

const lbETag = `W/"aaaaaaaa-0000-0000-0000-000000000001"`

// tagged is a load balancer with tags, as JSON.
func tagged(tags string) string {
	return `{"name":"lb-lm", "etag":` + quoted(lbETag) + `,"tags": ` + tags + ` ,"properties":{"tags":{"not":"these"},"provisioningState":"Succeeded"}}`
}

func setTag(t *testing.T, p *platform, name, value string) (pair.Operation, error) {
	t.Helper()
	return p.client(Options{}).SetTag(t.Context(), definition().LoadBalancerID("lb-lm"), name, value, allowed)
}

func TestATagIsWrittenAndTheOthersStay(t *testing.T) {
	tests := []struct {
		name        string
		tags        string
		tag, value  string
		patch, then string // the tags that are written, and that are read afterwards
	}{
		{"the first tag", `{}`, "tandem-edge", "second Down", `{"tandem-edge":"second Down"}`, `{"tandem-edge":"second Down"}`},
		{"the first tag where none are told", `null`, "tandem-edge", "x", `{"tandem-edge":"x"}`, `{"tandem-edge":"x"}`},
		{
			"another tag, beside bytes that only look odd", `{ "a" :  "1\u002c} \"" ,` + "\n" + `"B/ü":"", "c":"\ud83d\ude00"}`, "tandem-edge", `<&"> ü`,
			`{"a" :  "1\u002c} \"","B/ü":"","c":"\ud83d\ude00","tandem-edge":"\u003c\u0026\"\u003e ü"}`, `{"tandem-edge":"<&\"> ü"}`,
		},
		{"a new value, in its place", `{"a":"1","tandem-edge":"old","z":"2"}`, "tandem-edge", "new", `{"a":"1","tandem-edge":"new","z":"2"}`, `{"tandem-edge":"new"}`},
		{"a new value of a tag that was spelt in another way", `{"Tandem-Edge":"old"}`, "tandem-edge", "new", `{"tandem-edge":"new"}`, `{"TANDEM-EDGE":"new"}`},
		{"a tag that goes", `{"a":"1","tandem-edge":"old","z":"2"}`, "tandem-edge", "", `{"a":"1","z":"2"}`, `{"a":"1","z":"2"}`},
		{"the last tag that goes", `{"tandem-edge":"old"}`, "tandem-edge", "", `{}`, `{}`},
		{"an empty tag that goes", `{"tandem-edge":""}`, "tandem-edge", "", `{}`, `null`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlatform(t)
			p.on("GET", lbPath, reply{body: tagged(tt.tags)}, reply{body: tagged(tt.then)})
			p.on("PATCH", lbPath, reply{body: `{"properties":{"provisioningState":"Failed"}}`}) // of the load balancer, not of the tag
			op, err := setTag(t, p, tt.tag, tt.value)
			if err != nil || op != (pair.Operation{Done: true}) {
				t.Fatalf("got %+v, %v", op, err)
			}
			writes := p.seen("PATCH")
			if want := `{"tags":` + tt.patch + `}`; len(writes) != 1 || writes[0].body != want {
				t.Fatalf("wrote %+v\nwant %s", writes, want)
			}
			w := writes[0]
			if w.header.Get("If-Match") != lbETag || w.header.Get("Content-Type") != "application/json" || w.query != "api-version="+networkVersion {
				t.Errorf("sent %s with %v", w.query, w.header)
			}
			for _, r := range p.seen("GET") {
				if r.header.Get("If-Match") != "" {
					t.Error("a GET carries If-Match")
				}
			}
		})
	}
}

func TestNoTagIsWritten(t *testing.T) {
	full := func(n int) string {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf(`"t%d":"x"`, i))
		}
		return "{" + strings.Join(list, ",") + "}"
	}
	tests := []struct {
		name       string
		body       string
		tag, value string
		want       error // nil where the operation is done
	}{
		{"where it is so", tagged(`{"tandem-edge":"x"}`), "tandem-edge", "x", nil},
		{"where it is so in another spelling", tagged(`{"Tandem-Edge":"x"}`), "tandem-edge", "x", nil},
		{"where there is nothing to remove", tagged(`{"a":"1"}`), "tandem-edge", "", nil},
		{"of a person", "", "owner", "x", pair.ErrInvalid},
		{"without a name of its own", "", "tandem-", "x", pair.ErrInvalid},
		{"in a spelling that would not be found again", "", "tandem-Edge", "x", pair.ErrInvalid},
		{"with a sign that Azure does not allow", "", "tandem-a/b", "x", pair.ErrInvalid},
		{"with a control sign", "", "tandem-a\n", "x", pair.ErrInvalid},
		{"that is no text", "", "tandem-edge", "\xff", pair.ErrInvalid},
		{"with a name that is too long", "", "tandem-" + strings.Repeat("x", 506), "x", pair.ErrTooLarge},
		{"with a value that is too long", "", "tandem-edge", strings.Repeat("x", 257), pair.ErrTooLarge},
		{"with a value that is too long for Azure's way of counting", "", "tandem-edge", strings.Repeat("😀", 129), pair.ErrTooLarge},
		{"on a load balancer that is full", tagged(full(50)), "tandem-edge", "x", pair.ErrTooLarge},
		{"without an ETag", `{"tags":{}}`, "tandem-edge", "x", pair.ErrUnreadable},
		{"where a name comes twice", tagged(`{"a":"1","A":"2"}`), "tandem-edge", "x", pair.ErrUnreadable},
		{"where the tags come twice", `{"etag":"x","tags":{},"Tags":{"a":"1"}}`, "tandem-edge", "x", pair.ErrUnreadable},
		{"where a tag is no text", tagged(`{"a":1}`), "tandem-edge", "x", pair.ErrUnreadable},
		{"where the tags are a list", tagged(`["a"]`), "tandem-edge", "x", pair.ErrUnreadable},
		{"where the load balancer is no JSON", `<html>`, "tandem-edge", "x", pair.ErrUnreadable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlatform(t)
			if tt.body != "" {
				p.on("GET", lbPath, reply{body: tt.body})
			}
			op, err := setTag(t, p, tt.tag, tt.value)
			if tt.want == nil && (err != nil || op != pair.Operation{Done: true}) {
				t.Fatalf("got %+v, %v", op, err)
			}
			if tt.want != nil {
				checkKind(t, err, tt.want)
			}
			if n := len(p.seen("PATCH")); n != 0 {
				t.Errorf("%d writes", n)
			}
		})
	}
	t.Run("on what is no load balancer", func(t *testing.T) {
		p := newPlatform(t)
		_, err := p.client(Options{}).SetTag(t.Context(), definition().VMID(pair.First), "tandem-edge", "x", allowed)
		checkKind(t, err, pair.ErrInvalid)
	})
	t.Run("when the last look speaks against it, after the only read", func(t *testing.T) {
		p := newPlatform(t)
		p.on("GET", lbPath, reply{body: tagged(`{}`)})
		speaksAgainst := errors.New("the lease is lost")
		reads := 0
		_, err := p.client(Options{}).SetTag(t.Context(), definition().LoadBalancerID("lb-lm"), "tandem-edge", "x", func(context.Context) error {
			reads = len(p.seen("GET"))
			return speaksAgainst
		})
		if !errors.Is(err, speaksAgainst) || reads != 1 || len(p.seen("")) != 1 {
			t.Errorf("got %v, %d requests, %d before the last look", err, len(p.seen("")), reads)
		}
	})
}

func TestTheLimitsOfTagsAreThoseOfAzure(t *testing.T) {
	for name, value := range map[string]string{
		"tandem-" + strings.Repeat("x", 505): "x",
		"tandem-edge":                        strings.Repeat("ü", 256),
		"tandem-😀":                           strings.Repeat("😀", 128),
	} {
		p := newPlatform(t)
		answer, _ := json.Marshal(map[string]string{name: value})
		p.on("GET", lbPath, reply{body: tagged(`{}`)}, reply{body: tagged(string(answer))})
		p.on("PATCH", lbPath, reply{})
		if op, err := setTag(t, p, name, value); err != nil || !op.Done {
			t.Errorf("%.20s: got %+v, %v", name, op, err)
		}
	}
}

// A write of a tag is sent once, whatever the answer, and the answer has a
// kind.
func TestAnswersToATag(t *testing.T) {
	tests := []struct {
		name  string
		reply reply
		then  reply // to reading back
		want  error
		after time.Duration
	}{
		{"a load balancer that was changed meanwhile is a conflict", reply{status: 412, body: file(t, "arm-error-412-etag.json")}, reply{}, pair.ErrConflict, 0},
		{"a lock is busy", reply{status: 429, header: header("Retry-After", "12"), body: file(t, "arm-error-429-locked.json")}, reply{}, pair.ErrBusy, 12 * time.Second},
		{"too many requests are throttled", reply{status: 429, header: header("Retry-After", "30")}, reply{}, pair.ErrThrottled, 30 * time.Second},
		{"a missing right is a refusal", reply{status: 403, body: problemBody("AuthorizationFailed")}, reply{}, pair.ErrRefused, 0},
		{"a policy on tags is a refusal", reply{status: 403, body: problemBody("RequestDisallowedByPolicy")}, reply{}, pair.ErrRefused, 0},
		{"what is gone is not found", reply{status: 404, body: file(t, "arm-error-404-notfound.json")}, reply{}, pair.ErrNotFound, 0},
		{"after a server's error nobody knows", reply{status: 500}, reply{}, pair.ErrUnknownOutcome, 0},
		{"after a cut connection nobody knows", reply{cut: true}, reply{}, pair.ErrUnknownOutcome, 0},
		{"a success that is not seen is none", reply{body: `{}`}, reply{body: tagged(`{"tandem-edge":"old"}`)}, pair.ErrUnknownOutcome, 0},
		{"a success that cannot be seen is none", reply{body: `{}`}, reply{status: 404, body: problemBody("NotFound")}, pair.ErrUnknownOutcome, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlatform(t)
			p.on("GET", lbPath, reply{body: tagged(`{"tandem-edge":"old"}`)}, tt.then)
			p.on("PATCH", lbPath, tt.reply)
			op, err := setTag(t, p, "tandem-edge", "new")
			checkKind(t, err, tt.want)
			if got := pair.RetryAfter(err, 0); got != tt.after || op != (pair.Operation{}) {
				t.Errorf("asks to wait %v, want %v; operation %+v", got, tt.after, op)
			}
			if !strings.HasPrefix(err.Error(), "set tag tandem-edge of load balancer lb-lm: ") {
				t.Errorf("says %q", err)
			}
			if n := len(p.seen("PATCH")); n != 1 {
				t.Errorf("sent %d times", n)
			}
		})
	}
}

// No document says that tags may take time; if they do, they are followed.
func TestATagThatTakesTimeIsFollowed(t *testing.T) {
	p := newPlatform(t)
	p.on("GET", lbPath, reply{header: header("ETag", lbETag), body: `{"tags":{}}`})
	p.on("PATCH", lbPath, reply{status: http.StatusAccepted, header: header("Azure-AsyncOperation", home+opPath, "Retry-After", "4")})
	p.on("GET", opPath, reply{body: `{"status":"Succeeded"}`}, reply{body: file(t, "arm-async-superseded.json")})
	op, err := setTag(t, p, "tandem-edge", "new")
	if err != nil || op.Done || op.After != 4*time.Second {
		t.Fatalf("got %+v, %v", op, err)
	}
	other := p.client(Options{})
	if done, err := other.Poll(t.Context(), op.Token); err != nil || !done.Done {
		t.Fatalf("the poll gives %+v, %v", done, err)
	}
	_, err = other.Poll(t.Context(), op.Token)
	checkKind(t, err, pair.ErrSuperseded)
	if !strings.HasPrefix(err.Error(), "look at the tags of load balancer lb-lm: ") {
		t.Errorf("says %q", err)
	}
}

// Whatever the tags look like: if they can be read, the write is JSON in which
// every other tag is what it was.
func FuzzTags(f *testing.F) {
	f.Add(file(f, "loadbalancer.json"), "tandem-edge", "x")
	f.Add(tagged(`{ "a" :  "1\u002c} \"" ,"b":"", "tandem-edge":"\ud83d\ude00"}`), "tandem-edge", "")
	f.Add(`{"TAGS":{"Tandem-Edge":null,"c":"d"},"ETAG":"x"}`, "tandem-edge", "<&>")
	f.Fuzz(func(t *testing.T, raw, name, value string) {
		tags, _, err := parseTags([]byte(raw))
		if err != nil || !utf8.ValidString(name+value) {
			return
		}
		back, _, err := parseTags(tags.with(name, value).patch())
		if err != nil {
			t.Fatalf("%q is written as %q: %v", raw, tags.with(name, value).patch(), err)
		}
		if !back.has(name, value) {
			t.Fatalf("%q has not %q %q", back.patch(), name, value)
		}
		others := func(s tagSet) []string {
			var list []string
			for _, t := range s {
				if !strings.EqualFold(t.name, name) {
					list = append(list, t.name, t.value, string(t.raw))
				}
			}
			return list
		}
		if a, b := others(tags), others(back); !slices.Equal(a, b) {
			t.Fatalf("%q became %q", a, b)
		}
	})
}
