package arm

// completeSecurityGroup adds the six default rules that every group has and
// nobody can change (azure.md 2).
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
	properties(d)["defaultSecurityRules"] = []any{
		rule("AllowVnetInBound", "Inbound", "Allow", 65000, "VirtualNetwork", "VirtualNetwork"),
		rule("AllowAzureLoadBalancerInBound", "Inbound", "Allow", 65001, "AzureLoadBalancer", "*"),
		rule("DenyAllInBound", "Inbound", "Deny", 65500, "*", "*"),
		rule("AllowVnetOutBound", "Outbound", "Allow", 65000, "VirtualNetwork", "VirtualNetwork"),
		rule("AllowInternetOutBound", "Outbound", "Allow", 65001, "*", "Internet"),
		rule("DenyAllOutBound", "Outbound", "Deny", 65500, "*", "*"),
	}
}
