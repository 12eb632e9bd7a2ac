package loadmaster

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"tandem/internal/pair"
)

const (
	haRead  = "getazurehaparams"
	haWrite = "azurehaparam"
	haMode  = "azurehamode"
)

// HAParameters are the HA settings of one unit (loadmaster.md 2.1).
type HAParameters struct {
	// Role is the unit's place, RoleUnknown on a unit without HA. SetHAMode
	// changes it; SetHAParameters does not.
	Role pair.Role
	// Partner is the other unit, by address or host name.
	Partner string
	// CheckPort is the health check port, 1 to 65535, equal on both units; 0
	// when the unit does not tell.
	CheckPort int
	// Preferred is PreferFirst, the default of units, or PreferNone.
	Preferred pair.Preference
	// AllInterfaces makes the check port listen on all interfaces instead of
	// the primary address of eth0. Old firmware does not tell, and false is
	// what it does.
	AllInterfaces bool
}

// HAParameters reads the HA settings of a unit. What it does not tell is
// empty.
func (c *Client) HAParameters(ctx context.Context, u pair.Unit) (HAParameters, error) {
	s, err := c.open(ctx, u)
	if err != nil {
		return HAParameters{}, err
	}
	return s.readHA(ctx)
}

// SetHAParameters writes partner, check port, preference and interfaces, and
// reads them back. It always sends all four, because setters in the vendor's
// own tools reset what a caller leaves out (loadmaster.md 0.1 item 3); so all
// must be given, or nothing is sent and the error is ErrInvalid.
//
// ErrUnknownOutcome means that the write was sent and its effect was not seen:
// the answer was lost, or the unit reads back otherwise. Read the parameters
// and decide again.
func (c *Client) SetHAParameters(ctx context.Context, u pair.Unit, want HAParameters) error {
	if err := want.check(); err != nil {
		return fmt.Errorf("set the HA parameters of unit %q: %w", u.VM, err)
	}
	s, err := c.open(ctx, u)
	if err != nil {
		return err
	}
	write := want.command()
	if _, err := s.call(ctx, write); err != nil {
		return err
	}
	return s.readBack(ctx, write, func(got HAParameters) string { return want.difference(got) })
}

// SetHAMode makes a unit the first or the second of its pair and reads the
// role back. The guide wants a reboot of both units afterwards (loadmaster.md
// 2.1). It does not take HA away. Errors are those of SetHAParameters.
func (c *Client) SetHAMode(ctx context.Context, u pair.Unit, role pair.Role) error {
	if role != pair.First && role != pair.Second {
		return fmt.Errorf("set the HA mode of unit %q to %v: expected first or second: %w", u.VM, role, pair.ErrInvalid)
	}
	s, err := c.open(ctx, u)
	if err != nil {
		return err
	}
	write := modeCommand(role)
	if _, err := s.call(ctx, write); err != nil {
		return err
	}
	return s.readBack(ctx, write, func(got HAParameters) string {
		if got.Role == role {
			return ""
		}
		return HAParameters{Role: role}.differenceInRole(got)
	})
}

// Reboot tells a unit to reboot. Success means that it said yes; that it did
// shows in a new boot time, minutes later (loadmaster.md 2.6). A unit that goes
// down before it answers leaves ErrUnknownOutcome.
func (c *Client) Reboot(ctx context.Context, u pair.Unit) error {
	s, err := c.open(ctx, u)
	if err != nil {
		return err
	}
	_, err = s.call(ctx, command{name: "reboot", write: true})
	return err
}

// Parameter reads one system parameter as the unit writes it, trimmed; lists
// are joined with commas. Yes and no read true and false in the JSON API, and
// secrets read as asterisks (loadmaster.md 1.6, 3.1). A parameter that the
// firmware does not know or does not give is ErrNotFound.
func (c *Client) Parameter(ctx context.Context, u pair.Unit, name string) (string, error) {
	if !parameterName(name) {
		return "", fmt.Errorf("read parameter %.64q of unit %q: expected letters, digits and _: %w", name, u.VM, pair.ErrInvalid)
	}
	s, err := c.open(ctx, u)
	if err != nil {
		return "", err
	}
	read := get(name)
	data, err := s.call(ctx, read)
	if err != nil {
		return "", err
	}
	values := data.children(name)
	if len(values) == 0 {
		return "", s.fault(read, "expected the parameter in the answer, it is not there", pair.ErrNotFound)
	}
	var list []string
	for _, value := range values {
		list = append(list, unpadded(value.text))
	}
	return s.hider.Replace(strings.Join(list, ",")), nil
}

