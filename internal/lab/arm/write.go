package arm

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// change is a write that was found to be possible: the document as wanted,
// not yet completed.
type change struct {
	kind      *kind
	res       *resource // nil on creation
	id        string
	doc       document
	subject   string                        // of the event: the whole or the child
	operation string                        // Microsoft.Network/loadBalancers/write
	title     string                        // PutLoadBalancerOperation
	created   bool                          // the subject is new
	updating  bool                          // the recorded first answer says Updating
	tagsOnly  bool                          // nothing for the traffic to follow
	part      func(whole document) document // what is answered; nil means the whole
}

func (ch change) answer(whole document) document {
	if ch.part == nil {
		return whole
	}
	return ch.part(whole)
}

// put writes a whole resource: what it does not mention is gone. m.mu is held.
func (m *Manager) put(c *call, k *kind, r *resource) (answer, error) {
	ch := change{
		kind: k, res: r, id: resourceID(c.target, k), created: r == nil,
		operation: k.typ() + "/write", title: "Put" + strings.TrimSuffix(strings.ToUpper(k.name[:1])+k.name[1:], "s") + "Operation",
		updating: !k.is("loadBalancers") && !k.is("networkInterfaces"), // these say Succeeded (azure.md 1.9)
	}
	if r != nil {
		ch.id = r.id
	}
	ch.subject = ch.id
	ifMatch := Honoured
	if k.is("networkInterfaces") {
		ifMatch = m.opts.InterfaceIfMatch
	}
	if err := m.checkWrite(c, ch, ifMatch); err != nil {
		return answer{}, err
	}
	d, err := c.document()
	if err != nil {
		return answer{}, err
	}
	ch.doc = d
	var old document
	if r != nil {
		old = r.doc
	}
	if k.is("networkInterfaces") {
		keepMachine(d, old)
	}
	if err := checkLocation(d, old, ch.id); err != nil {
		return answer{}, err
	}
	if err := checkTags(d["tags"]); err != nil {
		return answer{}, err
	}
	return m.commit(c, ch)
}

// keepMachine gives an interface the machine that it had: the machine decides
// which interfaces it has.
func keepMachine(nic, old document) {
	p := ensure(nic, "properties")
	delete(p, "virtualMachine")
	if vm := properties(old)["virtualMachine"]; vm != nil {
		p["virtualMachine"] = vm
	}
}

// putChild writes one child: a pool, a NAT rule or a security rule. i is its
// index, negative for a new one. m.mu is held.
func (m *Manager) putChild(c *call, r *resource, col *collection, i int) (answer, error) {
	name := c.target.childName
	children, _ := properties(r.doc)[col.name].([]any)
	if i >= 0 {
		name = text(children[i].(document), "name")
	}
	singular := strings.TrimSuffix(strings.ToUpper(col.name[:1])+col.name[1:], "s")
	ch := change{
		kind: r.kind, res: r, id: r.id, subject: r.id + "/" + col.name + "/" + name, created: i < 0,
		operation: r.kind.typ() + "/" + col.name + "/write", title: "Put" + singular + "Operation", updating: true,
	}
	if err := m.checkWrite(c, ch, m.opts.PoolIfMatch); err != nil {
		return answer{}, err
	}
	child, err := c.document()
	if err != nil {
		return answer{}, err
	}
	child["name"] = name
	if i < 0 {
		i = len(children)
		children = append(slices.Clip(children), child)
	} else {
		children = slices.Clone(children)
		children[i] = child
	}
	whole := clone(r.doc)
	ensure(whole, "properties")[col.name] = cloneValue(children)
	ch.doc = whole
	ch.part = func(whole document) document { return list(properties(whole), col.name)[i] }
	return m.commit(c, ch)
}

