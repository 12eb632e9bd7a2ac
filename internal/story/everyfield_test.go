package story

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"tandem"
	"tandem/internal/balancer"
	"tandem/internal/lab"
	"tandem/internal/manifest"
	"tandem/internal/pair"
	"tandem/internal/store"
)

// This file drifts every field that the guide's pair needs, one at a time, in the
// lab's Resource Manager and with the whole program in the world: the guard must
// find exactly that, name it and whoever did it, and in mode auto put it back as
// it was, byte for byte. What the pair needs is asked of the compiler, so a field
// that is wanted from now on and that no change here is about fails the test.

// scene is a story without steps, in which a test acts.
type scene struct {
	t     *testing.T
	world *lab.World
	kept  *store.Store
	want  balancer.Wanted
}

// inScene plays a story without steps in a bubble of virtual time, has everything
// built that the pair needs, and lets a test act in it. What cuts the units off from
// each other is not answered by a fence there: while one stands, nothing is compared.
func inScene(t *testing.T, mode pair.Mode, act func(*scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		account := store.NewEmbedded(store.EmbeddedOptions{})
		world, err := lab.New(tale(t, "for: 48h\nfresh: true\npair: { mode: "+mode.String()+", failover.fence: never }\n"), lab.Options{Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer world.Close()
		functions, err := tandem.FunctionApp()
		if err != nil {
			t.Fatal(err)
		}
		st, err := newStage(world, account, 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := st.attach(functions); err != nil {
			t.Fatal(err)
		}
		sc := &scene{t: t, world: world, kept: account.Store(store.HandleOptions{})}
		ctx, end := context.WithCancel(context.WithoutCancel(t.Context()))
		played := make(chan error, 1)
		go func() { played <- run(ctx, world, st.operator, sc.kept) }()
		if sc.until(time.Minute, func() bool { return sc.snap().Record.Drift != nil }) {
			world.Do(lab.Step{Do: "write"})
		}
		if sc.until(10*time.Minute, sc.healthy) {
			act(sc)
		} else {
			t.Errorf("the pair that was built is not healthy after ten minutes: %+v", sc.snap().Record)
		}
		end()
		if err := <-played; err != nil {
			t.Error(err)
		}
		if err := st.linger(); err != nil {
			t.Error(err)
		}
		for _, f := range world.Failures() {
			t.Error(f)
		}
	})
}

// until waits for something to be so.
func (s *scene) until(most time.Duration, so func() bool) bool {
	for end := time.Now().Add(most); time.Now().Before(end); time.Sleep(4 * time.Second) {
		if so() {
			return true
		}
	}
	return so()
}

// snap is what is stored of the pair; nothing as long as it is not defined.
func (s *scene) snap() pair.Snapshot {
	snap, _ := s.kept.Load(context.Background(), pairName)
	return snap
}

// healthy is whether all is well and nothing is left to do.
func (s *scene) healthy() bool {
	snap := s.snap()
	return snap.Record.Situation == pair.Healthy && snap.Record.Drift == nil && snap.Record.Alarm == nil && len(snap.Intents) == 0 && s.settled()
}

// settled is whether nothing is being written of what the pair needs.
func (s *scene) settled() bool {
	return !slices.ContainsFunc(s.want.Resources, func(r balancer.Resource) bool {
		return bytes.Contains(s.read(r.ID), []byte(`"provisioningState":"Updating"`))
	})
}

func (s *scene) read(id pair.ResourceID) []byte {
	doc, err := s.world.Document(string(id))
	if err != nil {
		s.t.Error(err)
	}
	return doc
}

// compile asks what the pair needs of the resources as they are.
func (s *scene) compile() bool {
	ds, err := manifest.Read("pair.yaml", bytes.NewReader(s.world.PairFile()))
	if err != nil {
		s.t.Error(err)
		return false
	}
	w := balancer.World{}
	for missing := balancer.Reads(&ds[0], w); len(missing) > 0; missing = balancer.Reads(&ds[0], w) {
		for _, id := range missing {
			w[id] = s.read(id)
		}
	}
	want, refusals := balancer.Compile(&ds[0], w, balancer.Surroundings{From: []netip.Prefix{s.world.ProgramSubnet()}})
	if len(refusals) > 0 {
		s.t.Errorf("the pair cannot be compiled: %v", refusals)
		return false
	}
	s.want = want
	return true
}

// documents are the resources that the pair needs, without their ETags.
func (s *scene) documents() map[pair.ResourceID]any {
	all := map[pair.ResourceID]any{}
	for _, r := range s.want.Resources {
		d := json.NewDecoder(bytes.NewReader(s.read(r.ID)))
		d.UseNumber()
		var doc any
		if err := d.Decode(&doc); err != nil {
			s.t.Errorf("%s: %v", r.ID.Name(), err)
		}
		all[r.ID] = withoutETags(doc)
	}
	return all
}

func withoutETags(v any) any {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "etag")
		for k := range v {
			v[k] = withoutETags(v[k])
		}
	case []any:
		for i := range v {
			v[i] = withoutETags(v[i])
		}
	}
	return v
}

