package arm

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// resource is one resource with its document as it is answered to GET.
type resource struct {
	id      string
	kind    *kind
	doc     document
	etag    string
	running *operation // the write or VM action that has not ended
	version int        // rises with every write that the traffic follows
	applied int        // the version that the data path has
	carried document   // what the traffic follows; nil before the first time
	unseen  []unseen   // the writes that reads do not show yet, oldest first
	machine *machine   // of a virtual machine
}

// unseen is a write that reads do not show yet.
type unseen struct {
	op     *operation
	before document // what they show instead
}

// shown is the document as reads show it. m.mu is held.
func (m *Manager) shown(r *resource) document {
	if len(r.unseen) > 0 {
		return m.withUsers(r, r.unseen[0].before)
	}
	return m.withUsers(r, r.doc)
}

// reveal lets reads show a write, and with it those before it.
func (r *resource) reveal(op *operation) {
	if i := slices.IndexFunc(r.unseen, func(u unseen) bool { return u.op == op }); i >= 0 {
		r.unseen = r.unseen[i+1:]
	}
}

func (r *resource) name() string { return lastSegment(r.id) }

// carriesTraffic tells whether the data path follows writes of the resource.
func (r *resource) carriesTraffic() bool {
	return r.kind.is("loadBalancers") || r.kind.is("networkInterfaces") || r.kind.is("networkSecurityGroups") || r.kind.is("virtualNetworks")
}

// restamp gives a document another ETag, in the whole and in every child,
// because something of it was changed from elsewhere. m.mu is held.
func (m *Manager) restamp(r *resource, d document) {
	r.etag = m.newETag()
	d["etag"] = r.etag
	for _, col := range r.kind.collections {
		for _, child := range list(properties(d), col.name) {
			child["etag"] = r.etag
		}
	}
}

// kind is a type of resource.
type kind struct {
	provider, name string
	writable       bool // by PUT and PATCH of the whole
	collections    []collection
}

// collection is a list of child resources inside a document.
type collection struct {
	name     string
	writable bool // children can be PUT one by one
}

func (k *kind) typ() string { return k.provider + "/" + k.name }

func (k *kind) collection(name string) *collection {
	for i := range k.collections {
		if strings.EqualFold(k.collections[i].name, name) {
			return &k.collections[i]
		}
	}
	return nil
}

const (
	networkProvider = "Microsoft.Network"
	computeProvider = "Microsoft.Compute"
)

// kinds are all types of resources; they are constants (azure.md 1.1 for what
// is writable).
var kinds = []*kind{
	{provider: networkProvider, name: "loadBalancers", writable: true, collections: []collection{
		{name: "frontendIPConfigurations"},
		{name: "backendAddressPools", writable: true},
		{name: "loadBalancingRules"},
		{name: "probes"},
		{name: "inboundNatRules", writable: true},
		{name: "outboundRules"},
		{name: "inboundNatPools"},
	}},
	{provider: networkProvider, name: "networkSecurityGroups", writable: true, collections: []collection{
		{name: "securityRules", writable: true},
		{name: "defaultSecurityRules"},
	}},
	{provider: networkProvider, name: "networkInterfaces", writable: true, collections: []collection{{name: "ipConfigurations"}}},
	{provider: networkProvider, name: "virtualNetworks", writable: true, collections: []collection{{name: "subnets", writable: true}}},
	{provider: networkProvider, name: "publicIPAddresses", writable: true},
	{provider: computeProvider, name: "virtualMachines"}, // deleted by routeMachine
}

func kindOf(provider, name string) *kind {
	for _, k := range kinds {
		if strings.EqualFold(k.provider, provider) && strings.EqualFold(k.name, name) {
			return k
		}
	}
	return nil
}

func (k *kind) is(name string) bool { return k.name == name }

