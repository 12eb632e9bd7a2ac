package arm

import (
	"errors"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"tandem/internal/pair"
)

// saying is a platform that answers every request whose path ends as given
// with the body, and everything else with 404.
func saying(bodies map[string]string) transport {
	return func(r *http.Request) (*http.Response, error) {
		for end, body := range bodies {
			if strings.HasSuffix(strings.ToLower(r.URL.Path), strings.ToLower(end)) {
				return answered(r, http.StatusOK, body), nil
			}
		}
		return answered(r, http.StatusNotFound, problemBody("ResourceNotFound")), nil
	}
}

func answered(r *http.Request, status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(strings.NewReader(body)), Request: r,
	}
}

// checkFit checks that an error is of exactly one kind and can be logged.
func checkFit(t *testing.T, err error) {
	t.Helper()
	of := 0
	for _, kind := range kinds {
		if errors.Is(err, kind) {
			of++
		}
	}
	text := err.Error()
	if of != 1 {
		t.Errorf("of %d kinds: %q", of, text)
	}
	if len(text) > 4000 || strings.ContainsFunc(text, unicode.IsControl) {
		t.Errorf("not fit to be logged: %q", text)
	}
}

// FuzzALoadBalancerShowsOnlyItsUnits reads any answer about a load balancer
// and an interface: what is seen are members that are units of the pair, in
// pools that are named or hold one; reading again shows the same.
func FuzzALoadBalancerShowsOnlyItsUnits(f *testing.F) {
	f.Add(file(f, "loadbalancer.json"), file(f, "lm-1-nic.json"))
	f.Add(`{"properties":{"backendAddressPools":[null,{},{"name":"LoadMasters","properties":{"loadBalancerBackendAddresses":[null,{},{"properties":{"ipAddress":"::ffff:10.0.2.4","adminState":"Sideways"}}]}}]}}`, `{}`)
	f.Add(`{"properties":{"backendAddressPools":[{"properties":{"backendIPConfigurations":[null,{"id":"`+nicsPath+`lm-1-nic/ipConfigurations/ipconfig1"},{"id":"/x"}]}}]}}`, `{"properties":{"ipConfigurations":[null,{"properties":{"privateIPAddress":"10.0.2.4"}}]}}`)
	f.Add(`null`, `null`)
	f.Add(`{"properties":7}`, `[]`)
	units := []netip.Addr{definition().Units.First.Address, definition().Units.Second.Address}
	f.Fuzz(func(t *testing.T, balancerBody, nicBody string) {
		p := &platform{t: t}
		c := p.client(Options{
			Transport: saying(map[string]string{"/loadBalancers/lb-lm": balancerBody, "-nic": nicBody}),
			Now:       func() time.Time { return epoch },
		})
		seen, err := c.LoadBalancer(t.Context(), definition(), balancer(), false)
		if err != nil {
			checkFit(t, err)
			return
		}
		for _, pool := range seen.Pools {
			named := slices.ContainsFunc(balancer().Pools, func(n string) bool { return strings.EqualFold(n, pool.Name) })
			if !named && len(pool.Members) == 0 {
				t.Errorf("a pool that is none of ours: %+v", pool)
			}
			for _, m := range pool.Members {
				if !slices.Contains(units, m.Address) || m.Admin > pair.AdminDown {
					t.Errorf("member %+v", m)
				}
			}
		}
		again, err := c.LoadBalancer(t.Context(), definition(), balancer(), false)
		if diff := cmp.Diff(seen, again, equal); diff != "" || err != nil {
			t.Errorf("%v; seen otherwise (-first +again)\n%s", err, diff)
		}
	})
}

