package arm

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// checkSecurityGroup refuses what the network provider refuses of rules
// (azure.md 2).
func checkSecurityGroup(r *resource, d document) error {
	rules := list(properties(d), "securityRules")
	if len(rules) > 1000 {
		return refuse(codeFormat, "Security group "+r.id+" has more than 1000 rules.")
	}
	taken := map[string]string{}
	for _, rule := range rules {
		name, p := text(rule, "name"), properties(rule)
		if wrong := wrongRule(p); wrong != "" {
			return refuse(codeFormat, "Security rule "+r.id+"/securityRules/"+name+" "+wrong+".")
		}
		place := fmt.Sprintf("%s %d", strings.ToLower(text(p, "direction")), number(p, "priority", 0))
		if other, conflict := taken[place]; conflict {
			return refuse("SecurityRuleConflict", "Security rule "+other+" conflicts with rule "+name+
				". Rules cannot have the same Priority and Direction. To learn more, see aka.ms/nsgrules.")
		}
		taken[place] = name
	}
	return nil
}

// wrongRule says what is wrong with the properties of a rule.
func wrongRule(p document) string {
	lower := func(key string) string { return strings.ToLower(text(p, key)) }
	switch {
	case !oneOf(lower("direction"), "inbound", "outbound"):
		return "has no direction Inbound or Outbound"
	case !oneOf(lower("access"), "allow", "deny"):
		return "has no access Allow or Deny"
	case !oneOf(lower("protocol"), "tcp", "udp", "icmp", "esp", "ah", "*"):
		return "has no known protocol"
	case !within(number(p, "priority", 0), 100, 4096):
		return "has no priority between 100 and 4096"
	case len(text(p, "description")) > 140:
		return "has a description of more than 140 characters"
	}
	for _, side := range []string{"source", "destination"} {
		places := append(oneOrMany(p, side+"AddressPrefix", "es"), references(p, side+"ApplicationSecurityGroups")...)
		ports := oneOrMany(p, side+"PortRange", "s")
		switch {
		case len(places) == 0:
			return "has no " + side + " address"
		case len(ports) == 0:
			return "has no " + side + " port"
		}
		for _, place := range oneOrMany(p, side+"AddressPrefix", "es") {
			if !isPlace(place) {
				return "has the " + side + " address " + place + ", which is none"
			}
		}
		for _, port := range ports {
			if !isPortRange(port) {
				return "has the " + side + " port " + port + ", which is none"
			}
		}
	}
	return ""
}

var serviceTag = regexp.MustCompile(`^[A-Z][A-Za-z0-9.]*$`)

// isPlace tells whether a word is an address, a prefix, * or may be a tag.
func isPlace(s string) bool {
	_, addrErr := netip.ParseAddr(s)
	_, prefixErr := netip.ParsePrefix(s)
	return s == "*" || addrErr == nil || prefixErr == nil || serviceTag.MatchString(s)
}

func isPortRange(s string) bool {
	low, high, isRange := strings.Cut(s, "-")
	if !isRange {
		high = low
	}
	from, err1 := strconv.ParseUint(low, 10, 16)
	until, err2 := strconv.ParseUint(high, 10, 16)
	return s == "*" || err1 == nil && err2 == nil && from <= until
}

// completeSecurityGroup adds the empty lists that the service shows, and the six
// default rules that every group has and nobody can change (azure.md 2).
func completeSecurityGroup(r *resource, d document, state string) {
	rule := func(name, direction, access string, priority int, from, to string) any {
		return document{
			"name": name,
			"id":   r.id + "/defaultSecurityRules/" + name,
			"etag": r.etag,
			"type": r.kind.typ() + "/defaultSecurityRules",
			"properties": document{
				"provisioningState": state, "direction": direction, "access": access, "priority": whole(priority), "protocol": "*",
				"sourceAddressPrefix": from, "sourcePortRange": "*", "destinationAddressPrefix": to, "destinationPortRange": "*",
			},
		}
	}
	for _, rule := range list(properties(d), "securityRules") {
		for _, many := range []string{"sourceAddressPrefixes", "destinationAddressPrefixes", "sourcePortRanges", "destinationPortRanges"} {
			standard(properties(rule), many, []any{}) // shown beside the single value, or in its place
		}
	}
	properties(d)["defaultSecurityRules"] = []any{
		rule("AllowVnetInBound", "Inbound", "Allow", 65000, "VirtualNetwork", "VirtualNetwork"),
		rule("AllowAzureLoadBalancerInBound", "Inbound", "Allow", 65001, "AzureLoadBalancer", "*"),
		rule("DenyAllInBound", "Inbound", "Deny", 65500, "*", "*"),
		rule("AllowVnetOutBound", "Outbound", "Allow", 65000, "VirtualNetwork", "VirtualNetwork"),
		rule("AllowInternetOutBound", "Outbound", "Allow", 65001, "*", "Internet"),
		rule("DenyAllOutBound", "Outbound", "Deny", 65500, "*", "*"),
	}
}
