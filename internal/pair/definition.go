package pair

import (
	"encoding"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Definition is a pair as a person describes it in a pair file (DESIGN section
// 7). The file's keys are the JSON names below; internal/manifest reads and
// validates it, the store keeps it, the decision reads it.
type Definition struct {
	Name          string         `json:"name" jsonschema:"required,pattern=^[a-z][a-z0-9]*(-[a-z0-9]+)*$,maxLength=40" jsonschema_description:"Name of the pair: lower-case letters, digits and single dashes; it is part of every id."`
	Mode          Mode           `json:"mode,omitempty" jsonschema_description:"observe explains only (default), recommend stores a plan that a person approves, auto acts."`
	Azure         Scope          `json:"azure" jsonschema_description:"Where the pair's resources are."`
	Units         Units          `json:"units" jsonschema_description:"The two LoadMasters."`
	HA            HA             `json:"ha,omitzero" jsonschema_description:"The HA parameters that both units must have."`
	LoadBalancers []LoadBalancer `json:"loadBalancers" jsonschema:"minItems=1" jsonschema_description:"The Azure load balancers in front of the pair; each is wholly internal or wholly public."`
	SecurityGroup SecurityGroup  `json:"securityGroup,omitzero" jsonschema_description:"The network security group of the units."`
	Checks        []Check        `json:"checks,omitempty" jsonschema_description:"Requests to each unit's own published port that prove that it forwards."`
	Sync          Sync           `json:"sync,omitzero" jsonschema_description:"Settings sync between the units."`
	Failover      Failover       `json:"failover,omitzero" jsonschema_description:"When something counts as broken and what may be done about it."`
	Backup        BackupPolicy   `json:"backup,omitzero" jsonschema_description:"Backups of both units to the container of TANDEM_BACKUPS. They hold the units' secrets."`
}

// Scope is the place of the pair's resources in Azure.
type Scope struct {
	Subscription  string `json:"subscription" jsonschema:"required,format=uuid" jsonschema_description:"Subscription id."`
	ResourceGroup string `json:"resourceGroup" jsonschema:"required" jsonschema_description:"Resource group of the VMs and the load balancers."`
	Location      string `json:"location" jsonschema:"required" jsonschema_description:"Azure region, for example westeurope."`
}

// Units names both LoadMasters by role.
type Units struct {
	First  Unit `json:"first" jsonschema:"required" jsonschema_description:"The first unit (master in the guide)."`
	Second Unit `json:"second" jsonschema:"required" jsonschema_description:"The second unit (slave in the guide)."`
}

// Of returns the unit in the role; any role but Second gives the first unit.
func (u Units) Of(r Role) Unit {
	if r == Second {
		return u.Second
	}
	return u.First
}

// Unit is one LoadMaster.
type Unit struct {
	VM      string     `json:"vm" jsonschema:"required" jsonschema_description:"Name of the virtual machine in the resource group."`
	Address netip.Addr `json:"address" jsonschema:"required,type=string" jsonschema_description:"Private address of eth0, static in Azure."`
	API     API        `json:"api,omitzero" jsonschema_description:"How the unit's API is reached."`
}

// API says how a unit's API is reached and trusted. The unit's certificate is
// verified by pin or by CA file, or else by the system's roots; there is no
// switch that turns verification off.
type API struct {
	Port   int    `json:"port,omitempty" jsonschema:"default=8443,minimum=1,maximum=65535" jsonschema_description:"Port of the API and the WUI."`
	Secret string `json:"secret" jsonschema:"required" jsonschema_description:"Name of the secret that holds the API key, or user and password; never the secret itself."`
	TLS    TLS    `json:"tls,omitzero" jsonschema_description:"Pin of the unit's certificate."`
	CAFile string `json:"caFile,omitempty" jsonschema_description:"File with the PEM certificates that sign the unit's certificate."`
}

// TLS pins a certificate.
type TLS struct {
	SHA256 string `json:"sha256,omitempty" jsonschema:"pattern=^([0-9a-fA-F]{2}:?){32}$" jsonschema_description:"SHA-256 of the unit's leaf certificate, 64 hexadecimal digits, colons allowed."`
}

// HA holds the parameters that both units must have.
type HA struct {
	Preferred          Preference `json:"preferred,omitempty" jsonschema_description:"first takes the active state back when it returns (default), none leaves it where it is."`
	CheckPort          int        `json:"checkPort,omitempty" jsonschema:"default=8444,minimum=1,maximum=65535" jsonschema_description:"Health check port, the same on both units and on the load balancer's probe."`
	CheckAllInterfaces bool       `json:"checkAllInterfaces,omitempty" jsonschema_description:"The check port listens on all interfaces, as multi-arm units need."`
	Failback           Failback   `json:"failback,omitempty" jsonschema_description:"Who moves the active state back: unit (default), managed, never."`
	StandbyForwards    Forwards   `json:"standbyForwards,omitempty" jsonschema_description:"Whether a standby forwards traffic that reaches it: yes, no, unknown (default)."`
}

// LoadBalancer is what the pair file says about one Azure load balancer.
type LoadBalancer struct {
	Name                 string       `json:"name" jsonschema:"required" jsonschema_description:"Name of the load balancer resource."`
	Pools                []string     `json:"pools" jsonschema:"required,minItems=1" jsonschema_description:"Backend pools that hold the units."`
	Members              Membership   `json:"members,omitempty" jsonschema_description:"How the units join the pools: interface, by their network interfaces as in the guide (default), or address, by their addresses as in the vendor's present guide."`
	Frontends            []Frontend   `json:"frontends" jsonschema:"required,minItems=1" jsonschema_description:"Frontend addresses."`
	Probe                BalanceProbe `json:"probe,omitzero" jsonschema_description:"The health probe on the check port."`
	Management           Management   `json:"management,omitzero" jsonschema_description:"Inbound NAT ports for WUI and SSH."`
	Rules                []Rule       `json:"rules,omitempty" jsonschema_description:"Load-balancing rules."`
	CentralPairAwareness bool         `json:"centralPairAwareness,omitempty" jsonschema_description:"Kemp 360 Central reaches the pair through a rule to 8443 (guide 5.2). The NAT rules of management.wui then give way, unless each interface has another IP configuration for them."`
}

// Frontend is one address of a load balancer: a private address, or the name
// of a public IP resource.
type Frontend struct {
	Name     string     `json:"name" jsonschema:"required" jsonschema_description:"Name of the frontend configuration."`
	Address  netip.Addr `json:"address,omitzero" jsonschema:"type=string" jsonschema_description:"Private address; either this or publicIP."`
	Subnet   string     `json:"subnet,omitempty" jsonschema_description:"Name of the subnet, in the units' network, that a private address is in; the first unit's subnet when left out."`
	PublicIP string     `json:"publicIP,omitempty" jsonschema_description:"Name of the public IP resource; either this or address."`
	IPv6     bool       `json:"ipv6,omitempty" jsonschema_description:"The public IP is an IPv6 address. A private address shows that itself."`
}

// Is6 reports whether the frontend takes IPv6 traffic, which needs IPv6 IP
// configurations on the units' interfaces and a backend pool of its own.
func (f Frontend) Is6() bool { return f.IPv6 || f.Address.Is6() }

// BalanceProbe is the load balancer's HTTP probe. Azure's shortest interval is
// five seconds (azure.md 1.4).
type BalanceProbe struct {
	Path      string   `json:"path,omitempty" jsonschema:"default=/" jsonschema_description:"Request path."`
	Interval  Duration `json:"interval,omitempty" jsonschema:"type=string,default=5s" jsonschema_description:"Time between two probes, 5s or more."`
	Threshold int      `json:"threshold,omitempty" jsonschema:"default=2,minimum=1" jsonschema_description:"Answers in a row that change the probe's mind."`
}

// Management holds the inbound NAT frontend ports.
type Management struct {
	WUI PortPair `json:"wui,omitzero" jsonschema_description:"Frontend ports that lead to each unit's 8443."`
	SSH PortPair `json:"ssh,omitzero" jsonschema_description:"Frontend ports that lead to each unit's 22."`
}

// PortPair is one port for each unit; 0 means none.
type PortPair struct {
	First  int `json:"first,omitempty" jsonschema:"minimum=0,maximum=65535" jsonschema_description:"Port for the first unit."`
	Second int `json:"second,omitempty" jsonschema:"minimum=0,maximum=65535" jsonschema_description:"Port for the second unit."`
}

// Rule is one load-balancing rule, TCP, frontend port to the same or another
// backend port.
type Rule struct {
	Name        string         `json:"name" jsonschema:"required" jsonschema_description:"Name of the rule."`
	Frontend    string         `json:"frontend" jsonschema:"required" jsonschema_description:"Name of the frontend."`
	Port        int            `json:"port" jsonschema:"required,minimum=1,maximum=65534" jsonschema_description:"Frontend port."`
	BackendPort int            `json:"backendPort,omitempty" jsonschema:"minimum=1,maximum=65535" jsonschema_description:"Port on the units when it differs from the frontend port."`
	Pool        string         `json:"pool,omitempty" jsonschema_description:"Which of the load balancer's pools the rule sends to; the first when left out. IPv6 frontends need a pool of their own."`
	Persistence Persistence    `json:"persistence,omitempty" jsonschema_description:"Which connections of a client stay on one unit: none (default), sourceIP, sourceIPProtocol."`
	IdleTimeout Duration       `json:"idleTimeout,omitempty" jsonschema:"type=string,default=4m" jsonschema_description:"Time after which an idle connection is forgotten, from 4m to 100m."`
	FloatingIP  bool           `json:"floatingIP,omitempty" jsonschema_description:"The units see the frontend's address instead of their own, which lets several frontends lead to one port; each unit then needs that address on a loopback."`
	From        []netip.Prefix `json:"from,omitempty" jsonschema_description:"Client networks that the security group lets in."`
}

// UnitPort returns the port of the units that the rule leads to.
func (r Rule) UnitPort() int {
	if r.BackendPort != 0 {
		return r.BackendPort
	}
	return r.Port
}

// SecurityGroup names the group and who may manage the units.
type SecurityGroup struct {
	Name           string         `json:"name,omitempty" jsonschema_description:"Name of the network security group."`
	ManagementFrom []netip.Prefix `json:"managementFrom,omitempty" jsonschema_description:"Networks that may reach WUI and SSH."`
	GuidePorts     bool           `json:"guidePorts,omitempty" jsonschema_description:"Also write the guide's rules for the NAT ports (8441, 8442, 221, 222). They open nothing, because a security group sees the port on the unit."`
}

// Check is a request to a unit's own published port with an expected answer.
type Check struct {
	Name   string `json:"name" jsonschema:"required" jsonschema_description:"Name of the check."`
	Port   int    `json:"port" jsonschema:"required,minimum=1,maximum=65535" jsonschema_description:"Published port on the unit."`
	Scheme Scheme `json:"scheme,omitempty" jsonschema_description:"http or https; https on port 443 and 8443 where nothing is said. The certificate is not verified, since it names the service and not the unit; nothing secret is sent."`
	Path   string `json:"path,omitempty" jsonschema:"default=/" jsonschema_description:"Request path."`
	Expect int    `json:"expect,omitempty" jsonschema:"default=200,minimum=100,maximum=599" jsonschema_description:"Expected HTTP status."`
}

// Failover holds thresholds and consents. Counts are observations in a row, at
// least Spacing apart, so that a burst of events cannot confirm anything.
type Failover struct {
	SuspectAfter    int      `json:"suspectAfter,omitempty" jsonschema:"default=2,minimum=1,maximum=20" jsonschema_description:"Bad observations in a row before the pair is reported as suspect."`
	ConfirmAfter    int      `json:"confirmAfter,omitempty" jsonschema:"default=3,minimum=1,maximum=20" jsonschema_description:"Bad observations in a row before anything is believed and done; higher is slower and surer."`
	RecoverAfter    int      `json:"recoverAfter,omitempty" jsonschema:"default=5,minimum=1,maximum=50" jsonschema_description:"Good observations in a row before a recovery is believed."`
	HoldDown        Duration `json:"holdDown,omitempty" jsonschema:"type=string,default=10m" jsonschema_description:"Least time between two automatic moves."`
	MaxMovesPerHour int      `json:"maxMovesPerHour,omitempty" jsonschema:"default=2,minimum=1,maximum=60" jsonschema_description:"Automatic moves per hour, then stop and ask."`
	Fence           Consent  `json:"fence,omitempty" jsonschema_description:"Set the loser of two active units Down in the load balancer: never, ask (default), auto."`
	Start           Consent  `json:"start,omitempty" jsonschema_description:"Start a VM that no person stopped: never, ask (default), auto."`
	Restart         Consent  `json:"restart,omitempty" jsonschema_description:"Restart a VM that is broken for certain: never (default), ask, auto."`
	Up              Consent  `json:"up,omitempty" jsonschema_description:"Where neither unit answers 200, set one Up that is proved to forward (standbyForwards: yes): never (default), ask, auto."`
}

// Duration is a time.Duration that is written as text such as 10m, in files
// and in stored rows alike.
type Duration time.Duration

var (
	_ encoding.TextMarshaler   = Duration(0)
	_ encoding.TextUnmarshaler = (*Duration)(nil)
)

func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText writes the form of time.Duration.String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads Go's duration form.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("duration %q: expected a number with a unit, for example 10m or 5s", b)
	}
	*d = Duration(v)
	return nil
}

