package manifest

import (
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"tandem/internal/pair"
)

// Ports of a unit that the product itself uses (azure.md 2).
const (
	portSSH  = 22
	portSync = 6973 // settings between the units
)

// forbiddenProbePorts are those that Azure's HTTP probe does not use (azure.md 1.4).
var forbiddenProbePorts = []int{19, 21, 25, 70, 110, 119, 143, 220, 993}

// checker collects what the rules of one definition refuse. A rule passes over
// values that are missing or out of range: the tags have reported those.
type checker struct{ problems []Problem }

// checkRules checks what no tag can say: how the values of a definition, with
// its defaults, fit together and what Azure and the units will accept.
func checkRules(d pair.Definition) []Problem {
	var c checker
	c.scope(d.Azure)
	c.units(d.Units)
	c.ha(d.HA, d.Units)
	c.balancers(d)
	c.securityGroup(d)
	c.checks(d)
	c.failover(d.Failover)
	c.backup(d.Backup)
	c.sync(d.Sync)
	return c.problems
}

func (c *checker) refuse(field string, value any, expected string) {
	if len(c.problems) > mostProblems {
		return // more than anybody will be shown
	}
	c.problems = append(c.problems, Problem{Field: field, Value: show(reflect.ValueOf(value), field), Expected: expected})
}