// patchTags writes the tags, which is all that PATCH can do. It ends at once.
// m.mu is held.
func (m *Manager) patchTags(c *call, r *resource) (answer, error) {
	ch := change{kind: r.kind, res: r, id: r.id, subject: r.id, operation: r.kind.typ() + "/write", title: "PatchTagsOperation", tagsOnly: true}
	if err := m.checkWrite(c, ch, m.opts.TagsIfMatch); err != nil {
		return answer{}, err
	}
	if c.fault.Kind == FailOperation {
		return answer{}, c.fault.failure("InternalServerError")
	}
	body, err := c.document()
	if err != nil {
		return answer{}, err
	}
	if _, isObject := body["tags"].(document); !isObject || len(body) != 1 {
		return answer{}, refuse(codeFormat, "A PATCH of "+r.id+" takes an object with tags, and nothing else.")
	}
	tags := document{}
	if m.opts.TagsPatch == Merges {
		maps.Copy(tags, object(r.doc, "tags"))
	}
	maps.Copy(tags, object(body, "tags"))
	if err := checkTags(tags); err != nil {
		return answer{}, err
	}
	ch.doc = clone(r.doc)
	ch.doc["tags"] = tags
	a, err := m.commit(c, ch)
	if err != nil {
		return answer{}, err
	}
	a.header = http.Header{"Etag": {r.etag}}
	return a, nil
}

// checkWrite refuses a write that must not even be looked at: one on a stale
// ETag, one that is to create what there is, or one that another operation
// locks out. m.mu is held.
func (m *Manager) checkWrite(c *call, ch change, ifMatch IfMatch) error {
	etag := ""
	if ch.res != nil {
		etag = ch.res.etag
	}
	matches := c.ifMatch == "" || c.ifMatch == etag || c.ifMatch == "*" && etag != ""
	if !matches && ifMatch != Ignored {
		return preconditionFailed("Etag provided in if-match header %s does not match etag %s of resource %s in NRP data store.", c.ifMatch, etag, ch.subject)
	}
	if c.ifNoneMatch == "*" && !ch.created && m.opts.CreateIfNoneMatch != Ignored {
		return preconditionFailed("The if-none-match header %s does not allow for etag %s of resource %s in NRP data store.", c.ifNoneMatch, etag, ch.subject)
	}
	if ch.res == nil || ch.res.running == nil || m.opts.SecondWrite != Refused {
		return nil
	}
	wait := m.opts.RetryAfter
	if wait == 0 {
		wait = defaultLockWait
	}
	return locked(ch.res, wait)
}

// preconditionFailed is the refusal of a condition; that of If-None-Match was
// never recorded, and is made after the one of If-Match.
func preconditionFailed(format, sent, etag, id string) *failure {
	return &failure{
		status: http.StatusPreconditionFailed, code: "PreconditionFailed", message: "Precondition failed.",
		details: []detail{{"PreconditionFailedEtagMismatch", fmt.Sprintf(format, sent, etag, id)}},
	}
}

// commit checks the new document, keeps it, ends the operation that it
// supersedes and starts its own. m.mu is held.
func (m *Manager) commit(c *call, ch change) (answer, error) {
	r := ch.res
	var old document
	if r == nil {
		r = &resource{id: ch.id, kind: ch.kind}
	} else {
		old = r.doc
	}
	if err := m.check(r, ch.doc, old); err != nil {
		return answer{}, err
	}
	if err := m.checkSurroundings(r, ch); err != nil {
		return answer{}, err
	}
	updating := m.updating(c, ch)
	state := "Succeeded"
	if updating {
		state = "Updating"
	}
	if ch.res == nil {
		m.store(r)
		r.doc = ch.doc
	}
	r.etag = m.newETag()
	m.complete(r, ch.doc, old, state)
	op := m.begin(c, r, ch)
	m.keep(c, r, op, ch, state)
	if r.kind.is("networkInterfaces") {
		m.joined(r, r.doc, old)
	}
	// What the tags supersede did not get through on its own.
	op.moves = r.carriesTraffic() && c.fault.Kind != NoEffect && (!ch.tagsOnly || r.running != nil && r.running.moves)
	if op.moves {
		r.version++
	}
	m.supersede(r, op)
	r.running = op
	m.logf("%s writes %s", c.principal, c.target.label())
	m.schedule(c, r, op, updating)
	a := answer{status: http.StatusOK, body: ch.answer(m.withUsers(r, ch.doc))}
	if updating || !r.kind.is("networkInterfaces") {
		a.header = m.asyncHeader(c, op)
	}
	if ch.created {
		a.status = http.StatusCreated
	}
	return a, nil
}

