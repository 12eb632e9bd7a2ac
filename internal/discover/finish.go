package discover

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"tandem/internal/balancer"
	"tandem/internal/manifest"
	"tandem/internal/pair"
)

// finish makes the pair of a draft: what no file can say is left out and said,
// what Tandem would write is told, and the file is read back.
func (d *draft) finish() (Pair, error) {
	if err := d.makeValid(); err != nil {
		return Pair{}, err
	}
	def := d.definition()
	around := d.surroundings()
	d.tellSurroundings(around)
	summary := d.compare(def, around)
	file, remarks, err := writeFile(def, d.header(summary), d.allRemarks())
	if err != nil {
		return Pair{}, err
	}
	read, err := manifest.Read("the file", bytes.NewReader(file))
	if err != nil {
		return Pair{}, err
	}
	if same, err := sameAs(def, read); err != nil || !same {
		return Pair{}, fmt.Errorf("the file says something else than was found: %w", errors.Join(pair.ErrInvalid, err))
	}
	p := Pair{Name: def.Name, Definition: def, Surroundings: around, File: file}
	for _, r := range remarks {
		if r.guess {
			p.Guesses = append(p.Guesses, Guess{r.field, plain(r.value), text(r.why)})
		} else {
			p.Notes = append(p.Notes, Note{r.field, text(r.why)})
		}
	}
	return p, nil
}

// sameAs says whether a file that was read has just this definition.
func sameAs(def pair.Definition, read []pair.Definition) (bool, error) {
	if len(read) != 1 {
		return false, nil
	}
	a, err := json.Marshal(def.WithDefaults())
	if err != nil {
		return false, err
	}
	b, err := json.Marshal(read[0])
	return bytes.Equal(a, b), err
}

// makeValid leaves out what the rules of pair files refuse, such as what only a
// deployment can be that Azure took before it had a rule against it.
func (d *draft) makeValid() error {
	for range 20 { // each round leaves something out
		err := manifest.Validate(d.definition())
		problems, ok := errors.AsType[manifest.Problems](err)
		if !ok {
			return err
		}
		if !d.leaveOut(problems) {
			return err
		}
	}
	return fmt.Errorf("%d times something had to be left out: %w", 20, pair.ErrInvalid)
}

// leaveOut leaves out what is refused, and reports false where that cannot be.
func (d *draft) leaveOut(problems manifest.Problems) bool {
	done := false
	for _, p := range problems {
		done = d.leaveOutOne(p) || done
	}
	for _, f := range d.fronts {
		f.rules = slices.DeleteFunc(f.rules, func(x *item[pair.Rule]) bool { return x.drop })
		f.frontends = slices.DeleteFunc(f.frontends, func(x *item[pair.Frontend]) bool { return x.drop })
	}
	d.fronts = slices.DeleteFunc(d.fronts, func(f *front) bool {
		empty := len(f.rules) == 0 && !f.file.CentralPairAwareness || len(f.frontends) == 0
		if empty {
			d.note("loadBalancers", "the load balancer "+plain(f.file.Name)+" is left out: "+f.told())
		}
		return empty
	})
	return done && len(d.fronts) > 0
}

// leaveOutOne leaves out what one problem is about.
func (d *draft) leaveOutOne(p manifest.Problem) bool {
	path := parseField(p.Field)
	why := "left out, because a pair file expects " + p.Expected
	switch {
	case len(path) == 0:
		return false
	case path[0].name == "securityGroup":
		d.def.SecurityGroup = pair.SecurityGroup{}
		for _, f := range d.fronts {
			for _, x := range f.rules {
				x.value.From = nil
			}
		}
		d.note("", "the security group is "+why)
		return true
	case path[0].name == "loadBalancers" && len(path) > 1 && path[0].index >= 0 && path[0].index < len(d.fronts):
		return d.fronts[path[0].index].leaveOut(path[1:], why)
	default:
		return false
	}
}