// route finds what a call is about and does it. m.mu is held.
func (m *Manager) route(c *call) (answer, error) {
	t := c.target
	if err := c.checkVersion(); err != nil {
		return answer{}, err
	}
	if !slices.ContainsFunc(m.cfg.Subscriptions, func(s string) bool { return strings.EqualFold(s, t.subscription) }) {
		return answer{}, &failure{
			status: http.StatusNotFound, code: "SubscriptionNotFound",
			message: "The subscription '" + t.subscription + "' could not be found.",
		}
	}
	if !t.known {
		return answer{}, &failure{
			status: http.StatusNotFound, code: "InvalidResourceType",
			message: "The resource type could not be found for the path '" + c.url.Path + "'.",
		}
	}
	if t.operation != "" {
		return m.poll(c)
	}
	if t.group != "" && !m.hasGroup(t.group) {
		return answer{}, &failure{
			status: http.StatusNotFound, code: "ResourceGroupNotFound", message: "Resource group '" + t.group + "' could not be found.",
		}
	}
	k := kindOf(t.provider, t.kind)
	switch {
	case k == nil:
		return answer{}, notFound(c.url.Path)
	case t.name == "":
		return m.list(c, k)
	}
	r := m.resources[strings.ToLower(resourceID(t, k))]
	switch {
	case r == nil && t.child == "" && t.verb == "" && c.method == http.MethodPut && k.writable:
		return m.put(c, k, nil)
	case r == nil:
		return answer{}, &failure{
			status: http.StatusNotFound, code: "ResourceNotFound",
			message: "The Resource '" + k.typ() + "/" + t.name + "' under resource group '" + t.group +
				"' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix",
		}
	case t.metrics:
		return m.metrics(c, r)
	case k.is("virtualMachines"):
		return m.routeMachine(c, r)
	case t.child != "":
		return m.routeChild(c, r, k.collection(t.child))
	case t.verb != "":
		return answer{}, notAllowed(c)
	}
	return m.routeWhole(c, r)
}

func (m *Manager) hasGroup(name string) bool {
	return len(m.cfg.ResourceGroups) == 0 || slices.ContainsFunc(m.cfg.ResourceGroups, func(g string) bool { return strings.EqualFold(g, name) })
}

func resourceID(t target, k *kind) string {
	return "/subscriptions/" + t.subscription + "/resourceGroups/" + t.group + "/providers/" + k.typ() + "/" + t.name
}

// list answers with the resources of a kind, in a resource group or in the
// subscription, page by page.
func (m *Manager) list(c *call, k *kind) (answer, error) {
	if c.method != http.MethodGet {
		return answer{}, notAllowed(c)
	}
	value := []any{}
	for _, r := range m.order {
		o := parseTarget(r.id)
		if r.kind != k || !strings.EqualFold(o.subscription, c.target.subscription) ||
			c.target.group != "" && !strings.EqualFold(o.group, c.target.group) {
			continue
		}
		if k.is("virtualMachines") {
			value = append(value, r.machine.document(r, c.url.Query()))
		} else {
			value = append(value, m.shown(r))
		}
	}
	return m.page(c, value)
}

// skipToken is the parameter that leads to the next page. Clients pass on the
// whole link, so its form is the service's own affair.
const skipToken = "$skiptoken"

// page cuts the page out of a list that a request asks for.
func (m *Manager) page(c *call, value []any) (answer, error) {
	q := c.url.Query()
	at := 0
	if token := q.Get(skipToken); token != "" {
		var err error
		if at, err = strconv.Atoi(token); err != nil || at < 0 {
			return answer{}, refuse("InvalidSkipToken", "The "+skipToken+" '"+token+"' is invalid.")
		}
	}
	from, until := min(at, len(value)), min(at+m.opts.PageSize, len(value))
	body := document{"value": value[from:until]}
	if until < len(value) {
		q.Set(skipToken, strconv.Itoa(until))
		body["nextLink"] = c.base + c.url.Path + "?" + q.Encode()
	}
	return ok(body), nil
}