// unordered puts the lists of a document into the order of their texts.
func unordered(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = unordered(v[k])
		}
	case []any:
		for i := range v {
			v[i] = unordered(v[i])
		}
		slices.SortFunc(v, func(a, b any) int { return strings.Compare(asJSON(a), asJSON(b)) })
	}
	return v
}

func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// change is one change that a person makes to what a pair needs.
type change struct {
	name  string
	edits []edit
	// finds are the fields that the guard must name, by resource, and no others.
	finds map[pair.ResourceID][]string
	// removes is for what is taken out of a list and comes back at its end.
	removes bool
	// undoes takes away what was added besides and is nobody's business.
	undoes map[string]any
}

// edit is what is set in one resource, by path, as the verb edit takes it.
type edit struct {
	id   pair.ResourceID
	sets map[string]any
}

// one is a change of one resource.
func one(name string, id pair.ResourceID, sets map[string]any, finds ...string) change {
	return change{name: name, edits: []edit{{id, sets}}, finds: map[pair.ResourceID][]string{id: finds}}
}

func removed(c change) change {
	c.removes = true
	return c
}

// do lets a person make edits, each when the one before has settled.
func (s *scene) do(edits ...edit) {
	kinds := map[string]string{"load balancer": "loadBalancers", "security group": "networkSecurityGroups", "interface": "networkInterfaces"}
	for _, e := range edits {
		s.world.Do(lab.Step{Do: "edit", State: kinds[e.id.Kind()] + "/" + e.id.Name(), Set: e.sets})
		if !s.until(time.Minute, s.settled) {
			s.t.Errorf("the edit of %s does not end", e.id.Name())
		}
	}
}

// back lets a person write what stood there before, first what others refer to.
func (s *scene) back(before map[pair.ResourceID]any, finds map[pair.ResourceID][]string) {
	for _, r := range s.want.Resources {
		if finds[r.ID] == nil {
			continue
		}
		properties := before[r.ID].(map[string]any)["properties"].(map[string]any)
		pools, _ := properties["backendAddressPools"].([]any)
		for _, p := range pools { // of a pool of interfaces only they say who is in it
			delete(p.(map[string]any)["properties"].(map[string]any), "loadBalancerBackendAddresses")
		}
		s.do(edit{r.ID, map[string]any{"properties": properties}})
	}
}

// found is whether the guard has found exactly that.
func (c change) found(d *pair.Drifted) bool {
	if d == nil || len(d.Steps) != len(c.finds) {
		return false
	}
	for _, s := range d.Steps {
		want, got := slices.Sorted(slices.Values(c.finds[s.Resource])), slices.Sorted(slices.Values(s.Fields))
		if s.Create || s.Changes != len(got) || !slices.Equal(got, want) {
			return false
		}
	}
	return true
}