// updating tells whether a write has not ended when it is answered. m.mu is
// held.
func (m *Manager) updating(c *call, ch change) bool {
	switch {
	case c.fault.Kind == Late || ch.tagsOnly:
		return false
	case c.fault.Kind == FailOperation || m.opts.FirstAnswer == AlwaysUpdating:
		return true
	}
	return m.opts.FirstAnswer == AsRecorded && ch.updating
}

// keep stores the document of a change, and what reads show of it. m.mu is
// held.
func (m *Manager) keep(c *call, r *resource, op *operation, ch change, state string) {
	doc, hides := ch.doc, m.opts.Unseen == ShowsOld && ch.res != nil
	switch {
	case c.fault.Kind == Late && hides:
		r.unseen = append(r.unseen, unseen{op, r.doc})
	case c.fault.Kind == NoEffect && hides:
		doc = clone(r.doc)
		m.complete(r, doc, r.doc, state)
	default:
		r.unseen = nil
	}
	m.forgetPools(r, doc)
	r.doc = doc
}

// check refuses a document that the service would refuse. m.mu is held.
func (m *Manager) check(r *resource, d, old document) error {
	for _, col := range r.kind.collections {
		if err := checkChildren(r, d, col.name); err != nil {
			return err
		}
	}
	switch r.kind.name {
	case "loadBalancers":
		return m.checkLoadBalancer(r, d, old)
	case "networkSecurityGroups":
		return checkSecurityGroup(r, d)
	case "virtualNetworks":
		return checkVirtualNetwork(r, d)
	case "publicIPAddresses":
		return checkPublicIP(r, d, old)
	}
	return nil
}

// checkSurroundings refuses a document that does not go with what it refers to:
// something that does not exist, is being written, or cannot be used so. m.mu is
// held.
func (m *Manager) checkSurroundings(r *resource, ch change) error {
	if ch.tagsOnly {
		return nil
	}
	for _, ref := range referencesOf(r, ch.doc) {
		to, _ := m.find(ref.to)
		switch {
		case to == nil:
			return refuse("InvalidResourceReference", "Resource "+ref.to+" referenced by resource "+ref.from+
				" was not found. Please make sure that the referenced resource exists, and that both resources are in the same region.")
		case text(properties(to.doc), "provisioningState") != succeeded.String():
			return m.notProvisioned(ref, to)
		}
	}
	switch r.kind.name {
	case "loadBalancers":
		return m.checkFrontends(r, ch.doc)
	case "networkInterfaces":
		return m.checkInterface(r, ch.doc)
	}
	return nil
}

// notProvisioned refuses a write that refers to what is being written, or whose
// last write failed (azure.md 1.9). m.mu is held.
func (m *Manager) notProvisioned(by mention, to *resource) *failure {
	wait := m.opts.RetryAfter
	if wait == 0 {
		wait = defaultLockWait
	}
	return &failure{
		status: http.StatusTooManyRequests, code: "RetryableError", message: "A retryable error occurred.", retryAfter: wait,
		details: []detail{{"ReferencedResourceNotProvisioned", "Cannot proceed with operation because resource " + by.to + " used by resource " +
			by.from + " is not in Succeeded state. Resource is in " + text(properties(to.doc), "provisioningState") + " state."}},
	}
}

// checkChildren refuses a collection that is not a list of objects with
// distinct names.
func checkChildren(r *resource, d document, col string) error {
	v := properties(d)[col]
	if v == nil {
		return nil
	}
	array, isArray := v.([]any)
	children := list(properties(d), col)
	if !isArray || len(children) != len(array) {
		return refuse(codeFormat, "Cannot parse "+col+" of "+r.id+".")
	}
	seen := map[string]bool{}
	for _, child := range children {
		name := strings.ToLower(text(child, "name"))
		if name == "" || len(name) > 80 || strings.Contains(name, "/") {
			return refuse(codeFormat, "A child of "+r.id+"/"+col+" has no usable name.")
		}
		if seen[name] {
			return refuse(codeFormat, "Two children of "+r.id+"/"+col+" are called "+name+".")
		}
		seen[name] = true
	}
	return nil
}