// FuzzRuleHealthIsAboutTheUnits reads any answer about a rule's health: it
// never costs the reading of the pools, speaks of units only, and is Up only
// where the platform wrote that word.
func FuzzRuleHealthIsAboutTheUnits(f *testing.F) {
	f.Add(file(f, "lb-rule-health.response.json"))
	f.Add(file(f, "lb-rule-health.adminstate.response.json"))
	f.Add(`{"loadBalancerBackendAddresses":[null,{},{"ipAddress":"10.0.2.4","state":"UP"},{"ipAddress":"10.0.2.4","state":7}]}`)
	f.Add(`{"properties":{"provisioningState":"InProgress"}}`)
	f.Add(``)
	balancerBody := file(f, "loadbalancer.json")
	units := []netip.Addr{definition().Units.First.Address, definition().Units.Second.Address}
	f.Fuzz(func(t *testing.T, body string) {
		p := &platform{t: t}
		c := p.client(Options{Transport: saying(map[string]string{
			"/loadBalancers/lb-lm": balancerBody, "/health": body,
			"lm-1-nic": file(t, "lm-1-nic.json"), "lm-2-nic": file(t, "lm-2-nic.json"),
		})})
		seen, err := c.LoadBalancer(t.Context(), definition(), balancer(), true)
		if err != nil || len(seen.Pools) == 0 {
			t.Fatalf("the pools are gone: %+v, %v", seen, err)
		}
		for _, h := range seen.Health {
			if !slices.Contains(units, h.Address) || h.Rule == "" {
				t.Errorf("health of nobody: %+v", h)
			}
			if h.Up && !strings.Contains(strings.ToLower(body), "up") {
				t.Errorf("up without a word: %+v", h)
			}
		}
	})
}

// FuzzAPowerStateIsAWordOfOurs reads any instance view: the power state is one
// that we know, unknown wherever the platform's word is not.
func FuzzAPowerStateIsAWordOfOurs(f *testing.F) {
	f.Add(file(f, "vm-instance-view.running.json"))
	f.Add(file(f, "vm-instance-view.deallocated.json"))
	f.Add(`{"statuses":[null,{},{"code":"PowerState/"},{"code":"powerstate/hibernated"}]}`)
	f.Add(`[]`)
	f.Fuzz(func(t *testing.T, body string) {
		p := &platform{t: t}
		c := p.client(Options{Transport: saying(map[string]string{"/instanceView": body})})
		seen, err := c.Power(t.Context(), definition().VMID(pair.First))
		if err != nil {
			checkFit(t, err)
			return
		}
		if seen.Power > pair.PowerDeallocated {
			t.Errorf("power state %d", seen.Power)
		}
		if seen.Power != pair.PowerUnknown && !strings.Contains(strings.ToLower(body), "powerstate") && !strings.Contains(body, `\u`) {
			t.Errorf("%v without a word: %s", seen.Power, body)
		}
	})
}

// FuzzAFailureIsOfOneKindOnOneLine reads any answer that is not a success: the
// error has exactly one kind, a write that a server failed on is never taken
// for not done, and the text can be logged and waits no longer than an hour.
func FuzzAFailureIsOfOneKindOnOneLine(f *testing.F) {
	for _, name := range []string{"400-nic-pool-modification", "404-notfound", "412-etag", "429-locked", "429-referenced-not-provisioned"} {
		f.Add(400, "", "", file(f, "arm-error-"+name+".json"))
	}
	f.Add(429, "120", "TooManyRequests", `{"error":{"details":[{"code":"RetryableError","message":"two\nlines"}]}}`)
	f.Add(503, "Wed, 21 Oct 2115 07:28:00 GMT", "", `<html>`)
	f.Add(200, "-1", "", file(f, "arm-async-superseded.json"))
	f.Add(409, "", "ScopeLocked\x00", `{"code":"ScopeLocked","message":"`+strings.Repeat("ä", 2000)+`"}`)
	f.Fuzz(func(t *testing.T, status int, after, code, body string) {
		if status < 200 || status > 599 {
			t.Skip()
		}
		for _, write := range []bool{false, true} {
			k := &call{what: "read load balancer lb", write: write, now: func() time.Time { return epoch }}
			resp := answered(nil, status, body)
			resp.Header = http.Header{"Retry-After": {after}, "X-Ms-Error-Code": {code}, "X-Ms-Correlation-Request-Id": {code}}
			err := k.refused(resp)
			checkFit(t, err)
			if write && status >= 500 && !errors.Is(err, pair.ErrUnknownOutcome) {
				t.Errorf("a write that was answered with %d: %v", status, err)
			}
			if wait := pair.RetryAfter(err, 0); wait < 0 || wait > longestAfter {
				t.Errorf("waits %v", wait)
			}
		}
	})
}