// drifts makes a change, demands that the guard finds it and names it, and then
// that it puts it back, or in mode observe that it leaves it to a person; there it
// waits for that where this is the first change of its kind. It reports whether all
// is as it was, without which nothing else can be tried.
func (s *scene) drifts(c change, mode pair.Mode, waits bool) bool {
	before, stood, asked, at := s.documents(), s.documents(), s.world.Writes(), time.Now()
	s.do(c.edits...)
	changed := s.documents()
	var drift *pair.Drifted
	found := func() bool {
		drift = s.snap().Record.Drift
		return c.found(drift)
	}
	if s.until(50*time.Second, found) {
		s.named(c, drift, at)
	} else {
		s.t.Errorf("%s: the guard found %+v, want exactly %v", c.name, drift, c.finds)
	}
	if mode == pair.Observe {
		if waits {
			time.Sleep(pair.DriftSettles + 20*time.Second)
		}
		if diff := cmp.Diff(changed, s.documents()); diff != "" || s.world.Writes() != asked || slices.ContainsFunc(s.snap().Intents, acts) {
			s.t.Errorf("%s: something was done about it in mode observe (-changed +now):\n%s", c.name, diff)
		}
		s.back(stood, c.finds)
	}
	ok := s.until(15*time.Minute, s.healthy)
	if c.undoes != nil && mode != pair.Observe {
		s.do(edit{c.edits[0].id, c.undoes})
		ok = ok && s.until(time.Minute, s.healthy)
	}
	after := s.documents()
	if c.removes {
		for id := range after {
			before[id], after[id] = unordered(before[id]), unordered(after[id])
		}
	}
	if diff := cmp.Diff(before, after); diff != "" || !ok {
		rec := s.snap().Record
		s.t.Errorf("%s: not as it was; %s, drift %+v, alarm %+v (-before +after):\n%s", c.name, rec.Situation, rec.Drift, rec.Alarm, diff)
		return false
	}
	return true
}

// idInPath is all of an id in a path but its last part, by which it is told.
var idInPath = regexp.MustCompile(`\[id=/[^]]*/`)

// named demands that a person is told what differs, since when, and by whom.
func (s *scene) named(c change, d *pair.Drifted, at time.Time) {
	told := strings.Join(d.Differences(), "; ")
	for _, fields := range c.finds {
		if len(fields) <= 3 && slices.ContainsFunc(fields, func(f string) bool { return !strings.Contains(told, idInPath.ReplaceAllString(f, "[")) }) {
			s.t.Errorf("%s: a person is told %q, want %q in it", c.name, told, fields)
		}
	}
	if d.Since.Before(at.Add(-time.Second)) || d.Since.After(time.Now()) {
		s.t.Errorf("%s: it differs since %v, and was changed at %v", c.name, d.Since, at)
	}
	who := d.By
	known := func() bool {
		if now := s.snap().Record.Drift; now != nil {
			who = now.By
		}
		return who == lab.Person.ObjectID
	}
	if !s.until(20*time.Second, known) { // the sweep may be faster than the event
		s.t.Errorf("%s: it was changed by %q, want %q", c.name, who, lab.Person.ObjectID)
	}
}

// place is a field that is wanted, and where a person finds it.
type place struct {
	balancer.Field
	id      pair.ResourceID
	list    string // in which the element is that it is a field of
	element string
	member  string // its name, from the element's properties on
	at      string // the element's properties, as the verb edit spells them
	path    string // as the guard names it
}

// places are all fields that are wanted.
func (s *scene) places() []place {
	var all []place
	for _, r := range s.want.Resources {
		for _, f := range r.Fields {
			p := place{Field: f, id: r.ID, path: f.Path.String()}
			var spelled, member []string
			for _, seg := range f.Path {
				word := seg.Name
				if seg.Key == "name" {
					word += "[" + seg.Value + "]"
				}
				spelled, member = append(spelled, word), append(member, seg.Name)
				if seg.Key != "" {
					p.list, p.element, member = seg.Name, seg.Value, nil
				}
				if seg.Name == "properties" && seg.Key == "" {
					p.at, member = strings.Join(spelled, "."), nil
				}
			}
			p.member = strings.Join(member, ".")
			all = append(all, p)
		}
	}
	return all
}

// Names of what a person adds besides: nobody's business, and something else to
// refer to.
const (
	otherFrontend = "vip-of-somebody"
	otherPool     = "pool-of-somebody"
	otherProbe    = "probe-of-somebody"
)

// besides is what a person adds to the load balancer.
func (s *scene) besides() edit {
	var lb pair.ResourceID
	for _, r := range s.want.Resources {
		if r.ID.Kind() == "load balancer" {
			lb = r.ID
		}
	}
	var doc struct {
		Properties struct {
			Frontends []struct {
				Properties struct {
					Subnet map[string]any `json:"subnet"`
				} `json:"properties"`
			} `json:"frontendIPConfigurations"`
		} `json:"properties"`
	}
	if err := json.Unmarshal(s.read(lb), &doc); err != nil {
		s.t.Error(err)
	}
	return edit{lb, map[string]any{
		"properties.frontendIPConfigurations[" + otherFrontend + "].properties": map[string]any{
			"privateIPAddress": "10.0.0.150", "privateIPAllocationMethod": "Static", "subnet": doc.Properties.Frontends[0].Properties.Subnet,
		},
		"properties.backendAddressPools[" + otherPool + "].properties": map[string]any{},
		"properties.probes[" + otherProbe + "].properties":             map[string]any{"protocol": "Tcp", "port": 9},
	}}
}