// leaveOut leaves out what stands at a place below a load balancer.
func (f *front) leaveOut(path []step, why string) bool {
	switch key, i := path[0].name, path[0].index; {
	case key == "rules" && i >= 0 && i < len(f.rules):
		f.dropRule(i, len(path) > 1 && path[1].name == "from", why)
	case key == "frontends" && i >= 0 && i < len(f.frontends):
		f.dropFrontend(i, why)
	case key == "probe" && f.file.Probe != (pair.BalanceProbe{}):
		f.file.Probe = pair.BalanceProbe{}
		f.note("probe", "the probe's own values are "+why+"; these are the guide's")
	case key == "management" && len(path) == 3:
		return f.dropPort(path[1].name+"."+path[2].name, why)
	case key == "centralPairAwareness" && f.file.CentralPairAwareness:
		f.file.CentralPairAwareness = false
		f.note("", "the rule to the units' API is "+why)
	default:
		return false
	}
	return true
}

// dropRule leaves out a rule, or only who may reach it.
func (f *front) dropRule(i int, onlyFrom bool, why string) {
	x := f.rules[i]
	if onlyFrom {
		x.value.From = nil
		x.remarks = append(x.remarks, remark{field: "from", why: why})
		return
	}
	x.drop = true
	f.note("rules", fmt.Sprintf("the rule %s (TCP %d to %d) is %s", plain(x.value.Name), x.value.Port, x.value.UnitPort(), why))
}

// dropPort leaves out the port of a NAT rule.
func (f *front) dropPort(name, why string) bool {
	m := &f.file.Management
	at := map[string]*int{"wui.first": &m.WUI.First, "wui.second": &m.WUI.Second, "ssh.first": &m.SSH.First, "ssh.second": &m.SSH.Second}[name]
	if at == nil || *at == 0 {
		return false
	}
	*at = 0
	f.note("management", name+" is "+why)
	return true
}

// dropFrontend leaves out a frontend with the rules that are on it.
func (f *front) dropFrontend(i int, why string) {
	x := f.frontends[i]
	x.drop = true
	f.note("frontends", "the frontend "+plain(x.value.Name)+" is "+why+", and its rules are left out with it")
	for _, r := range f.rules {
		r.drop = r.drop || strings.EqualFold(r.value.Frontend, x.value.Name)
	}
}

// tellSurroundings tells where the comparison takes Tandem and others to be.
func (d *draft) tellSurroundings(s balancer.Surroundings) {
	if len(d.survey.Surroundings.From) > 0 || d.group.owner == "" {
		return
	}
	if len(s.From) > 0 {
		d.note("securityGroup", "the group lets Tandem in from "+listed(s.From)+"; its function app must have these networks in TANDEM_SUBNETS")
	}
	if len(s.Members) > 0 {
		d.note("securityGroup", "the group lets members of a GEO topology in from "+listed(s.Members)+", which stand in the topology's file and not in a pair's")
	}
}

// compare tells at each place of the file what Tandem would write there, and
// returns how much in one sentence.
func (d *draft) compare(def pair.Definition, s balancer.Surroundings) string {
	w := d.survey.world
	if missing := balancer.Reads(&def, w); len(missing) > 0 {
		id := missing[0]
		why := cmp.Or(d.survey.Refused[id], "nobody has read it")
		return "What tandem apply would write is not known, because " + plain(kindOf(id)+" "+id.Name()) + " is needed for it: " + text(why) + "."
	}
	want, refusals := balancer.Compile(&def, w, s)
	for _, r := range refusals {
		d.note(r.Field, "tandem plan refuses it as it is ("+text(r.Value)+"): "+r.Why+"; "+r.WayOut)
	}
	if len(refusals) > 0 {
		return "tandem plan refuses this deployment as it is; the reasons stand where they belong."
	}
	plan, err := balancer.Compare(want, w)
	if err != nil {
		return "What tandem apply would write is not known: " + text(err.Error()) + "."
	}
	n := 0
	for _, step := range plan.Steps {
		if step.Action == balancer.Create {
			d.note(d.fieldOf(def, step.Resource, ""), "tandem apply would create the "+step.Resource.Kind()+" "+plain(step.Resource.Name()))
			n++
			continue
		}
		for _, c := range step.Changes {
			d.note(d.fieldOf(def, step.Resource, c.Path), "tandem apply would "+d.short(told(c)))
			n++
		}
	}
	if n == 0 {
		return "tandem plan has nothing to write: what is there is what this file says."
	}
	return "tandem apply would write " + strconv.Itoa(n) + " things, each told where it belongs; tandem plan shows them together."
}

