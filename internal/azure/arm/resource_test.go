package arm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/pair"
)

const (
	groupPath   = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-lm/providers/Microsoft.Network/networkSecurityGroups/nsg-lm"
	networkPath = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-lm/providers/Microsoft.Network/virtualNetworks/vnet-lm"
	publicPath  = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-lm/providers/Microsoft.Network/publicIPAddresses/pip-lm"
)

func TestADocumentIsReadAsItIs(t *testing.T) {
	const raw = "{ \"name\" :\"x\",\n \"etag\":\"W/\\\"1\\\"\", \"new\": [1.50, {\"tomorrow\": null}] }"
	for path, version := range map[string]string{
		lbPath: networkVersion, groupPath: networkVersion, nicsPath + "lm-9-nic": networkVersion, publicPath: networkVersion,
		networkPath: networkVersion, networkPath + "/subnets/units": networkVersion, vmPath: computeVersion,
	} {
		p := newPlatform(t)
		p.on("GET", path, reply{body: raw, header: header("ETag", `W/"2"`)})
		doc, etag, err := p.client(Options{}).Read(t.Context(), pair.NewResourceID(path))
		if err != nil || string(doc) != raw || etag != `W/"1"` {
			t.Errorf("%s: got %s, ETag %s, %v", path, doc, etag, err)
		}
		if got := p.seen(""); len(got) != 1 || got[0].query != "api-version="+version {
			t.Errorf("%s: requests %+v, want one of version %s", path, got, version)
		}
	}
}

func TestTheETagOfADocument(t *testing.T) {
	tests := []struct{ name, body, header, want string }{
		{"is that of the document", `{"etag":"a"}`, "b", "a"},
		{"is that of the header where the document has none", `{}`, "b", "b"},
		{"is empty where there is none", `{}`, "", ""},
		{"is no number", `{"etag":7}`, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlatform(t)
			p.on("GET", groupPath, reply{body: tt.body, header: header("ETag", tt.header)})
			if _, etag, err := p.client(Options{}).Read(t.Context(), groupPath); err != nil || etag != tt.want {
				t.Errorf("got %q, %v; want %q", etag, err, tt.want)
			}
		})
	}
}

func TestReadsThatFail(t *testing.T) {
	tests := []struct {
		name  string
		reply reply
		want  error
	}{
		{"what is not there", reply{status: 404, body: file(t, "arm-error-404-notfound.json")}, pair.ErrNotFound},
		{"a group that is not there", reply{status: 404, body: problemBody("ResourceGroupNotFound")}, pair.ErrNotFound},
		{"a missing right", reply{status: 403, body: problemBody("AuthorizationFailed")}, pair.ErrRefused},
		{"too many requests", reply{status: 429, header: header("Retry-After", "17")}, pair.ErrThrottled},
		{"a platform in trouble", reply{status: 503}, pair.ErrUnreachable},
		{"a cut connection", reply{cut: true}, pair.ErrUnreachable},
		{"a page of a proxy", reply{body: "<html>"}, pair.ErrUnreadable},
		{"a list", reply{body: "[{}]"}, pair.ErrUnreadable},
		{"nothing", reply{body: ""}, pair.ErrUnreadable},
		{"null", reply{body: "null"}, pair.ErrUnreadable},
		{"an ETag that comes twice", reply{body: `{"etag":"a","Etag":"b"}`}, pair.ErrUnreadable},
		{"an answer without an end", reply{body: `{"x":"` + strings.Repeat("x", maxAnswer) + `"}`}, pair.ErrUnreadable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlatform(t)
				p.on("GET", groupPath, tt.reply)
				_, _, err := p.client(Options{}).Read(t.Context(), groupPath)
				checkKind(t, err, tt.want)
				if !strings.HasPrefix(err.Error(), "read security group nsg-lm: ") {
					t.Errorf("says %q", err)
				}
				if tt.want == pair.ErrThrottled && pair.RetryAfter(err, 0) != 17*time.Second {
					t.Errorf("asks to wait %v", pair.RetryAfter(err, 0))
				}
			})
		})
	}
}