// others are other values of fields, by the list and the member: one that the
// platform takes there.
var others = map[string]func(p place) any{
	"frontendIPConfigurations.privateIPAddress":          is("10.0.0.151"),
	"frontendIPConfigurations.privateIPAllocationMethod": is("Dynamic"),
	"frontendIPConfigurations.privateIPAddressVersion":   is("IPv6"),

	"probes.protocol":                  is("Https"),
	"probes.port":                      is(8445),
	"probes.requestPath":               is("/other"),
	"probes.intervalInSeconds":         is(10),
	"probes.numberOfProbes":            is(3),
	"probes.probeThreshold":            is(3),
	"probes.noHealthyBackendsBehavior": is("AllProbedUp"),

	"loadBalancingRules.frontendIPConfiguration.id": part("frontendIPConfigurations", otherFrontend),
	"loadBalancingRules.probe.id":                   part("probes", otherProbe),
	"loadBalancingRules.protocol":                   is("Udp"),
	"loadBalancingRules.frontendPort":               more(1000),
	"loadBalancingRules.backendPort":                more(1000),
	"loadBalancingRules.loadDistribution":           is("SourceIP"),
	"loadBalancingRules.idleTimeoutInMinutes":       is(30),
	"loadBalancingRules.enableFloatingIP":           is(true),

	"inboundNatRules.frontendIPConfiguration.id": part("frontendIPConfigurations", otherFrontend),
	"inboundNatRules.protocol":                   is("Udp"),
	"inboundNatRules.frontendPort":               more(1000),
	"inboundNatRules.backendPort":                more(1000),
	"inboundNatRules.enableFloatingIP":           is(true),

	"securityRules.description": is("a word"),
	"securityRules.direction":   is("Outbound"),
	"securityRules.access":      is("Deny"),
	"securityRules.protocol":    is("Udp"),
}

func is(value any) func(place) any { return func(place) any { return value } }

func more(n int) func(place) any {
	return func(p place) any {
		var was int
		if err := json.Unmarshal(p.Want, &was); err != nil {
			return err.Error()
		}
		return was + n
	}
}

// part is another part of the same load balancer.
func part(list, name string) func(place) any {
	return func(p place) any {
		var was string
		if err := json.Unmarshal(p.Want, &was); err != nil {
			return err.Error()
		}
		return was[:strings.LastIndex(was[:strings.LastIndexByte(was, '/')], "/")] + "/" + list + "/" + name
	}
}

// oneOrSeveral are the places of a security rule that have a field for one value
// and one for several, with other values of each kind.
var oneOrSeveral = []struct {
	one, several string
	other        any
	others       []any
}{
	{"sourceAddressPrefix", "sourceAddressPrefixes", "192.0.2.0/24", []any{"192.0.2.0/24", "198.51.100.0/24"}},
	{"destinationAddressPrefix", "destinationAddressPrefixes", "10.0.0.9", []any{"10.0.0.9", "10.0.0.10"}},
	{"sourcePortRange", "sourcePortRanges", "1024", []any{"1024", "1025"}},
	{"destinationPortRange", "destinationPortRanges", "9999", []any{"9999", "10000"}},
}

// changes are all changes, each of one field where the platform lets one field be
// changed alone.
func (s *scene) changes() []change {
	all := s.everyValue()
	all = append(all, s.everyElement()...)
	return append(all, s.whole()...)
}