func parameterName(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
}

func (s *session) readHA(ctx context.Context) (HAParameters, error) {
	data, err := s.call(ctx, command{name: haRead})
	if err != nil {
		return HAParameters{}, err
	}
	return s.haParameters(data), nil
}

// readBack believes a write only when it is seen. That it cannot be seen, for
// whatever reason, leaves its outcome unknown.
func (s *session) readBack(ctx context.Context, write command, difference func(HAParameters) string) error {
	got, err := s.readHA(ctx)
	if err != nil {
		return s.fault(write, "the unit said yes, but reading back failed: "+err.Error(), pair.ErrUnknownOutcome)
	}
	if d := difference(got); d != "" {
		return s.fault(write, "the unit said yes, but reads back "+d, pair.ErrUnknownOutcome)
	}
	return nil
}

// haFields finds the HA parameters wherever they are: in the element of Azure
// or another cloud, in whatever object comes first, or unwrapped
// (loadmaster.md 2.1, 7 item 1).
func haFields(data element) element {
	if azure, ok := data.child("AzureHA"); ok && len(azure.kids) > 0 {
		return azure
	}
	if _, unwrapped := data.child("HaMode"); unwrapped {
		return data
	}
	for _, kid := range data.kids {
		if len(kid.kids) > 0 {
			return kid
		}
	}
	return data
}

func (s *session) haParameters(data element) HAParameters {
	fields := haFields(data)
	mode, _ := fields.value("HaMode")
	preferred, _ := fields.value("HaPrefered")
	partner, _ := fields.value("Partner")
	port, _ := fields.value("Port")
	all, _ := fields.value("HealthCheckAllInterfaces")
	return HAParameters{
		Role:          role(mode),
		Partner:       s.fact(partner),
		CheckPort:     portOf(port),
		Preferred:     preference(preferred),
		AllInterfaces: yes(all),
	}
}

func (p HAParameters) check() error {
	switch {
	case p.Partner == "" || len(p.Partner) > 253 || strings.ContainsAny(p.Partner, " \t\r\n"):
		return fmt.Errorf("partner %.64q: expected an address or a host name: %w", p.Partner, pair.ErrInvalid)
	case p.CheckPort < 1 || p.CheckPort > 65535:
		return fmt.Errorf("check port %d: expected 1 to 65535: %w", p.CheckPort, pair.ErrInvalid)
	case p.Preferred != pair.PreferFirst && p.Preferred != pair.PreferNone:
		return fmt.Errorf("preference %v: expected first or none: %w", p.Preferred, pair.ErrInvalid)
	}
	return nil
}

func (p HAParameters) command() command {
	return command{name: haWrite, write: true, args: []arg{
		{"partner", p.Partner},
		{"hcp", strconv.Itoa(p.CheckPort)},
		{"haprefered", digit(p.Preferred == pair.PreferFirst)},
		{"hcai", digit(p.AllInterfaces)},
	}}
}

func modeCommand(role pair.Role) command {
	return command{name: haMode, args: []arg{{"hamode", role.String()}}, write: true}
}

func digit(on bool) string {
	if on {
		return "1"
	}
	return "0"
}

// difference says how got differs from what was written, or nothing.
func (p HAParameters) difference(got HAParameters) string {
	var d []string
	if !samePartner(p.Partner, got.Partner) {
		d = append(d, fmt.Sprintf("partner %q, expected %q", got.Partner, p.Partner))
	}
	if p.CheckPort != got.CheckPort {
		d = append(d, fmt.Sprintf("check port %d, expected %d", got.CheckPort, p.CheckPort))
	}
	if p.Preferred != got.Preferred {
		d = append(d, fmt.Sprintf("preference %v, expected %v", got.Preferred, p.Preferred))
	}
	if p.AllInterfaces != got.AllInterfaces {
		d = append(d, fmt.Sprintf("all interfaces %t, expected %t", got.AllInterfaces, p.AllInterfaces))
	}
	return strings.Join(d, ", ")
}

// partnerIs reports whether the partner is the unit with an address. A name is
// not resolved.
func (p HAParameters) partnerIs(unit netip.Addr) bool {
	partner, err := netip.ParseAddr(p.Partner)
	return err == nil && partner.Unmap() == unit
}

func samePartner(a, b string) bool {
	x, errX := netip.ParseAddr(a)
	y, errY := netip.ParseAddr(b)
	if errX == nil && errY == nil {
		return x == y
	}
	return strings.EqualFold(strings.TrimSuffix(a, "."), strings.TrimSuffix(b, "."))
}