// checkLocation refuses a resource without a location, or with another one
// than before.
func checkLocation(d, old document, id string) error {
	location := text(d, "location")
	if location == "" {
		return &failure{
			status: http.StatusBadRequest, code: "LocationRequired",
			message: "The location property is required for this definition.",
		}
	}
	if was := text(old, "location"); was != "" && plainLocation(was) != plainLocation(location) {
		return &failure{
			status: http.StatusConflict, code: "InvalidResourceLocation",
			message: "The resource '" + lastSegment(id) + "' already exists in location '" + was + "'.",
		}
	}
	return nil
}

// plainLocation makes "West Europe" and "westeurope" equal.
func plainLocation(l string) string { return strings.ToLower(strings.ReplaceAll(l, " ", "")) }

// checkTags keeps the limits of Resource Manager: 50 tags, names of up to 512
// characters and values of up to 256.
func checkTags(v any) error {
	if v == nil {
		return nil
	}
	tags, isObject := v.(document)
	if !isObject || len(tags) > 50 {
		return refuse(codeFormat, "Tags must be an object with at most 50 members.")
	}
	for name, value := range tags {
		s, isText := value.(string)
		if !isText || len(s) > 256 || name == "" || len(name) > 512 || strings.ContainsAny(name, `<>%&\?/`) {
			return refuse(codeFormat, "The tag '"+name+"' is not valid.")
		}
	}
	return nil
}

// remove deletes a resource. m.mu is held.
func (m *Manager) remove(c *call, r *resource) (answer, error) {
	ch := change{kind: r.kind, res: r, id: r.id, subject: r.id, operation: r.kind.typ() + "/delete", title: "DeleteOperation"}
	if err := m.checkWrite(c, ch, Honoured); err != nil {
		return answer{}, err
	}
	if by := m.usedBy(r); by != "" {
		return answer{}, inUse(r, by)
	}
	op := m.begin(c, r, ch)
	m.supersede(r, op)
	m.forgetPools(r, document{})
	m.drop(r)
	if r.kind.is("networkInterfaces") {
		m.joined(r, nil, r.doc)
	}
	m.logf("%s deletes %s", c.principal, c.target.label())
	m.after(m.opts.AsyncDelay, func() { m.finish(op, succeeded, nil) })
	if r.carriesTraffic() {
		m.after(m.opts.AsyncDelay+m.opts.EffectDelay, func() { m.gone(r) })
	}
	return answer{status: http.StatusAccepted, header: m.locationHeader(c, op)}, nil
}

// usedBy returns what refers to a resource that cannot be deleted while
// something does. m.mu is held.
func (m *Manager) usedBy(r *resource) string {
	var all []string
	switch r.kind.name {
	case "networkSecurityGroups", "publicIPAddresses":
		for _, kind := range []string{"networkInterfaces", "virtualNetworks", "loadBalancers"} {
			all = append(all, m.referring(kind, r.id)...)
		}
	case "virtualNetworks":
		for _, s := range list(properties(r.doc), "subnets") {
			all = append(all, m.referring("networkInterfaces", text(s, "id"))...)
			all = append(all, m.referring("loadBalancers", text(s, "id"))...)
		}
	}
	if len(all) == 0 {
		return ""
	}
	return all[0]
}

func inUse(r *resource, user string) *failure {
	code := map[string]string{
		"networkSecurityGroups": "InUseNetworkSecurityGroupCannotBeDeleted", "publicIPAddresses": "PublicIPAddressCannotBeDeleted",
		"virtualNetworks": "InUseSubnetCannotBeDeleted",
	}[r.kind.name]
	return refuse(code, r.id+" cannot be deleted because it is in use by "+user+".")
}

// gone lets the traffic follow a delete, unless the resource is back. m.mu is
// held.
func (m *Manager) gone(r *resource) {
	switch {
	case m.resources[strings.ToLower(r.id)] != nil:
	case r.kind.is("loadBalancers"):
		m.later(func() { m.path.Remove(r.id) })
	default:
		m.takeEffect(r, nil)
	}
}