// everyValue sets each field to another value.
func (s *scene) everyValue() []change {
	var all []change
	for _, p := range s.places() {
		if value, known := others[p.list+"."+p.member]; known {
			all = append(all, one(p.element+" "+p.member, p.id, map[string]any{p.at + "." + p.member: value(p)}, p.path))
		}
		switch {
		case p.list == "loadBalancingRules" && p.member == "backendAddressPool.id": // said twice, and never differently
			all = append(all, p.toOtherPool())
		case p.list == "securityRules" && p.member == "priority":
			in := "properties.securityRules[in-the-way]"
			c := one(p.element+" priority, behind a rule that denies it", p.id, map[string]any{p.at + ".priority": 3500, in: deny(3000)}, p.path)
			c.undoes = map[string]any{in: nil}
			all = append(all, c)
		case p.list == "securityRules":
			all = append(all, p.oneOrSeveral()...)
		}
	}
	return all
}

// toOtherPool lets a rule send to another pool. The platform says that twice.
func (p place) toOtherPool() change {
	ours, other := strings.Trim(string(p.Want), `"`), part("backendAddressPools", otherPool)(p).(string)
	several := strings.TrimSuffix(p.path, p.member) + "backendAddressPools[id="
	ref := map[string]any{"id": other}
	return one(p.element+" sends to another pool", p.id, map[string]any{p.at + ".backendAddressPool": ref, p.at + ".backendAddressPools": []any{ref}},
		p.path, several+other+"]", several+ours+"]")
}

// deny is a rule of somebody else that denies everything.
func deny(priority int) map[string]any {
	return map[string]any{"properties": map[string]any{
		"priority": priority, "direction": "Inbound", "access": "Deny", "protocol": "*", "sourceAddressPrefix": "*", "sourcePortRange": "*",
		"destinationAddressPrefix": "*", "destinationPortRange": "*",
	}}
}

// oneOrSeveral changes a place of a security rule that has two fields: the one
// that holds its value, and then both, because only one of them can.
func (p place) oneOrSeveral() []change {
	var all []change
	for _, f := range oneOrSeveral {
		both := []string{strings.TrimSuffix(p.path, p.member) + f.one, strings.TrimSuffix(p.path, p.member) + f.several}
		one := func(what string, single any, many []any, finds ...string) change {
			return one(p.element+" "+what, p.id, map[string]any{p.at + "." + f.one: single, p.at + "." + f.several: many}, finds...)
		}
		switch {
		case p.member == f.one && !p.Remove:
			all = append(all, one(f.one, f.other, []any{}, both[0]), one(f.several+" instead of one", nil, f.others, both...))
		case p.member == f.several && p.Absent == nil:
			all = append(all, one(f.several, nil, f.others, both[1]), one(f.one+" instead of several", f.other, []any{}, both...))
		}
	}
	return all
}

// everyElement takes each element out of its list that can be taken out alone.
func (s *scene) everyElement() []change {
	var all []change
	places, done := s.places(), map[string]bool{}
	for _, p := range places {
		at, isNamed := strings.CutSuffix(p.at, ".properties")
		switch alone := slices.Contains([]string{"loadBalancingRules", "inboundNatRules", "securityRules"}, p.list); {
		case isNamed && alone && !done[at]:
			done[at] = true
			element := strings.TrimSuffix(p.path, ".properties."+p.member)
			c := removed(one(p.element+" is removed", p.id, map[string]any{at: nil}, element))
			for _, q := range places { // an interface loses its reference with the NAT rule
				if strings.HasSuffix(q.element, "/inboundNatRules/"+p.element) {
					c.finds[q.id] = []string{q.path}
				}
			}
			all = append(all, c)
		case p.list == "loadBalancerBackendAddressPools" || p.list == "loadBalancerInboundNatRules":
			stay := []any{}
			for _, q := range places {
				if q.id == p.id && q.at == p.at && q.list == p.list && q.element != p.element {
					stay = append(stay, map[string]any{"id": q.element})
				}
			}
			all = append(all, removed(one(p.id.Name()+" leaves "+pair.ResourceID(p.element).Name(), p.id, map[string]any{p.at + "." + p.list: stay}, p.path)))
		}
	}
	return all
}