// The names that Azure takes; they become parts of resource ids and request
// paths, so nothing else may get through.
var (
	resourceName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_.-]{0,78}[A-Za-z0-9_])?$`)
	vmName       = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_.-]{0,62}[A-Za-z0-9_])?$`)
	groupName    = regexp.MustCompile(`^[\p{L}\p{N}_().-]{0,89}[\p{L}\p{N}_()-]$`)
	location     = regexp.MustCompile(`^[a-z0-9]{1,40}$`)
	secretName   = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]{0,126}$`)
)

const expectedName = "a name that Azure takes: letters, digits, '_', '.' and '-', at most 80"

func (c *checker) name(field, name string, form *regexp.Regexp, expected string) {
	if name != "" && !form.MatchString(name) {
		c.refuse(field, name, expected)
	}
}

func (c *checker) scope(s pair.Scope) {
	c.name("azure.resourceGroup", s.ResourceGroup, groupName,
		"the name of a resource group: letters, digits, '_', '-', '.', '(' and ')', at most 90, not ending with '.'")
	c.name("azure.location", s.Location, location, "a region's short name such as westeurope")
}

func (c *checker) units(u pair.Units) {
	for _, r := range pair.Roles {
		c.unit("units."+r.String(), u.Of(r))
	}
	if u.First.VM != "" && strings.EqualFold(u.First.VM, u.Second.VM) {
		c.refuse("units.second.vm", u.Second.VM, "another virtual machine than the first unit's")
	}
	first, second := u.First.Address, u.Second.Address
	switch {
	case !first.IsValid() || !second.IsValid():
	case first == second:
		c.refuse("units.second.address", second, "another address than the first unit's")
	case first.Is4() != second.Is4():
		c.refuse("units.second.address", second, "an address of the same family as the first unit's, "+first.String())
	}
}

func (c *checker) unit(at string, u pair.Unit) {
	c.name(at+".vm", u.VM, vmName, "a name that Azure takes: letters, digits, '_', '.' and '-', at most 64")
	c.api(at+".api", u.API)
	c.address(at+".address", u.Address)
}

func (c *checker) api(at string, api pair.API) {
	c.name(at+".secret", api.Secret, secretName,
		"the name of a secret, never the secret itself: letters, digits and '-', starting with a letter")
	if api.TLS.SHA256 != "" && api.CAFile != "" {
		c.refuse(at+".caFile", api.CAFile, "either tls.sha256 or caFile, because two ways to trust a certificate are one too many")
	}
}

// address refuses what cannot be the address of a machine or a frontend.
func (c *checker) address(field string, a netip.Addr) {
	switch {
	case !a.IsValid():
	case a.Zone() != "" || a.Is4In6() || a.IsUnspecified() || a.IsMulticast():
		c.refuse(field, a, "the address of one machine, without a zone and in its own family")
	}
}

func (c *checker) ha(ha pair.HA, u pair.Units) {
	switch {
	case slices.Contains(forbiddenProbePorts, ha.CheckPort):
		c.refuse("ha.checkPort", ha.CheckPort, "a port that Azure's HTTP probe uses, which excludes "+listed(forbiddenProbePorts))
	case ha.CheckPort == portSSH || ha.CheckPort == portSync:
		c.refuse("ha.checkPort", ha.CheckPort, "a free port of the unit, because 22 is its SSH and 6973 its settings sync")
	case ha.CheckPort == u.First.API.Port || ha.CheckPort == u.Second.API.Port:
		c.refuse("ha.checkPort", ha.CheckPort, "another port than the units' api.port, because a unit cannot answer both on one")
	}
	if ha.Preferred == pair.PreferNone && ha.Failback == pair.FailbackManaged {
		c.refuse("ha.failback", ha.Failback, "unit or never, because with preferred: none there is no unit to move back to")
	}
}

func listed(ports []int) string {
	out := make([]string, len(ports))
	for i, p := range ports {
		out[i] = strconv.Itoa(p)
	}
	return strings.Join(out, ", ")
}

func (c *checker) securityGroup(d pair.Definition) {
	g := d.SecurityGroup
	c.name("securityGroup.name", g.Name, resourceName, expectedName)
	if g.Name == "" && len(g.ManagementFrom) > 0 {
		c.refuse("securityGroup.managementFrom", g.ManagementFrom, "securityGroup.name with it, because the networks are let in by that group")
	}
	if g.Name == "" && g.GuidePorts {
		c.refuse("securityGroup.guidePorts", g.GuidePorts, "securityGroup.name with it, because the rules are written to that group")
	}
	c.networks("securityGroup.managementFrom", g.ManagementFrom)
}

// networks refuses a network that is written with the address of a machine in
// it: one of the two is not what was meant.
func (c *checker) networks(field string, networks []netip.Prefix) {
	for i, p := range networks {
		if p.IsValid() && p != p.Masked() {
			c.refuse(index(field, i), p, "the network's first address, as in "+p.Masked().String()+", or a longer prefix")
		}
	}
}

func (c *checker) checks(d pair.Definition) {
	seen := make(unique)
	for i, check := range d.Checks {
		at := index("checks", i)
		c.once(seen, at+".name", check.Name, "check")
		c.path(at+".path", check.Path)
		if check.Port == d.HA.CheckPort {
			c.refuse(at+".port", check.Port, "a published port, because a standby answers 503 on the check port by design")
		}
		if check.Port == d.Units.First.API.Port || check.Port == d.Units.Second.API.Port {
			c.refuse(at+".port", check.Port, "a published port, because the unit's API answers without forwarding anything")
		}
	}
}

func (c *checker) path(field, path string) {
	unfit := func(r rune) bool { return r <= ' ' || r == 0x7f }
	if !strings.HasPrefix(path, "/") || strings.ContainsFunc(path, unfit) {
		c.refuse(field, path, "a path that starts with / and has no blanks")
	}
}

func (c *checker) failover(f pair.Failover) {
	if f.ConfirmAfter < f.SuspectAfter {
		c.refuse("failover.confirmAfter", f.ConfirmAfter,
			"at least failover.suspectAfter, "+strconv.Itoa(f.SuspectAfter)+", because a suspicion comes before its confirmation")
	}
}

// The least and the most time between two backups. Each holds the pair for some
// seconds, and one that is older than a month is of another configuration.
const (
	backupLeast = time.Hour
	backupMost  = 31 * 24 * time.Hour
)

func (c *checker) backup(b pair.BackupPolicy) {
	if every := time.Duration(b.Every); every > 0 && (every < backupLeast || every > backupMost) {
		c.refuse("backup.every", b.Every, "a time from 1h to 744h")
	}
}

// The least times of the sync policy: settings take seconds to read, and the vendor's
// own sync has two rounds before a difference counts.
const (
	syncLeast  = time.Minute
	driftLeast = 10 * time.Minute
)

func (c *checker) sync(s pair.Sync) {
	if every := time.Duration(s.Every); every < syncLeast {
		c.refuse("sync.every", s.Every, "a time of 1m or more")
	}
	if longest := time.Duration(s.MaxDrift); longest < driftLeast {
		c.refuse("sync.maxDrift", s.MaxDrift, "a time of 10m or more")
	}
}

// unique remembers the names of one list and where they stand.
type unique map[string]string

// once refuses a name that the list has already. Azure compares names without
// regard to letter case, so names here are compared in the same way.
func (c *checker) once(seen unique, field, name, what string) {
	if name == "" {
		return
	}
	folded := strings.ToLower(name)
	if first, taken := seen[folded]; taken {
		c.refuse(field, name, "another name, because the "+what+" in "+first+" has this one")
		return
	}
	seen[folded] = parent(field)
}

func index(field string, i int) string { return field + "[" + strconv.Itoa(i) + "]" }