func (m *Manager) routeWhole(c *call, r *resource) (answer, error) {
	switch {
	case c.method == http.MethodGet:
		d := m.shown(r)
		a := ok(d)
		if etag := text(d, "etag"); etag != "" {
			a.header = http.Header{"Etag": {etag}}
		}
		return a, nil
	case c.method == http.MethodPut && r.kind.writable:
		return m.put(c, r.kind, r)
	case c.method == http.MethodPatch && r.kind.writable:
		return m.patchTags(c, r)
	case c.method == http.MethodDelete && r.kind.writable:
		return m.remove(c, r)
	}
	return answer{}, notAllowed(c)
}

func (m *Manager) routeChild(c *call, r *resource, col *collection) (answer, error) {
	t := c.target
	if col == nil {
		return answer{}, notFound(r.id + "/" + t.child + "/" + t.childName)
	}
	d := r.doc
	if c.method == http.MethodGet {
		d = m.shown(r)
	}
	children := list(properties(d), col.name)
	switch {
	case t.childName == "" && c.method == http.MethodGet:
		value := make([]any, len(children))
		for i, child := range children {
			value[i] = child
		}
		return ok(document{"value": value}), nil
	case t.childName == "":
		return answer{}, notAllowed(c)
	}
	i := slices.IndexFunc(children, func(d document) bool { return strings.EqualFold(text(d, "name"), t.childName) })
	switch {
	case t.verb == "" && c.method == http.MethodPut && col.writable:
		return m.putChild(c, r, col, i)
	case i < 0:
		return answer{}, notFound(r.id + "/" + col.name + "/" + t.childName)
	case t.verb == "" && c.method == http.MethodGet:
		a := ok(children[i])
		a.header = http.Header{"Etag": {text(d, "etag")}}
		return a, nil
	case strings.EqualFold(t.verb, "health") && col.name == "loadBalancingRules" && c.method == http.MethodPost:
		return m.health(c, r, children[i])
	}
	return answer{}, notAllowed(c)
}

// complete fills in what the service adds to a document: ids, ETags, states,
// defaults and back references, in the whole and in every child. old is nil
// on creation. m.mu is held.
func (m *Manager) complete(r *resource, d, old document, state string) {
	d["id"], d["name"], d["type"] = r.id, r.name(), r.kind.typ()
	withoutUsers(r.kind, d)
	if r.etag != "" {
		d["etag"] = r.etag
	}
	p := ensure(d, "properties")
	p["provisioningState"] = state
	if guid := properties(old)["resourceGuid"]; guid != nil {
		p["resourceGuid"] = guid
	}
	if r.kind.provider == networkProvider {
		standard(p, "resourceGuid", m.guid())
	}
	for _, col := range r.kind.collections {
		standard(p, col.name, []any{})
		for _, child := range list(p, col.name) {
			child["id"] = r.id + "/" + col.name + "/" + text(child, "name")
			child["type"] = r.kind.typ() + "/" + col.name
			child["etag"] = r.etag
			ensure(child, "properties")["provisioningState"] = state
		}
	}
	switch r.kind.name {
	case "loadBalancers":
		m.completeLoadBalancer(d)
	case "networkSecurityGroups":
		completeSecurityGroup(r, d, state)
	case "networkInterfaces":
		completeInterface(d)
	case "virtualNetworks":
		completeVirtualNetwork(d)
	case "publicIPAddresses":
		m.completePublicIP(d, old)
	}
}

// inState returns a document with another provisioning state.
func inState(k *kind, d document, state string) document {
	d = clone(d)
	p := ensure(d, "properties")
	p["provisioningState"] = state
	for _, col := range k.collections {
		for _, child := range list(p, col.name) {
			ensure(child, "properties")["provisioningState"] = state
		}
	}
	return d
}

func (m *Manager) newETag() string { return `W/"` + m.guid() + `"` }

// store keeps a resource that is new. m.mu is held.
func (m *Manager) store(r *resource) {
	m.resources[strings.ToLower(r.id)] = r
	m.order = append(m.order, r)
}

func (m *Manager) drop(r *resource) {
	delete(m.resources, strings.ToLower(r.id))
	m.order = slices.DeleteFunc(m.order, func(o *resource) bool { return o == r })
}