// WithDefaults returns the definition with every unset value filled in, as the
// pair file reference documents it.
func (d Definition) WithDefaults() Definition {
	if d.Mode == ModeUnset {
		d.Mode = Observe
	}
	for _, u := range []*Unit{&d.Units.First, &d.Units.Second} {
		setDefault(&u.API.Port, 8443)
	}
	setDefault(&d.HA.Preferred, PreferFirst)
	setDefault(&d.HA.CheckPort, 8444)
	setDefault(&d.HA.Failback, FailbackUnit)
	balancers := make([]LoadBalancer, len(d.LoadBalancers))
	for i, lb := range d.LoadBalancers {
		setDefault(&lb.Probe.Path, "/")
		setDefault(&lb.Probe.Interval, Duration(5*time.Second))
		setDefault(&lb.Probe.Threshold, 2)
		setDefault(&lb.Members, ByInterface)
		lb.Rules = rulesWithDefaults(lb.Rules)
		balancers[i] = lb
	}
	d.LoadBalancers = balancers
	checks := make([]Check, len(d.Checks))
	for i, c := range d.Checks {
		setDefault(&c.Scheme, usualScheme(c.Port))
		setDefault(&c.Path, "/")
		setDefault(&c.Expect, 200)
		checks[i] = c
	}
	d.Checks = checks
	setDefault(&d.Sync.Every, Duration(2*time.Minute))
	setDefault(&d.Sync.Conflicts, ConflictsActive)
	setDefault(&d.Sync.MaxDrift, Duration(time.Hour))
	d.Failover = d.Failover.withDefaults()
	return d
}