// notOurs are ids that lead to no resource of a pair.
var notOurs = []string{
	"", "x", lbPath + "/backendAddressPools/p", lbPath + "/..", strings.Replace(lbPath, "lb-lm", "..", 1), strings.Replace(lbPath, "rg-lm", "..", 1),
	strings.Replace(lbPath, "loadBalancers", "routeTables", 1), "/subscriptions/00000000-0000-0000-0000-000000000001",
	"/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-lm",
	"/subscriptions/00000000-0000-0000-0000-000000000001/providers/Microsoft.Network/loadBalancers/lb-lm",
	strings.Replace(networkPath, "vnet-lm", "..", 1) + "/subnets/units",
}

func TestIDsThatLeadElsewhereAreRefused(t *testing.T) {
	p := newPlatform(t)
	c := p.client(Options{})
	for _, id := range notOurs {
		_, _, err := c.Read(t.Context(), pair.ResourceID(id))
		checkKind(t, err, pair.ErrInvalid)
		_, err = c.BeginWrite(t.Context(), pair.ResourceID(id), []byte(`{}`), "", allowed)
		checkKind(t, err, pair.ErrInvalid)
		_, err = c.Availability(t.Context(), pair.ResourceID(id), time.Now().Add(-time.Minute))
		checkKind(t, err, pair.ErrInvalid)
	}
	if n := len(p.seen("")); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestADocumentIsWrittenAsItIs(t *testing.T) {
	const doc = "{ \"location\":\"westeurope\",\n\"new\": [1.50, {\"tomorrow\": null}] }"
	tests := []struct {
		name, path, doc, ifMatch string
		wantIfMatch, wantNone    string
		says                     string
	}{
		{"on the version that it was made from", lbPath, doc, `W/"1"`, `W/"1"`, "", "the write of load balancer lb-lm"},
		{"or only where there is none yet", groupPath, doc, "", "", "*", "the write of security group nsg-lm"},
		{"an interface", nicsPath + "lm-1-nic", doc, `W/"1"`, `W/"1"`, "", "the write of interface lm-1-nic"},
		{"a public address", publicPath, doc, "", "", "*", "the write of public IP address pip-lm"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlatform(t)
			p.on("PUT", tt.path, taken(home))
			p.on("GET", opPath, reply{body: `{"status":"InProgress"}`, header: header("Retry-After", "7")}, reply{body: `{"status":"Succeeded"}`})
			op, err := p.client(Options{}).BeginWrite(t.Context(), pair.NewResourceID(tt.path), []byte(tt.doc), tt.ifMatch, allowed)
			if err != nil || op.Done || op.Token == "" || op.After != 3*time.Second {
				t.Fatalf("got %+v, %v", op, err)
			}
			puts := p.seen("PUT")
			if len(puts) != 1 || len(p.seen("")) != 1 || puts[0].body != tt.doc || puts[0].query != "api-version="+networkVersion {
				t.Fatalf("requests %+v", p.seen(""))
			}
			h := puts[0].header
			if h.Get("If-Match") != tt.wantIfMatch || h.Get("If-None-Match") != tt.wantNone || h.Get("Content-Type") != "application/json" {
				t.Errorf("header %v", h)
			}
			if got := subject(op.Token); got != tt.says {
				t.Errorf("the token is of %q, want %q", got, tt.says)
			}
			other := p.client(Options{})
			running, err := other.Poll(t.Context(), op.Token)
			if err != nil || running.Done || running.After != 7*time.Second {
				t.Fatalf("the first poll gives %+v, %v", running, err)
			}
			done, err := other.Poll(t.Context(), running.Token)
			if err != nil || done != (pair.Operation{Done: true}) {
				t.Fatalf("the second poll gives %+v, %v", done, err)
			}
			for _, r := range p.seen("GET") {
				if r.header.Get("If-Match")+r.header.Get("If-None-Match") != "" {
					t.Errorf("GET %s carries a condition", r.path)
				}
			}
		})
	}
}

