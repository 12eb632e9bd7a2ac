package pair

import "strings"

// ResourceID is an Azure resource id in lower case: Azure spells the same id
// in different letter cases (azure.md 4.3), so ids are only ever compared in
// this form.
type ResourceID string

// NewResourceID puts an id into the form in which ids are compared.
func NewResourceID(id string) ResourceID {
	return ResourceID(strings.ToLower(strings.TrimRight(id, "/")))
}

// Name returns the last part of the id.
func (id ResourceID) Name() string {
	return string(id[strings.LastIndexByte(string(id), '/')+1:])
}

// kinds are what people call the resources that Tandem writes.
var kinds = map[string]string{
	"loadbalancers": "load balancer", "networksecuritygroups": "security group", "networkinterfaces": "interface",
	"publicipaddresses": "public IP", "virtualmachines": "VM",
}

// Kind is what people call a resource of this kind; empty for one that Tandem
// does not know.
func (id ResourceID) Kind() string {
	all := strings.Split(string(id), "/")
	return kinds[all[max(0, len(all)-2)]]
}

// Title is what people call the resource: its kind, where that is known, and its
// name.
func (id ResourceID) Title() string { return strings.TrimSpace(id.Kind() + " " + id.Name()) }