func rulesWithDefaults(rules []Rule) []Rule {
	out := slices.Clone(rules)
	for i := range out {
		setDefault(&out[i].Persistence, PersistNone)
		setDefault(&out[i].IdleTimeout, Duration(4*time.Minute))
	}
	return out
}

func (f Failover) withDefaults() Failover {
	setDefault(&f.SuspectAfter, 2)
	setDefault(&f.ConfirmAfter, 3)
	setDefault(&f.RecoverAfter, 5)
	setDefault(&f.HoldDown, Duration(10*time.Minute))
	setDefault(&f.MaxMovesPerHour, 2)
	setDefault(&f.Fence, Ask)
	setDefault(&f.Start, Ask)
	setDefault(&f.Restart, Never)
	setDefault(&f.Up, Never)
	return f
}

func usualScheme(port int) Scheme {
	if port == 443 || port == 8443 {
		return HTTPS
	}
	return HTTP
}

// UnitPreference is what haprefered must read on both units: first takes the
// active state back by itself only where that is wanted and left to the units.
func (h HA) UnitPreference() Preference {
	if h.Preferred == PreferFirst && h.Failback == FailbackUnit {
		return PreferFirst
	}
	return PreferNone
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// VMID returns the resource id of the unit's virtual machine in lower case,
// because Azure's own spelling varies (azure.md 4.3).
func (d Definition) VMID(r Role) ResourceID {
	return d.resource("Microsoft.Compute/virtualMachines", d.Units.Of(r).VM)
}

// LoadBalancerID returns the resource id of a load balancer of the pair.
func (d Definition) LoadBalancerID(name string) ResourceID {
	return d.resource("Microsoft.Network/loadBalancers", name)
}

// SecurityGroupID returns the resource id of the pair's security group. It is
// meant for definitions that name one.
func (d Definition) SecurityGroupID() ResourceID {
	return d.resource("Microsoft.Network/networkSecurityGroups", d.SecurityGroup.Name)
}

func (d Definition) resource(kind, name string) ResourceID {
	return NewResourceID("/subscriptions/" + d.Azure.Subscription + "/resourceGroups/" + d.Azure.ResourceGroup + "/providers/" + kind + "/" + name)
}