// short leaves the beginnings of ids out that all resources of the group have.
func (d *draft) short(s string) string {
	return regexp.MustCompile("(?i)"+regexp.QuoteMeta(d.survey.provider)+"[a-z.]+/").ReplaceAllLiteralString(s, "…/")
}

// told tells of one change.
func told(c balancer.Change) string {
	path := strings.ReplaceAll(c.Path, "properties.", "")
	why := ""
	if c.Why != "" {
		why = ", because: " + c.Why
	}
	isValue := func(b json.RawMessage) bool { return len(b) > 0 && b[0] != '{' }
	switch {
	case c.To == nil:
		return "remove " + path + why
	case c.From == nil && isValue(c.To):
		return "add " + path + " as " + text(string(c.To)) + why
	case c.From == nil:
		return "add " + path + why
	default:
		return "change " + path + " from " + text(string(c.From)) + " to " + text(string(c.To)) + why
	}
}

// fieldOf is the place in the file that a place in a document belongs to.
func (d *draft) fieldOf(def pair.Definition, resource pair.ResourceID, path string) string {
	for i, u := range d.units {
		if resource == u.nic || resource == u.id {
			return "units." + pair.Roles[i].String()
		}
	}
	if def.SecurityGroup.Name != "" && resource == def.SecurityGroupID() {
		return "securityGroup"
	}
	for i, lb := range def.LoadBalancers {
		if resource != def.LoadBalancerID(lb.Name) {
			continue
		}
		at := "loadBalancers[" + strconv.Itoa(i) + "]"
		list, rest, _ := strings.Cut(strings.TrimPrefix(path, "properties."), "[name=")
		name, _, _ := strings.Cut(rest, "]")
		return at + fieldOfPart(lb, list, name)
	}
	return ""
}

// fieldOfPart is the place of a part of a load balancer below the load balancer.
func fieldOfPart(lb pair.LoadBalancer, list, name string) string {
	switch list {
	case "frontendIPConfigurations":
		for j, f := range lb.Frontends {
			if strings.EqualFold(f.Name, name) {
				return ".frontends[" + strconv.Itoa(j) + "]"
			}
		}
		return ".frontends"
	case "backendAddressPools":
		return ".pools"
	case "probes":
		return ".probe"
	case "inboundNatRules":
		return ".management"
	case "loadBalancingRules":
		for j, r := range lb.Rules {
			if strings.EqualFold(r.Name, name) {
				return ".rules[" + strconv.Itoa(j) + "]"
			}
		}
		return ".rules"
	default:
		return ""
	}
}

// header are the sentences above the file.
func (d *draft) header(summary string) []string {
	return []string{
		"Written by tandem discover from the resource group " + d.def.Azure.ResourceGroup + ". Above a value that does not stand in Azure stands why it was guessed; " +
			"a note tells of what exists and cannot be said in a pair file. Keys that are left out have their defaults (docs/pair-file.md), and what a pair file does " +
			"not know of, such as zones, tags and TCP resets, stays as it is.",
		summary,
	}
}

// allRemarks are the remarks about the whole file, with their places in it.
func (d *draft) allRemarks() []remark {
	out := slices.Clone(d.remarks)
	for i, f := range d.fronts {
		at := "loadBalancers[" + strconv.Itoa(i) + "]"
		out = append(out, below(at, f.remarks)...)
		for j, x := range f.frontends {
			out = append(out, below(at+".frontends["+strconv.Itoa(j)+"]", x.remarks)...)
		}
		for j, x := range f.rules {
			out = append(out, below(at+".rules["+strconv.Itoa(j)+"]", x.remarks)...)
		}
	}
	return out
}

// below puts remarks about fields of something to its place in the file.
func below(at string, remarks []remark) []remark {
	out := slices.Clone(remarks)
	for i := range out {
		if out[i].field = at + "." + out[i].field; strings.HasSuffix(out[i].field, ".") {
			out[i].field = at
		}
	}
	return out
}