// FuzzADocumentComesBackByteForByte reads any answer as a document: what is
// returned is that answer and nothing else, it is an object, and it can be
// written again as it is.
func FuzzADocumentComesBackByteForByte(f *testing.F) {
	f.Add(file(f, "loadbalancer.json"))
	f.Add(file(f, "lm-1-nic.json"))
	f.Add(`{"etag":"a","ETAG":"b"}`)
	f.Add(" \n{\"etag\":\"W/\\\"1\\\"\\r\\n\"}")
	f.Add(`{"id":"` + nicsPath + `other"}`)
	f.Add(`null`)
	f.Fuzz(func(t *testing.T, body string) {
		p := &platform{t: t}
		c := p.client(Options{Transport: saying(map[string]string{"/loadBalancers/lb-lm": body})})
		doc, etag, err := c.Read(t.Context(), lbPath)
		if err != nil {
			checkFit(t, err)
			return
		}
		if string(doc) != body || !strings.HasPrefix(strings.TrimLeft(body, " \t\r\n"), "{") {
			t.Errorf("read %q from %q", doc, body)
		}
		if _, err := c.BeginWrite(t.Context(), lbPath, doc, etag, allowed); err != nil {
			checkFit(t, err)
		}
	})
}

// FuzzAListEnds reads any page of a list that may lead to itself: it ends, and
// what it returns are objects.
func FuzzAListEnds(f *testing.F) {
	f.Add(`{"value":[{"name":"a"}]}`)
	f.Add(`{"value":[{}],"nextLink":"` + home + `/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/loadBalancers"}`)
	f.Add(`{"value":[null],"nextLink":"https://elsewhere.test/"}`)
	f.Add(`{"nextLink":"http://management.test/"}`)
	f.Add(`[]`)
	f.Fuzz(func(t *testing.T, body string) {
		p := &platform{t: t}
		all, err := p.client(Options{Transport: saying(map[string]string{"/loadBalancers": body})}).List(t.Context(), "s", "rg", balancerKind)
		if err != nil {
			checkFit(t, err)
			return
		}
		for _, item := range all {
			if len(item) == 0 || item[0] != '{' {
				t.Errorf("a resource that is none: %q", item)
			}
		}
	})
}

// FuzzAvailabilityIsAPercentage reads any answer about the metric: what it says
// of an address is between 0 and 100.
func FuzzAvailabilityIsAPercentage(f *testing.F) {
	f.Add(`{"value":[{"timeseries":[{"metadatavalues":[{"value":"10.0.2.4"}],"data":[{"average":100},{}]}]}]}`)
	f.Add(`{"value":[null,{"timeseries":[null,{"metadatavalues":[null],"data":[null,{"average":-1e308},{"average":1e308}]}]}]}`)
	f.Add(`{"value":{}}`)
	f.Fuzz(func(t *testing.T, body string) {
		p := &platform{t: t}
		c := p.client(Options{Transport: saying(map[string]string{"/metrics": body}), Now: func() time.Time { return epoch }})
		got, err := c.Availability(t.Context(), lbPath, epoch.Add(-time.Minute))
		if err != nil {
			checkFit(t, err)
			return
		}
		for addr, percent := range got {
			if !addr.IsValid() || !(percent >= 0 && percent <= 100) {
				t.Errorf("%s: %v", addr, percent)
			}
		}
	})
}