// whole are the changes of several fields at once, because what is changed could
// not be changed alone; and of a field that is only wanted when nothing is there.
func (s *scene) whole() []change {
	var lb pair.ResourceID
	var nics []pair.ResourceID
	for _, r := range s.want.Resources {
		switch r.ID.Kind() {
		case "load balancer":
			lb = r.ID
		case "interface":
			nics = append(nics, r.ID)
		}
	}
	var all []change
	for _, nic := range nics {
		all = append(all, one(nic.Name()+" has no security group", nic, map[string]any{"properties.networkSecurityGroup": nil}, "properties.networkSecurityGroup.id"))
	}

	// What nobody removes alone: with each goes what would refer to nothing.
	probe, frontend, pool := map[string]any{}, map[string]any{}, map[string]any{}
	finds, left := map[string][]string{}, map[pair.ResourceID][]string{}
	inPool := change{name: "the pool is removed, and everybody has left it", removes: true, finds: map[pair.ResourceID][]string{}}
	for _, p := range s.places() {
		element, _ := strings.CutSuffix(p.path, ".properties."+p.member)
		at, _ := strings.CutSuffix(p.at, ".properties")
		switch p.list + "." + p.member {
		case "probes.port":
			probe[at], finds["probe"] = nil, append(finds["probe"], element)
		case "loadBalancingRules.probe.id":
			probe[p.at+".probe"], finds["probe"] = nil, append(finds["probe"], p.path)
		case "frontendIPConfigurations.privateIPAddress", "loadBalancingRules.frontendPort", "inboundNatRules.frontendPort":
			frontend[at], finds["frontend"] = nil, append(finds["frontend"], element)
		case "loadBalancerInboundNatRules.":
			left[p.id] = append(left[p.id], p.path)
		case "backendAddressPools.":
			if p.at != "properties" {
				continue // a rule's reference to it
			}
			pool["properties.backendAddressPools["+p.element+"]"], finds["pool"] = nil, append(finds["pool"], p.path)
		case "loadBalancingRules.backendAddressPool.id":
			c := p.toOtherPool()
			maps.Copy(pool, c.edits[0].sets)
			finds["pool"] = append(finds["pool"], c.finds[lb]...)
		case "loadBalancerBackendAddressPools.":
			inPool.edits = append(inPool.edits, edit{p.id, map[string]any{p.at + "." + p.list: []any{}}})
			inPool.finds[p.id] = []string{p.path}
		}
	}
	inPool.edits, inPool.finds[lb] = append(inPool.edits, edit{lb, pool}), finds["pool"]
	noFrontend := removed(one("the frontend is removed, and all that needs it", lb, frontend, finds["frontend"]...))
	maps.Copy(noFrontend.finds, left)
	return append(all, inPool, noFrontend, removed(one("the probe is removed, and nobody uses it", lb, probe, finds["probe"]...)))
}

// acts reports whether an intent does something: to compare settings is to read.
func acts(i pair.Intent) bool { return i.Kind != pair.IntentCompare }

// TestEveryFieldDriftedOneAtATime is the test that the file begins with.
func TestEveryFieldDriftedOneAtATime(t *testing.T) {
	collectLess(t)
	families := []struct {
		kind string // of the resource that is changed
		half int    // of the changes, which share the processors so
	}{{"security group", 0}, {"security group", 1}, {"load balancer", 0}, {"load balancer", 1}, {"interface", 0}, {"interface", 1}}
	for _, mode := range []pair.Mode{pair.Auto, pair.Observe} {
		for _, f := range families {
			t.Run(fmt.Sprintf("%s, half %d, in mode %s", f.kind, f.half+1, mode), func(t *testing.T) {
				t.Parallel() // each has a world and a clock of its own
				inScene(t, mode, func(s *scene) {
					if !s.compile() {
						return
					}
					s.do(s.besides())
					time.Sleep(time.Minute)
					if !s.healthy() || !s.compile() {
						t.Errorf("what a person added besides is taken for a drift: %+v", s.snap().Record.Drift)
						return
					}
					all := s.changes()
					s.covered(all)
					kinds := map[string]bool{}
					for i, c := range all {
						if c.edits[0].id.Kind() != f.kind || i%2 != f.half {
							continue
						}
						_, kind, _ := strings.Cut(c.name, " ")
						if oneOf > 1 && kinds[kind] {
							continue
						}
						if !s.drifts(c, mode, !kinds[kind]) {
							return
						}
						kinds[kind] = true
					}
				})
			})
		}
	}
}

// covered demands that some change is about each field that is wanted.
func (s *scene) covered(all []change) {
	for _, p := range s.places() {
		about := func(c change) bool { return slices.Contains(c.finds[p.id], p.path) }
		if !slices.ContainsFunc(all, about) {
			s.t.Errorf("no change is about %s of %s", p.path, p.id.Name())
		}
	}
}