func TestTheSpellingOfANameIsThatOfTheDocument(t *testing.T) {
	p := newPlatform(t)
	spelled := strings.Replace(groupPath, "nsg-lm", "NSG-Lm", 1)
	p.on("PUT", spelled, taken(home))
	doc := `{"id":` + quoted(spelled) + `}`
	if _, err := p.client(Options{}).BeginWrite(t.Context(), pair.NewResourceID(groupPath), []byte(doc), "", allowed); err != nil {
		t.Fatal(err)
	}
	if got := p.seen("PUT")[0].path; got != spelled {
		t.Errorf("written to %s, want %s", got, spelled)
	}
}

// The recorded first answer to the write of a load balancer says Succeeded, and
// that to an interface has no operation to poll (azure.md 1.9).
func TestAWriteMayBeOverAtOnce(t *testing.T) {
	var recorded struct {
		Response struct {
			Status  int
			Headers map[string]string
			Body    json.RawMessage
		}
	}
	if err := json.Unmarshal([]byte(file(t, "arm-put-loadbalancer.exchange.json")), &recorded); err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	for name, value := range recorded.Response.Headers {
		h.Set(name, strings.Replace(value, "https://management.azure.com", home, 1))
	}
	for name, answer := range map[string]reply{
		"a load balancer as recorded": {status: recorded.Response.Status, header: h, body: string(recorded.Response.Body)},
		"without an operation":        {status: 200, body: `{"properties":{"provisioningState":"Succeeded"}}`},
		"without a state":             {status: 200, body: `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlatform(t)
			p.on("PUT", lbPath, answer)
			op, err := p.client(Options{}).BeginWrite(t.Context(), lbPath, []byte(`{}`), "", allowed)
			if err != nil || op != (pair.Operation{Done: true}) || len(p.seen("")) != 1 {
				t.Errorf("got %+v, %v after %d requests", op, err, len(p.seen("")))
			}
		})
	}
}

func TestAWriteWithoutAnOperationIsFollowedByItsResource(t *testing.T) {
	p := newPlatform(t)
	nic := nicsPath + "lm-1-nic"
	state := func(s string) reply { return reply{body: `{"properties":{"provisioningState":"` + s + `"}}`} }
	p.on("PUT", nic, state("Updating"))
	p.on("GET", nic, state("Updating"), state("Succeeded"))
	op, err := p.client(Options{}).BeginWrite(t.Context(), pair.ResourceID(nic), []byte(`{}`), `W/"1"`, allowed)
	if err != nil || op.Done {
		t.Fatalf("got %+v, %v", op, err)
	}
	if got := subject(op.Token); got != "the write of interface lm-1-nic" {
		t.Errorf("the token is of %q", got)
	}
	other := p.client(Options{})
	if op, err = other.Poll(t.Context(), op.Token); err != nil || op.Done {
		t.Fatalf("the first poll gives %+v, %v", op, err)
	}
	if op, err = other.Poll(t.Context(), op.Token); err != nil || !op.Done {
		t.Fatalf("the second poll gives %+v, %v", op, err)
	}
}

func TestNoDocumentIsWritten(t *testing.T) {
	tests := []struct {
		name, path, doc, ifMatch string
		want                     error
	}{
		{"to a VM", vmPath, `{}`, "a", pair.ErrInvalid},
		{"to a virtual network", networkPath, `{}`, "a", pair.ErrInvalid},
		{"to a subnet", networkPath + "/subnets/units", `{}`, "a", pair.ErrInvalid},
		{"that is no JSON", lbPath, `{`, "a", pair.ErrInvalid},
		{"that is no object", lbPath, `[{}]`, "a", pair.ErrInvalid},
		{"that is nothing", lbPath, ``, "a", pair.ErrInvalid},
		{"with two ids", lbPath, `{"id":"a","ID":"b"}`, "a", pair.ErrInvalid},
		{"of another resource", lbPath, `{"id":` + quoted(groupPath) + `}`, "a", pair.ErrInvalid},
		{"with an id that is none", lbPath, `{"id":"x"}`, "a", pair.ErrInvalid},
		{"on any version", lbPath, `{}`, "*", pair.ErrInvalid},
		{"on a version that is no header", lbPath, `{}`, "a\r\nX: y", pair.ErrInvalid},
		{"that is larger than the platform takes", lbPath, `{"x":"` + strings.Repeat("x", maxDocument) + `"}`, "a", pair.ErrTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlatform(t)
			_, err := p.client(Options{}).BeginWrite(t.Context(), pair.ResourceID(tt.path), []byte(tt.doc), tt.ifMatch, allowed)
			checkKind(t, err, tt.want)
			if n := len(p.seen("")); n != 0 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

func TestTheLastLookStandsRightBeforeADocumentLeaves(t *testing.T) {
	p := newPlatform(t)
	p.on("PUT", lbPath, taken(home))
	speaksAgainst := errors.New("the lease is gone")
	looks := 0
	_, err := p.client(Options{}).BeginWrite(t.Context(), lbPath, []byte(`{}`), "a", func(context.Context) error {
		looks++
		return speaksAgainst
	})
	if err != speaksAgainst || looks != 1 || len(p.seen("")) != 0 {
		t.Errorf("got %v after %d looks and %d requests", err, looks, len(p.seen("")))
	}
}

func TestWritesThatFail(t *testing.T) {
	tests := []struct {
		name  string
		reply reply
		want  error
		after time.Duration
	}{
		{"another version, or what is to be created exists", reply{status: 412, body: file(t, "arm-error-412-etag.json")}, pair.ErrConflict, 0},
		{"a lock", reply{status: 429, body: file(t, "arm-error-429-locked.json"), header: header("Retry-After", "5")}, pair.ErrBusy, 5 * time.Second},
		{"something that it refers to is being written", reply{status: 429, body: file(t, "arm-error-429-referenced-not-provisioned.json"), header: header("Retry-After", "9")}, pair.ErrBusy, 9 * time.Second},
		{"too many requests", reply{status: 429, body: problemBody("SubscriptionRequestsThrottled"), header: header("Retry-After", "17")}, pair.ErrThrottled, 17 * time.Second},
		{"an impossible document", reply{status: 400, body: file(t, "arm-error-400-backend-port-clash.json")}, pair.ErrInvalid, 0},
		{"a missing right to join", reply{status: 403, body: problemBody("LinkedAuthorizationFailed")}, pair.ErrRefused, 0},
		{"no resource group", reply{status: 404, body: problemBody("ResourceGroupNotFound")}, pair.ErrNotFound, 0},
		{"a platform in trouble", reply{status: 500}, pair.ErrUnknownOutcome, 0},
		{"a cut connection", reply{cut: true}, pair.ErrUnknownOutcome, 0},
		{"an answer that says Failed", reply{body: `{"properties":{"provisioningState":"Failed"}}`}, pair.ErrUnknownOutcome, 0},
	}
	for _, tt := range tests {
		for ifMatch, verb := range map[string]string{"a": "write", "": "create"} {
			t.Run(tt.name+", "+verb, func(t *testing.T) {
				p := newPlatform(t)
				p.on("PUT", lbPath, tt.reply)
				_, err := p.client(Options{}).BeginWrite(t.Context(), lbPath, []byte(`{}`), ifMatch, allowed)
				checkKind(t, err, tt.want)
				if !strings.HasPrefix(err.Error(), verb+" load balancer lb-lm: ") || pair.RetryAfter(err, 0) != tt.after {
					t.Errorf("says %q, asks to wait %v", err, pair.RetryAfter(err, 0))
				}
				if n := len(p.seen("PUT")); n != 1 {
					t.Errorf("sent %d times", n)
				}
			})
		}
	}
}

func TestHowAWriteEndsIsTold(t *testing.T) {
	tests := []struct {
		name  string
		reply reply
		want  error
	}{
		{"superseded", reply{body: file(t, "arm-async-superseded.json")}, pair.ErrSuperseded},
		{"failed", reply{body: `{"status":"Failed","error":{"code":"InternalServerError","message":"x"}}`}, pair.ErrUnknownOutcome},
		{"failed for a reason that is known", reply{body: `{"status":"Failed","error":{"code":"ReferencedResourceNotProvisioned","message":"x"}}`}, pair.ErrBusy},
		{"forgotten", reply{status: 404}, pair.ErrUnknownOutcome},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlatform(t)
			p.on("PUT", lbPath, taken(home))
			p.on("GET", opPath, tt.reply)
			c := p.client(Options{})
			op, err := c.BeginWrite(t.Context(), lbPath, []byte(`{}`), "a", allowed)
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.Poll(t.Context(), op.Token)
			checkKind(t, err, tt.want)
			if !strings.HasPrefix(err.Error(), "look at the write of load balancer lb-lm: ") {
				t.Errorf("says %q", err)
			}
		})
	}
}

const groupOfPair = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-lm/providers/"

func TestAListIsReadPageByPage(t *testing.T) {
	p := newPlatform(t)
	first, second := `{ "name":"a", "new":1.50 }`, `{"name":"b"}`
	path := groupOfPair + "Microsoft.Network/networkInterfaces"
	p.on("GET", path,
		reply{body: `{"value":[` + first + `],"nextLink":"` + home + path + `?api-version=x&$skiptoken=1"}`},
		reply{body: `{"value":[],"nextLink":"` + home + path + `?$skiptoken=2"}`},
		reply{body: `{"value":[` + second + `]}`})
	all, err := p.client(Options{}).List(t.Context(), "00000000-0000-0000-0000-000000000001", "rg-lm", "microsoft.network/NETWORKINTERFACES")
	if err != nil || len(all) != 2 || string(all[0]) != first || string(all[1]) != second {
		t.Fatalf("got %s, %v", all, err)
	}
	gets := p.seen("GET")
	if len(gets) != 3 || gets[0].query != "api-version="+networkVersion || gets[1].query != "api-version=x&$skiptoken=1" || gets[2].query != "$skiptoken=2" {
		t.Errorf("requests %+v", gets)
	}
	p = newPlatform(t)
	p.on("GET", groupOfPair+"Microsoft.Compute/virtualMachines", reply{body: `{"value":[]}`})
	if all, err := p.client(Options{}).List(t.Context(), "00000000-0000-0000-0000-000000000001", "rg-lm", "Microsoft.Compute/virtualMachines"); err != nil || all == nil || len(all) != 0 {
		t.Errorf("an empty list is %v, %v", all, err)
	}
	if got := p.seen("GET"); got[0].query != "api-version="+computeVersion {
		t.Errorf("requests %+v", got)
	}
}

func TestListsThatFail(t *testing.T) {
	path := groupOfPair + "Microsoft.Network/loadBalancers"
	many := bytes.Repeat([]byte(`{},`), listMost)
	tests := []struct {
		name  string
		reply reply
		want  error
		reads int
	}{
		{"a group that is not there", reply{status: 404, body: problemBody("ResourceGroupNotFound")}, pair.ErrNotFound, 1},
		{"no JSON", reply{body: `<html>`}, pair.ErrUnreadable, 1},
		{"a resource that is none", reply{body: `{"value":[null]}`}, pair.ErrUnreadable, 1},
		{"a link in clear", reply{body: `{"value":[],"nextLink":"http://management.test/x"}`}, pair.ErrUnreadable, 1},
		{"a link that is none", reply{body: `{"value":[],"nextLink":"%"}`}, pair.ErrUnreadable, 1},
		{"a link to somebody else", reply{body: `{"value":[],"nextLink":"https://elsewhere.test/x"}`}, pair.ErrInvalid, 1},
		{"more than anybody has", reply{body: `{"value":[` + string(many) + `{}]}`}, pair.ErrTooLarge, 1},
		{"a list without an end", reply{body: `{"value":[{}],"nextLink":"` + home + path + `"}`}, pair.ErrTooLarge, pagesMost},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlatform(t)
			p.on("GET", path, tt.reply)
			all, err := p.client(Options{}).List(t.Context(), "00000000-0000-0000-0000-000000000001", "rg-lm", balancerKind)
			checkKind(t, err, tt.want)
			if n := len(p.seen("GET")); n != tt.reads || all != nil {
				t.Errorf("%d reads, want %d; the list is %d long", n, tt.reads, len(all))
			}
		})
	}
	c := newPlatform(t).client(Options{})
	for _, wrong := range [][3]string{
		{"s", "rg", subnetKind}, {"s", "rg", "Microsoft.Network/routeTables"}, {"s", "", balancerKind}, {"", "rg", balancerKind}, {"s", "..", balancerKind},
	} {
		_, err := c.List(t.Context(), wrong[0], wrong[1], wrong[2])
		checkKind(t, err, pair.ErrInvalid)
	}
}

func TestAvailabilityIsTheMeanOfTheMinutes(t *testing.T) {
	series := func(backend, points string) string {
		return `{"metadatavalues":[{"name":{"value":"backendipaddress"},"value":"` + backend + `"}],"data":[` + points + `]}`
	}
	point := func(average string) string { return `{"timeStamp":"2026-11-22T09:58:00Z"` + average + `}` }
	body := func(all ...string) string {
		return `{"cost":0,"value":[{"name":{"value":"DipAvailability"},"timeseries":[` + strings.Join(all, ",") + `]}]}`
	}
	tests := []struct {
		name, body, want string
	}{
		{"of each backend", body(series("10.0.2.4", point(`,"average":100`)), series("10.0.2.5", point(`,"average":0`)+","+point(`,"average":50`))), "map[10.0.2.4:100 10.0.2.5:25]"},
		{"minutes that have not come yet do not count", body(series("10.0.2.4", point(`,"average":100`)+","+point(""))), "map[10.0.2.4:100]"},
		{"a backend without any is missing", body(series("10.0.2.4", point(""))), "map[]"},
		{"what is no address is nobody's", body(series("lm1", point(`,"average":100`))), "map[]"},
		{"a series of all backends is nobody's", body(`{"metadatavalues":[],"data":[{"average":50}]}`), "map[]"},
		{"a value beyond its range is brought into it", body(series("10.0.2.4", point(`,"average":1e9`))), "map[10.0.2.4:100]"},
		{"nothing was measured", `{"value":[]}`, "map[]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlatform(t)
			p.on("GET", lbPath+"/providers/Microsoft.Insights/metrics", reply{body: tt.body})
			got, err := p.client(Options{Now: func() time.Time { return epoch }}).Availability(t.Context(), lbPath, epoch.Add(-5*time.Minute))
			if err != nil || fmt.Sprint(got) != tt.want {
				t.Errorf("got %v, %v; want %s", got, err, tt.want)
			}
			want := "api-version=2021-05-01&%24filter=BackendIPAddress+eq+%27%2A%27&aggregation=Average&interval=PT1M&metricnames=DipAvailability" +
				"&metricnamespace=Microsoft.Network%2FloadBalancers&timespan=2026-11-22T09%3A55%3A00Z%2F2026-11-22T10%3A00%3A00Z&top=1000"
			if gets := p.seen("GET"); len(gets) != 1 || gets[0].query != want {
				t.Errorf("requests %+v", gets)
			}
		})
	}
}

func TestAvailabilityThatIsNotThere(t *testing.T) {
	for name, tt := range map[string]struct {
		id    string
		since time.Duration
		reply reply
		want  error
	}{
		"of something else":       {groupPath, -time.Minute, reply{}, pair.ErrInvalid},
		"of the future":           {lbPath, time.Minute, reply{}, pair.ErrInvalid},
		"of long ago":             {lbPath, -25 * time.Hour, reply{}, pair.ErrInvalid},
		"of a stranger":           {lbPath, -time.Minute, reply{status: 404}, pair.ErrNotFound},
		"that is not allowed":     {lbPath, -time.Minute, reply{status: 403}, pair.ErrRefused},
		"that cannot be read":     {lbPath, -time.Minute, reply{body: `{"value":7}`}, pair.ErrUnreadable},
		"that is asked too often": {lbPath, -time.Minute, reply{status: 429}, pair.ErrThrottled},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlatform(t)
			p.on("GET", lbPath+"/providers/Microsoft.Insights/metrics", tt.reply)
			_, err := p.client(Options{Now: func() time.Time { return epoch }}).Availability(t.Context(), pair.ResourceID(tt.id), epoch.Add(tt.since))
			checkKind(t, err, tt.want)
		})
	}
}
